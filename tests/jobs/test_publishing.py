"""Jobs that make a model of a kept checkpoint: what they read, and that it stays while they do."""

from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import update

from app.core.errors import Conflict, NotFound
from app.core.settings import Settings
from app.db.engine import Database, db_now
from app.db.tables import Job, JobCheckpoint
from app.jobs import repository as jobs
from app.jobs.publishing import Publishing
from app.jobs.repository import queries, retention
from app.jobs.states import STATES, State
from app.jobs.sweep import collect_blobs
from app.storage.blobs import LocalBlobs
from tests.jobs import world


def record(database: Database, job_id: str, attempt: int, step: int, *, is_best: bool = False) -> None:
    with database.transaction() as session:
        assert jobs.record_checkpoint(
            session, job_id, attempt, epoch=1, step=step, is_best=is_best, metrics={"loss": 1.0 / step}, bytes_=9,
            sha256="a" * 64, blob_prefix=f"checkpoints/{job_id}/{attempt}-{step}", trained_seconds=1.0,
        )  # fmt: skip


def training(database: Database, **fields: Any) -> str:
    """A running job with two checkpoints."""
    job_id = world.add_job(database, resolved={"training": {"batch_size": 8}}, **fields)
    assert world.claim(database, job_id) is not None
    for step in (10, 20):
        record(database, job_id, 1, step)
    return job_id


def publish(database: Database, job_id: str, checkpoint: str = "1-10", model: str | None = None) -> Job:
    return world.job_of(database, Publishing(database).publish(world.PROJECT, job_id, checkpoint, model, "key"))


@pytest.mark.parametrize("state", STATES)
def test_a_checkpoint_can_be_published_whatever_became_of_its_training(database: Database, state: State) -> None:
    source = training(database)
    with database.transaction() as session:
        session.execute(update(Job).where(Job.id == source).values(state=state))
    job = publish(database, source)
    assert (job.state, job.kind, job.attempt, job.recipe) == ("queued", "publish", 0, "tabular-classification")
    assert job.request == {"kind": "publish", "source": {"job": source, "checkpoint": "1-10"}}
    assert job.resolved == {"training": {"batch_size": 8}}
    assert job.model_name == world.job_of(database, source).model_name
    claimed = world.claim(database, job.id)
    assert claimed is not None
    assert [kept.blob_prefix for kept in claimed.checkpoints] == [f"checkpoints/{source}/1-10"]
    assert claimed.datasets.keys() == {"all"}


def test_the_model_may_have_another_name(database: Database) -> None:
    job = publish(database, training(database), model="other")
    assert (job.model_name, job.request["model"], job.owner) == ("other", "other", "key")


@pytest.mark.parametrize("checkpoint", ["1-11", "2-10", "1", "x-y", "1-10-", "٣-10", "1-9999999999", "1-" + "9" * 30])
def test_what_is_not_kept_is_not_found(database: Database, checkpoint: str) -> None:
    source = training(database)
    with pytest.raises(NotFound) as error:
        publish(database, source, checkpoint)
    assert error.value.code == "checkpoint_not_found"


def test_only_trainings_have_something_to_publish(database: Database) -> None:
    batch = world.add_job(database, kind="predict")
    with pytest.raises(Conflict):
        publish(database, batch)
    with pytest.raises(NotFound):
        publish(database, "job_none")


def test_what_a_publish_job_reads_is_not_removed_while_the_training_goes_on(database: Database) -> None:
    source = training(database)
    job = publish(database, source, "1-10")
    for step in (30, 40):
        record(database, source, 1, step)
    with database.transaction() as session:
        # 10 and 20 are forgotten, and only the files of 20 may go.
        assert jobs.prune_checkpoints(session, source, 1) == [f"checkpoints/{source}/1-20"]
    with database.reading() as session:
        assert [kept.step for kept in queries.list_checkpoints(session, source)] == [30, 40]
        assert [kept.step for kept in queries.list_checkpoints(session, job.id)] == [10]


def test_nor_is_it_when_the_training_is_removed(database: Database, tmp_path: Path) -> None:
    settings, blobs = Settings(home=tmp_path), LocalBlobs(tmp_path / "blobs")
    source = training(database)
    job = publish(database, source, "1-10")
    with database.transaction() as session:
        session.execute(update(Job).where(Job.id == source).values(state="failed", finished_at=db_now(-1e7)))
        assert retention.forget_checkpoints(session, 7.0, 100) == [f"checkpoints/{source}/1-20"]
        assert retention.delete_job(session, source)
        assert retention.has_read_checkpoints(session, source)
    blobs.put_bytes(f"checkpoints/{source}/1-10/state.json", b"{}")
    assert collect_blobs(database, blobs, settings) == []
    with database.transaction() as session:
        session.execute(update(Job).where(Job.id == job.id).values(state="succeeded", finished_at=db_now(-1e7)))
        assert retention.forget_checkpoints(session, 7.0, 100) == [f"checkpoints/{source}/1-10"]


def test_a_failed_one_is_repeated_from_its_own_claim_on_the_checkpoint(database: Database) -> None:
    source = training(database)
    job = publish(database, source)
    with database.transaction() as session:
        session.execute(update(Job).where(Job.id == job.id).values(state="failed", finished_at=db_now()))
        session.query(JobCheckpoint).filter(JobCheckpoint.job_id == source).delete()
    again = Publishing(database).repeat(world.PROJECT, job.id, "key")
    assert Publishing(database).repeat(world.PROJECT, job.id, "key") == again
    repeated = world.job_of(database, again)
    assert (repeated.retry_of, repeated.request) == (job.id, job.request)
    claimed = world.claim(database, again)
    assert claimed is not None
    assert [kept.step for kept in claimed.checkpoints] == [10]


def test_the_checkpoints_of_a_later_attempt_are_newer_be_their_steps_lower(database: Database) -> None:
    job_id = training(database)
    world.expire_lease(database, job_id)
    with database.transaction() as session:
        jobs.release_expired(session, 10)
        session.execute(update(Job).values(run_after=db_now(-1)))
    claimed = world.claim(database, job_id)
    assert claimed is not None
    for step in (5, 6):
        record(database, job_id, 2, step)
    with database.transaction() as session:
        gone = jobs.prune_checkpoints(session, job_id, 2)
    assert sorted(gone) == [f"checkpoints/{job_id}/1-10", f"checkpoints/{job_id}/1-20"]
