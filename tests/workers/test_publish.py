"""A kept checkpoint becomes a model version: from the request over the worker to the model, with real processes."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from app.inference.predictor import Predictor
from app.jobs import repository as jobs
from app.jobs.publishing import Publishing
from app.storage.blobs import get_tree
from tests.trainer.orders import Sink, classification
from tests.trainer.running import prepare
from tests.workers.conftest import FAKE, Yard
from workers.child import Program

pytestmark = [pytest.mark.services, pytest.mark.timeout(180)]
REAL = Program(trainer="workers.trainer.main", preload=FAKE.preload)


@pytest.fixture
def source(yard: Yard, tmp_path: Path) -> tuple[str, dict[str, Any]]:
    """A job that is paused in the middle of its training, and its order."""
    order = classification(tmp_path, epochs=100_000, early_stopping=False)
    yard.folders.path = tmp_path / "dataset"
    job_id = yard.submit([], resolved=order["resolved"])
    with yard.running(job_id, REAL, checkpoint_seconds=0.2):
        yard.wait_for_step(job_id, 20)
        with yard.database.transaction() as session:
            jobs.pause(session, job_id)
    assert yard.job(job_id).state == "paused"
    return job_id, order


def published(yard: Yard, source: str, checkpoint: str) -> str:
    job_id = Publishing(yard.database).publish("default", source, checkpoint, "taken")
    yard.supervisor(REAL).run(yard.claim(job_id))
    return job_id


def test_a_paused_job_gives_a_model_of_its_checkpoint(
    yard: Yard, tmp_path: Path, source: tuple[str, dict[str, Any]]
) -> None:
    job_id, order = source
    row = yard.checkpoints(job_id)[0]
    made = published(yard, job_id, f"{row.attempt}-{row.step}")
    job = yard.job(made)
    assert (job.state, job.kind, job.model_name, job.model_version) == ("succeeded", "publish", "taken", 1), job.error
    assert job.metrics["test"]["accuracy"] > 0.3
    [version] = yard.versions(made)
    assert (version.job_id, version.manifest["dataset"]) == (made, "ds_1")

    bundle, checkpoint = tmp_path / "bundle", tmp_path / "checkpoint"
    get_tree(yard.blobs, version.blob_prefix, bundle)
    get_tree(yard.blobs, row.blob_prefix, checkpoint)
    trained = prepare(order, Sink(), checkpoint=str(checkpoint))
    assert trained.fit.step == row.step
    predictor = Predictor.load(bundle)
    instances = predictor.prepare([{"first": float(n), "second": 1.0, "colour": "red"} for n in range(5)])
    wanted = trained.built.serving_model({name: np.asarray(rows) for name, rows in instances.items()}, training=False)
    np.testing.assert_allclose(predictor.values(predictor.run(instances)), np.asarray(wanted), atol=1e-5)
    assert yard.job(job_id).state == "paused"


def test_a_damaged_checkpoint_fails_it_and_says_so(yard: Yard, source: tuple[str, dict[str, Any]]) -> None:
    job_id, _ = source
    row = yard.checkpoints(job_id)[0]
    path = yard.blobs.path(f"{row.blob_prefix}/arrays.npz")
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    job = yard.job(published(yard, job_id, f"{row.attempt}-{row.step}"))
    assert (job.state, job.failures) == ("failed", 0)
    assert job.error is not None
    assert job.error["code"] == "artifact_corrupt"
    assert "another" in job.error["detail"]["advice"]
    assert yard.versions(job.id) == []
