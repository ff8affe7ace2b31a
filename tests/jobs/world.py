"""Rows and reports for tests of jobs."""

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import func, select, text, update

from app.core.ids import new_id
from app.db.engine import Database, db_now
from app.db.tables import Dataset, Job, JobEvent
from app.jobs import repository as jobs
from app.jobs.states import State
from app.models.repository import PublishedBundle

PROJECT = "default"
ERROR = {"code": "internal_error", "message": "it broke", "retryable": False, "detail": {"exit_code": 1}}


def add_dataset(database: Database, project: str = PROJECT) -> str:
    """Write a data set's row and return its id."""
    dataset_id = new_id("ds")
    row = Dataset(
        id=dataset_id, project=project, name="rows.csv", format="csv", rows=3, bytes=30, sha256="0" * 64,
        splits=None, columns=[], rejected={"count": 0, "rows": []}, cleaning=[], blob_prefix=f"datasets/{dataset_id}",
        created_at=datetime.now(UTC),
    )  # fmt: skip
    with database.transaction() as session:
        session.add(row)
    return dataset_id


def add_job(database: Database, dataset_id: str | None = None, **fields: Any) -> str:
    """Queue a job and return its id."""
    new: dict[str, Any] = {
        "id": new_id("job"), "project": PROJECT, "recipe": "tabular-classification", "request": {"recipe": "x"},
        "resolved": {"recipe": "x"}, "model_name": "mo", "datasets": {"all": dataset_id or add_dataset(database)},
    }  # fmt: skip
    with database.transaction() as session:
        jobs.create_job(session, jobs.NewJob(**{**new, **fields}))
    return str(fields.get("id", new["id"]))


def bundle(prefix: str = "bundles/x/1") -> PublishedBundle:
    """Return the facts of a bundle."""
    manifest = {
        "recipe": "tabular-classification", "metrics": {"test": {"accuracy": 0.9}}, "parameters": 7, "runtime": "onnx",
        "signature": {"inputs": [], "outputs": []}, "dataset": "ds_x", "files": {},
    }  # fmt: skip
    return PublishedBundle(prefix, manifest, 100, "f" * 64)


def succeed(database: Database, job_id: str, attempt: int) -> str | None:
    """Report success of an attempt; return the ref."""
    with database.transaction() as session:
        return jobs.succeed(
            session, job_id, attempt, bundle=bundle(f"bundles/{job_id}/{attempt}"), stop_reason="completed",
            metrics={"train": {"loss": 0.1}, "test": {"accuracy": 0.9}}, fit={"verdict": "healthy"},
            evaluation={"split": "test"}, trained_seconds=5.0,
        )  # fmt: skip


def claim(database: Database, job_id: str | None = None, lease_seconds: float = 30.0) -> jobs.ClaimedJob | None:
    """Claim as worker `w`."""
    with database.transaction() as session:
        return jobs.claim(session, "w", lease_seconds, job_id)


def make_job(database: Database, state: State) -> str:
    """Return a job that came into `state` along real edges."""
    job_id = add_job(database)
    if state == "queued":
        return job_id
    if state == "paused":
        with database.transaction() as session:
            assert jobs.pause(session, job_id) == "paused"
        return job_id
    claimed = claim(database, job_id)
    assert claimed is not None
    if state == "succeeded":
        assert succeed(database, job_id, 1) is not None
    with database.transaction() as session:
        if state == "failed":
            assert jobs.fail(session, job_id, 1, error=ERROR)
        if state == "cancelled":
            assert jobs.cancelled(session, job_id, 1)
    return job_id


def expire_lease(database: Database, job_id: str) -> None:
    """Let the job's lease be over."""
    with database.transaction() as session:
        session.execute(update(Job).where(Job.id == job_id).values(lease_expires_at=db_now(-1)))


def row_of(database: Database, job_id: str) -> dict[str, Any] | None:
    """Return all columns of the job's row."""
    with database.reading() as session:
        found = session.execute(text("SELECT * FROM jobs WHERE id = :id"), {"id": job_id}).mappings().one_or_none()
        return dict(found) if found is not None else None


def job_of(database: Database, job_id: str) -> Job:
    """Return the job as the code sees it."""
    with database.reading() as session:
        return session.scalars(select(Job).where(Job.id == job_id)).one()


def events_of(database: Database, job_id: str) -> list[tuple[int, str]]:
    """Return number and type of the job's events."""
    with database.reading() as session:
        query = select(JobEvent.seq, JobEvent.type).where(JobEvent.job_id == job_id).order_by(JobEvent.seq)
        return [(seq, kind) for seq, kind in session.execute(query)]


def count(database: Database, table: Any) -> int:
    """Return how many rows a table has."""
    with database.reading() as session:
        return int(session.scalar(select(func.count()).select_from(table)) or 0)
