"""Memory that runs out, as a client sees it: what the job says it ran, its events, its model, and where it ends."""

import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from app.db.tables import JobEvent
from app.inference.predictor import Predictor
from app.jobs import repository as jobs
from app.jobs.views import job_view
from app.storage.blobs import get_tree
from tests.trainer.orders import blobs_csv, order_of
from tests.trainer.running import without_noise
from tests.workers.conftest import FAKE, Yard
from workers.child import Program

pytestmark = pytest.mark.services
TRAINING: dict[str, Any] = {"batch_size": 64, "gradient_accumulation_steps": 1, "epochs": 3}
KILLED = {"signal": signal.SIGKILL}


def halvings(yard: Yard, job_id: str) -> list[dict[str, Any]]:
    return [event.data for event in yard.rows(JobEvent, job_id) if event.type == "batch_halved"]


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """The kernel says that it has ended something for want of memory."""
    monkeypatch.setattr("workers.outcome.OutOfMemoryWatch.fired", lambda self: True)


def run_next(yard: Yard, job_id: str) -> None:
    yard.make_due(job_id)
    yard.supervisor().run(yard.claim(job_id))


@pytest.mark.usefixtures("short")
class TestKernel:
    def test_the_attempt_after_a_kill_for_memory_begins_with_half_the_batch(self, yard: Yard, tmp_path: Path) -> None:
        crash = {"once": "crashed", "dir": str(tmp_path), "do": [{"checkpoint": 40}, KILLED]}
        job = yard.run([crash, {"finish": 1}], training=TRAINING)
        assert (job.state, job.failures) == ("queued", 1)
        assert job.resolved["training"] == {
            "batch_size": 32, "gradient_accumulation_steps": 2, "effective_batch_size": 64, "batch_halvings": 1,
            "epochs": 3,
        }  # fmt: skip
        [said] = halvings(yard, job.id)
        assert (said["attempt"], said["where"]) == (1, "process")
        assert said["batch_size"] == {"from": 64, "to": 32}
        assert "memory" in said["reason"]
        yard.make_due(job.id)
        claimed = yard.claim(job.id)
        assert claimed.resolved["training"]["batch_size"] == 32
        yard.supervisor().run(claimed)
        assert yard.job(job.id).state == "succeeded"

    def test_what_is_killed_every_time_fails_with_the_memory_it_took(self, yard: Yard) -> None:
        job = yard.run([KILLED], training=TRAINING, max_failures=3)
        for _ in range(2):
            run_next(yard, job.id)
        job = yard.job(job.id)
        assert (job.state, job.failures, job.attempt) == ("failed", 3, 3)
        assert job.error is not None
        assert (job.error["code"], job.error["retryable"]) == ("out_of_memory", False)
        assert job.error["detail"]["peak_memory_bytes"] > 0
        assert "smaller batch_size" in job.error["message"]
        # What is said is what the last attempt ran: nothing is halved for one that there will not be.
        assert job.resolved["training"]["batch_size"] == 16
        assert len(halvings(yard, job.id)) == 2

    def test_what_the_trainer_halved_itself_counts(self, yard: Yard, tmp_path: Path) -> None:
        changed = {
            "batch_size": 16, "gradient_accumulation_steps": 4, "effective_batch_size": 64, "batch_halvings": 2,
        }  # fmt: skip
        report = {"report": {"type": "batch_halved", "training": changed, "data": {"where": "training"}}}
        job = yard.run([report, KILLED], training=TRAINING)
        assert job.resolved["training"]["batch_size"] == 8
        assert job.resolved["training"]["batch_halvings"] == 3

    def test_a_single_row_that_does_not_fit_is_the_end(self, yard: Yard) -> None:
        job = yard.run([KILLED], training={**TRAINING, "batch_size": 1})
        assert (job.state, (job.error or {})["code"]) == ("failed", "out_of_memory")
        assert halvings(yard, job.id) == []


def test_a_report_of_an_attempt_that_lost_the_job_changes_nothing(yard: Yard) -> None:
    job_id = yard.submit([], training=TRAINING)
    yard.claim(job_id)
    with yard.database.transaction() as session:
        assert not jobs.record_halving(session, job_id, 7, {"batch_size": 1}, {})
    assert yard.job(job_id).resolved["training"] == TRAINING


@pytest.mark.timeout(180)
def test_the_real_trainer_with_too_little_memory_ends_with_the_model_of_the_whole_batch(
    yard: Yard, tmp_path: Path
) -> None:
    order = without_noise(order_of(
        tmp_path, blobs_csv(), "tabular-classification", "kind",
        training={"epochs": 4, "batch_size": 32, "early_stopping": False, "optimizer": {"name": "sgd"}},
    ))  # fmt: skip
    yard.folders.path = tmp_path / "dataset"
    models = []
    for module in ("tests.workers.limited_trainer", "workers.trainer.main"):
        job_id = yard.submit([], resolved=order["resolved"])
        yard.supervisor(program=Program(trainer=module, preload=FAKE.preload)).run(yard.claim(job_id))
        job = yard.job(job_id)
        assert job.state == "succeeded", job.error
        folder = tmp_path / module
        get_tree(yard.blobs, yard.versions(job_id)[0].blob_prefix, folder)
        models.append((job, Predictor.load(folder)))
    (limited, first), (_, second) = models
    shown = job_view(limited, None).resolved["training"]
    assert (shown["batch_size"], shown["gradient_accumulation_steps"], shown["effective_batch_size"]) == (8, 4, 32)
    assert [said["batch_size"] for said in halvings(yard, limited.id)] == [
        {"from": 32, "to": 16},
        {"from": 16, "to": 8},
    ]
    assert limited.failures == 0
    rows = [{"first": float(n), "second": 1.0 - n, "colour": "red"} for n in range(5)]
    answers = [one.values(one.run(one.prepare(rows))) for one in (first, second)]
    np.testing.assert_allclose(answers[0], answers[1], atol=1e-4)


@pytest.mark.parametrize(
    "step", [{"exit": 3}, {"fail": {"code": "internal_error", "message": "m", "retryable": False}}]
)
def test_the_end_of_the_log_comes_with_a_crash(yard: Yard, step: dict[str, Any]) -> None:
    home = str(yard.settings.home_dir)
    lines = [{"say": f"line {n} of {home}/secret \x1b[31mred\x1b[0m " + "x" * 200} for n in range(50)]
    job = yard.run([*lines, step], max_failures=1)
    assert job.error is not None
    tail = job.error["detail"]["log_tail"]
    assert "line 49 of .../secret red" in tail
    assert "line 1 " not in tail
    assert home not in tail
    assert len(tail) <= 4000


def test_an_error_that_was_foreseen_needs_no_log(yard: Yard) -> None:
    error = {"code": "training_diverged", "message": "m", "retryable": False, "detail": {}}
    job = yard.run([{"say": "a"}, {"fail": error}])
    assert "log_tail" not in (job.error or {})["detail"]
