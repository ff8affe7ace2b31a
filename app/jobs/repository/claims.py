"""The edge from queued to running, and what the worker is handed with it."""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import exists, insert, select
from sqlalchemy.orm import Session

from app.db.engine import db_now
from app.db.tables import Dataset, Job, JobAttempt, JobCheckpoint, JobDataset
from app.jobs.repository.moves import lock, move


@dataclass(frozen=True)
class DatasetRef:
    """Where a data set of the job lies."""

    id: str
    sha256: str
    blob_prefix: str


@dataclass(frozen=True)
class CheckpointRef:
    """Where a whole checkpoint of an earlier attempt lies."""

    attempt: int
    epoch: int
    step: int
    is_best: bool
    metrics: dict[str, Any]
    sha256: str
    blob_prefix: str


@dataclass(frozen=True)
class ClaimedJob:
    """A job that this worker owns for as long as it renews the lease under `attempt`."""

    id: str
    project: str
    attempt: int
    kind: str
    recipe: str | None
    model_name: str
    request: dict[str, Any]
    resolved: dict[str, Any]
    trained_seconds: float
    failures: int
    max_failures: int
    datasets: dict[str, DatasetRef]
    checkpoints: list[CheckpointRef]
    """Newest first: where one is corrupt, the next is taken."""

    @property
    def best(self) -> CheckpointRef | None:
        """The best checkpoint so far, if one is marked."""
        return next((c for c in self.checkpoints if c.is_best), None)


def data_is_gone() -> Any:
    """The condition, on a row of `Job`, that a data set it names is no longer there."""
    return exists(
        select(JobDataset.role)
        .outerjoin(Dataset, Dataset.id == JobDataset.dataset_id)
        .where(JobDataset.job_id == Job.id, Dataset.id.is_(None))
    )


def claim(
    session: Session, worker: str, lease_seconds: float, job_id: str | None = None, *, pid: int | None = None
) -> ClaimedJob | None:
    """Take the job, or, without `job_id`, the first of the queue; None where there is none to take.

    The order is by priority, then by age. `attempt` rises by one, and the lease runs from now
    on the database's clock. Two workers never take the same job: PostgreSQL skips rows that
    another claim has locked, SQLite claims one after the other.
    """
    ready = select(Job.id).where(Job.state == "queued", Job.run_after <= db_now(), ~data_is_gone())
    if job_id is not None:
        ready = ready.where(Job.id == job_id)
    found = session.scalar(
        ready.order_by(Job.priority.desc(), Job.id).limit(1).with_for_update(skip_locked=True, of=Job)
    )
    if found is None:
        return None
    job = lock(session, found, state="queued")
    if job is None:
        return None
    attempt = job.attempt + 1
    if not move(
        session,
        job.id,
        "queued",
        "running",
        attempt=job.attempt,
        event="started",
        data={"attempt": attempt, "worker": worker},
        values=_claimed_values(job, attempt, worker, lease_seconds),
    ):
        return None
    session.execute(
        insert(JobAttempt).values(
            project=job.project, job_id=job.id, attempt=attempt, worker=worker, pid=pid, started_at=db_now()
        )
    )
    return _claimed(session, job, attempt)


def _claimed_values(job: Job, attempt: int, worker: str, lease_seconds: float) -> dict[str, Any]:
    values: dict[str, Any] = {
        "attempt": attempt,
        "lease_owner": worker,
        "lease_expires_at": db_now(lease_seconds),
        "cancel_requested_at": None,
        "cancel_keep": None,
        "pause_requested_at": None,
    }
    if job.started_at is None:
        values["started_at"] = db_now()
    return values


def _claimed(session: Session, job: Job, attempt: int) -> ClaimedJob:
    sets = session.execute(
        select(JobDataset.role, Dataset.id, Dataset.sha256, Dataset.blob_prefix)
        .join(Dataset, Dataset.id == JobDataset.dataset_id)
        .where(JobDataset.job_id == job.id)
    )
    kept = session.scalars(
        select(JobCheckpoint)
        .where(JobCheckpoint.job_id == job.id)
        .order_by(JobCheckpoint.step.desc(), JobCheckpoint.attempt.desc())
    )
    return ClaimedJob(
        id=job.id,
        project=job.project,
        attempt=attempt,
        kind=job.kind,
        recipe=job.recipe,
        model_name=job.model_name,
        request=job.request,
        resolved=job.resolved,
        trained_seconds=job.trained_seconds,
        failures=job.failures,
        max_failures=job.max_failures,
        datasets={role: DatasetRef(i, sha256, prefix) for role, i, sha256, prefix in sets},
        checkpoints=[
            CheckpointRef(c.attempt, c.epoch, c.step, c.is_best, c.metrics, c.sha256, c.blob_prefix) for c in kept
        ],
    )
