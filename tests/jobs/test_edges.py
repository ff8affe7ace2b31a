"""Every operation in every state: it goes along an edge of the table, or changes nothing."""

from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import delete, text, update
from sqlalchemy.exc import IntegrityError

from app.db.engine import Database, db_now
from app.db.tables import Dataset, Job, JobAttempt, JobCheckpoint, JobMetric, ModelVersion
from app.jobs import repository as jobs
from app.jobs.advice import ADVICE
from app.jobs.repository import retention
from app.jobs.states import EDGES, FINAL, SETTLED, STATES, VERBS, State
from tests.jobs import world
from tests.jobs.world import ERROR

Operation = Callable[[Any, str], Any]

# What a worker reports of attempt 1, and the state that it leads to (None: the job runs on).
REPORTS: dict[str, tuple[Operation, State | None]] = {
    "fail": (lambda s, j: jobs.fail(s, j, 1, error=ERROR), "failed"),
    "requeue": (lambda s, j: jobs.requeue(s, j, 1, charge=False), "queued"),
    "requeue charged": (lambda s, j: jobs.requeue(s, j, 1, charge=True), "queued"),
    "cancelled": (lambda s, j: jobs.cancelled(s, j, 1), "cancelled"),
    "paused": (lambda s, j: jobs.paused(s, j, 1, trained_seconds=1.0), "paused"),
    "heartbeat": (lambda s, j: jobs.heartbeat(s, j, 1, 30), None),
    "progress": (lambda s, j: jobs.record_progress(s, j, 1, {"step": 1}), None),
    "metrics": (lambda s, j: jobs.record_metrics(s, j, 1, [metric(1, 10, "train", loss=0.5)]), None),
    "warnings": (lambda s, j: jobs.record_warnings(s, j, 1, [{"code": "x"}]), None),
    "start": (lambda s, j: jobs.record_attempt_start(s, j, 1, pid=4), None),
    "event": (lambda s, j: jobs.append_event(s, j, 1, "note", {}), None),
    "checkpoint": (lambda s, j: checkpoint(s, j, 1, 10), None),
}  # fmt: skip


def metric(epoch: int, step: int, split: str, **values: float) -> dict[str, Any]:
    return {"epoch": epoch, "step": step, "split": split, "values": values}


def checkpoint(session: Any, job_id: str, attempt: int, step: int, *, is_best: bool = False) -> bool:
    return jobs.record_checkpoint(
        session, job_id, attempt, epoch=1, step=step, is_best=is_best, metrics={}, bytes_=10, sha256="a" * 64,
        blob_prefix=f"checkpoints/{job_id}/{attempt}-{step}", trained_seconds=float(step),
    )  # fmt: skip


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("name", REPORTS)
def test_a_report_works_only_for_the_running_attempt(database: Database, name: str, state: State) -> None:
    operation, target = REPORTS[name]
    job_id = world.make_job(database, state)
    before, events = world.row_of(database, job_id), world.events_of(database, job_id)
    with database.transaction() as session:
        done = operation(session, job_id)
    after = world.row_of(database, job_id)
    assert before is not None
    assert after is not None
    if state == "running":
        assert done
        assert after["state"] == (target or "running")
        assert target is None or ("running", target) in EDGES
    else:
        assert not done
        assert after == before
        assert world.events_of(database, job_id) == events


@pytest.mark.parametrize("name", REPORTS)
def test_a_stale_attempt_changes_nothing(database: Database, name: str) -> None:
    job_id = world.make_job(database, "running")
    with database.transaction() as session:
        jobs.requeue(session, job_id, 1, charge=False)
    assert world.claim(database, job_id) is not None
    before, events = world.row_of(database, job_id), world.events_of(database, job_id)
    with database.transaction() as session:
        assert not REPORTS[name][0](session, job_id)
    assert world.row_of(database, job_id) == before
    assert world.events_of(database, job_id) == events
    for table in (JobMetric, JobCheckpoint):
        assert world.count(database, table) == 0


@pytest.mark.parametrize("state", STATES)
def test_only_a_running_job_publishes(database: Database, state: State) -> None:
    job_id = world.make_job(database, state)
    before, versions = world.row_of(database, job_id), world.count(database, ModelVersion)
    ref = world.succeed(database, job_id, 1)
    if state == "running":
        assert ref == "mo@1"
        assert world.job_of(database, job_id).state == "succeeded"
    else:
        # The attempt that published is told so again: its answer may have been lost.
        assert ref == ("mo@1" if state == "succeeded" else None)
        assert world.row_of(database, job_id) == before
        assert world.count(database, ModelVersion) == versions


@pytest.mark.parametrize("state", STATES)
def test_only_a_queued_job_is_claimed(database: Database, state: State) -> None:
    job_id = world.make_job(database, state)
    before = world.job_of(database, job_id)
    claimed = world.claim(database, job_id)
    after = world.job_of(database, job_id)
    if state == "queued":
        assert claimed is not None
        assert (claimed.attempt, after.attempt, after.state) == (1, 1, "running")
        assert after.started_at is not None
    else:
        assert claimed is None
        assert (after.state, after.attempt) == (before.state, before.attempt)


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("verb", ["cancel", "pause", "resume"])
def test_a_verb_does_what_the_table_says(database: Database, verb: str, state: State) -> None:
    job_id = world.make_job(database, state)
    before, events = world.row_of(database, job_id), world.events_of(database, job_id)
    operations: dict[str, Operation] = {
        "cancel": lambda s, j: jobs.cancel(s, j, "none"),
        "pause": jobs.pause,
        "resume": jobs.resume,
    }
    with database.transaction() as session:
        done = operations[verb](session, job_id)
    job = world.job_of(database, job_id)
    if state not in VERBS[verb]:  # type: ignore[index]
        assert not done
        assert world.row_of(database, job_id) == before
        assert world.events_of(database, job_id) == events
        return
    assert done
    target = {"cancel": "cancelled", "pause": "paused", "resume": "queued"}[verb]
    if state == "running":
        assert job.state == "running"
        assert (job.cancel_requested_at is not None) == (verb == "cancel")
        assert (job.pause_requested_at is not None) == (verb == "pause")
        with database.transaction() as session:
            flags = jobs.heartbeat(session, job_id, 1, 30)
        assert flags == jobs.Flags(verb == "cancel", "none" if verb == "cancel" else None, verb == "pause")
    else:
        assert job.state == target
        assert (state, target) in EDGES
        assert (job.pause_requested_at is not None) == (target == "paused")
    seen = world.row_of(database, job_id)
    with database.transaction() as session:
        operations[verb](session, job_id)
    if verb != "resume":
        assert world.row_of(database, job_id) == seen, "the same verb twice does nothing more"


@pytest.mark.parametrize("state", STATES)
def test_only_an_ended_job_is_deleted(database: Database, state: State) -> None:
    job_id = world.make_job(database, state)
    versions = world.count(database, ModelVersion)
    with database.transaction() as session:
        assert retention.delete_job(session, job_id) == (state in FINAL)
    assert (world.row_of(database, job_id) is None) == (state in FINAL)
    assert world.count(database, JobAttempt) == (1 if state == "running" else 0)
    assert world.count(database, ModelVersion) == versions


@pytest.mark.parametrize("state", STATES)
def test_a_lease_that_is_over_releases_a_running_job_only(database: Database, state: State) -> None:
    job_id = world.make_job(database, state)
    world.expire_lease(database, job_id)
    before = world.row_of(database, job_id)
    with database.transaction() as session:
        released = jobs.release_expired(session, 10)
    if state == "running":
        assert released == [jobs.Released(job_id, "default", "queued")]
        assert world.job_of(database, job_id).failures == 1
    else:
        assert released == []
        assert world.row_of(database, job_id) == before


def test_a_live_lease_is_left_alone(database: Database) -> None:
    world.make_job(database, "running")
    with database.transaction() as session:
        assert jobs.release_expired(session, 10) == []


@pytest.mark.parametrize("state", STATES)
def test_a_queued_job_without_its_data_fails(database: Database, state: State) -> None:
    job_id = world.make_job(database, state)
    with database.transaction() as session:
        session.execute(delete(Dataset))
    assert world.claim(database, job_id) is None
    with database.transaction() as session:
        assert jobs.fail_orphans(session, 10) == ([job_id] if state == "queued" else [])
    job = world.job_of(database, job_id)
    assert job.state == ("failed" if state == "queued" else state)
    if state == "queued":
        assert job.error is not None
        assert job.error["code"] == "dataset_error"


def test_no_edge_leads_out_of_a_final_state() -> None:
    assert not [edge for edge in EDGES if edge[0] in FINAL]
    assert {state for verb in ("cancel", "pause", "resume") for state in VERBS[verb]} == set(STATES) - FINAL  # type: ignore[index]
    assert SETTLED["cancel"] == {"cancelled"}


@pytest.mark.parametrize("state", ["done", "", "Queued"])
def test_the_database_knows_six_states(database: Database, state: str) -> None:
    job_id = world.add_job(database)
    with pytest.raises(IntegrityError), database.transaction() as session:
        session.execute(text("UPDATE jobs SET state = :state WHERE id = :id"), {"state": state, "id": job_id})


def test_the_last_failure_ends_the_job_as_worker_lost(database: Database) -> None:
    job_id = world.add_job(database, max_failures=2)
    for attempt in (1, 2):
        with database.transaction() as session:
            session.execute(update(Job).values(run_after=db_now(-1)))
        claimed = world.claim(database, job_id)
        assert claimed is not None
        assert claimed.attempt == attempt
        world.expire_lease(database, job_id)
        with database.transaction() as session:
            jobs.release_expired(session, 10)
    job = world.job_of(database, job_id)
    assert (job.state, job.failures, job.attempt) == ("failed", 2, 2)
    assert job.error is not None
    assert job.error["code"] == "worker_lost"
    assert job.error["detail"]["advice"] == ADVICE["worker_lost"]
    assert job.finished_at is not None


def test_a_charged_failure_waits_and_a_drain_does_not(database: Database) -> None:
    drained, crashed = world.make_job(database, "running"), world.make_job(database, "running")
    with database.transaction() as session:
        assert jobs.requeue(session, drained, 1, charge=False, reason="drained") == "queued"
        assert jobs.requeue(session, crashed, 1, charge=True, error=ERROR, reason="crashed") == "queued"
    assert world.claim(database, crashed) is None, "it waits two seconds"
    claimed = world.claim(database, drained)
    assert claimed is not None
    assert (claimed.attempt, claimed.failures) == (2, 0)


def test_what_was_asked_is_done_when_the_worker_is_lost(database: Database) -> None:
    stopped, aside = world.make_job(database, "running"), world.make_job(database, "running")
    with database.transaction() as session:
        jobs.cancel(session, stopped, "none")
        jobs.pause(session, aside)
    for job_id in (stopped, aside):
        world.expire_lease(database, job_id)
    with database.transaction() as session:
        jobs.release_expired(session, 10)
    assert world.job_of(database, stopped).state == "cancelled"
    assert world.job_of(database, aside).state == "paused"


def test_a_cancel_that_keeps_nothing_beats_a_finish(database: Database) -> None:
    job_id = world.make_job(database, "running")
    with database.transaction() as session:
        jobs.cancel(session, job_id, "none")
    assert world.succeed(database, job_id, 1) is None
    assert world.job_of(database, job_id).state == "cancelled"
    assert world.count(database, ModelVersion) == 0


def test_a_cancel_that_keeps_the_best_publishes_it(database: Database) -> None:
    job_id = world.make_job(database, "running")
    with database.transaction() as session:
        jobs.cancel(session, job_id, "best")
    assert world.succeed(database, job_id, 1) == "mo@1"
    job = world.job_of(database, job_id)
    assert (job.state, job.stop_reason, job.model_version) == ("cancelled", "cancelled", 1)


def test_none_overrules_best_but_not_the_reverse(database: Database) -> None:
    job_id = world.make_job(database, "running")
    for keep, kept in (("best", "best"), ("none", "none"), ("best", "none")):
        with database.transaction() as session:
            assert jobs.cancel(session, job_id, keep) == "running"
        assert world.job_of(database, job_id).cancel_keep == kept


def test_started_at_is_the_first_claim(database: Database) -> None:
    job_id = world.make_job(database, "running")
    first = world.job_of(database, job_id).started_at
    with database.transaction() as session:
        jobs.requeue(session, job_id, 1, charge=False)
    world.claim(database, job_id)
    assert world.job_of(database, job_id).started_at == first


def test_the_queue_is_claimed_by_priority_then_age(database: Database) -> None:
    first, second = world.add_job(database), world.add_job(database)
    urgent = world.add_job(database, priority=5)
    order = [claimed.id for _ in range(3) if (claimed := world.claim(database)) is not None]
    assert order == [urgent, first, second]
    assert world.claim(database) is None


def test_a_claim_hands_over_data_and_checkpoints(database: Database) -> None:
    dataset_id = world.add_dataset(database)
    job_id = world.add_job(database, dataset_id)
    world.claim(database, job_id)
    with database.transaction() as session:
        for step, is_best in ((10, True), (20, False), (30, False)):
            assert checkpoint(session, job_id, 1, step, is_best=is_best)
        jobs.requeue(session, job_id, 1, charge=False)
    claimed = world.claim(database, job_id)
    assert claimed is not None
    assert claimed.datasets == {"all": jobs.DatasetRef(dataset_id, "0" * 64, f"datasets/{dataset_id}")}
    assert [kept.step for kept in claimed.checkpoints] == [30, 20, 10]
    assert claimed.best is not None
    assert claimed.best.step == 10
    assert claimed.trained_seconds == 30.0


def test_old_checkpoints_are_forgotten_but_the_best(database: Database) -> None:
    job_id = world.make_job(database, "running")
    with database.transaction() as session:
        for step in (10, 20, 30, 40):
            checkpoint(session, job_id, 1, step, is_best=step in (10, 20))
        assert jobs.prune_checkpoints(session, job_id, 2) == []
        assert jobs.prune_checkpoints(session, job_id, 1) == [f"checkpoints/{job_id}/1-10"]
        assert jobs.prune_checkpoints(session, job_id, 1) == []


def test_a_resumed_attempt_writes_over_the_figures_it_repeats(database: Database) -> None:
    job_id = world.make_job(database, "running")
    with database.transaction() as session:
        jobs.record_metrics(session, job_id, 1, [metric(1, 10, "train", loss=0.5), metric(2, 20, "train", loss=0.4)])
        jobs.requeue(session, job_id, 1, charge=False)
    world.claim(database, job_id)
    with database.transaction() as session:
        jobs.record_metrics(session, job_id, 2, [metric(2, 20, "train", loss=float("nan"))])
        rows = session.execute(text("SELECT epoch, attempt FROM job_metrics ORDER BY epoch")).all()
    assert [tuple(row) for row in rows] == [(1, 1), (2, 2)]
    assert world.job_of(database, job_id).metrics["train"] == {"loss": None}, "NaN is null"


def test_events_are_numbered_without_gaps(database: Database) -> None:
    job_id = world.make_job(database, "running")
    with database.transaction() as session:
        jobs.record_metrics(session, job_id, 1, [metric(1, 10, "train", loss=0.5), metric(1, 10, "validation", loss=1)])
        checkpoint(session, job_id, 1, 10)
        jobs.pause(session, job_id)
        jobs.paused(session, job_id, 1, trained_seconds=1)
        jobs.resume(session, job_id)
    kinds = ["created", "started", "metrics", "checkpoint", "pause_requested", "paused", "resumed"]
    assert world.events_of(database, job_id) == list(enumerate(kinds, 1))


def test_versions_count_up_within_a_name(database: Database) -> None:
    refs = [world.succeed(database, world.make_job(database, "running"), 1) for _ in range(3)]
    assert refs == ["mo@1", "mo@2", "mo@3"]
    with database.reading() as session:
        assert session.execute(text("SELECT value FROM counters WHERE name = 'catalogue'")).scalar_one() == 3


def test_an_edge_that_is_not_in_the_table_is_an_error(database: Database) -> None:
    from app.jobs.repository.moves import move

    job_id = world.make_job(database, "failed")
    with pytest.raises(ValueError, match="no edge"), database.transaction() as session:
        move(session, job_id, "failed", "queued", event="x")
