"""The edge from queued to running, and what the worker is handed with it."""

import itertools
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import ColumnElement, Select, exists, func, insert, select
from sqlalchemy.orm import Session

from app.db.engine import db_now
from app.db.tables import Dataset, Job, JobAttempt, JobCheckpoint, JobDataset, JobModel, ModelVersion
from app.jobs.repository import fairness
from app.jobs.repository.moves import lock, move

# One number for all claims: PostgreSQL's advisory lock, held to the end of the transaction.
_CLAIMS = 7_301_002
_HEADS = 16

_is_version = (
    (ModelVersion.project == JobModel.project)
    & (ModelVersion.name == JobModel.name)
    & (ModelVersion.version == JobModel.version)
)


@dataclass(frozen=True)
class DatasetRef:
    """Where a data set of the job lies."""

    id: str
    sha256: str
    blob_prefix: str


@dataclass(frozen=True)
class ModelRef:
    """Where the bundle of a model version that the job reads lies; `sha256` is its manifest's."""

    name: str
    version: int
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
    models: dict[str, ModelRef] = field(default_factory=dict)
    """The versions that the job reads, by role."""

    @property
    def best(self) -> CheckpointRef | None:
        """The best checkpoint so far, if one is marked."""
        return next((c for c in self.checkpoints if c.is_best), None)


def data_is_gone() -> Any:
    """The condition, on a row of `Job`, that a data set or model version it reads is no longer there."""
    without_data = exists(
        select(JobDataset.role)
        .outerjoin(Dataset, Dataset.id == JobDataset.dataset_id)
        .where(JobDataset.job_id == Job.id, Dataset.id.is_(None))
    )
    return without_data | model_is_gone()


def model_is_gone() -> Any:
    """The condition, on a row of `Job`, that a model version it reads is no longer there."""
    return exists(
        select(JobModel.role)
        .outerjoin(ModelVersion, _is_version)
        .where(JobModel.job_id == Job.id, ModelVersion.version.is_(None))
    )


def claim(
    session: Session,
    worker: str,
    lease_seconds: float,
    job_id: str | None = None,
    *,
    queues: list[str] | None = None,
    owner_slots: int = 0,
    pid: int | None = None,
) -> ClaimedJob | None:
    """Take the job, or, without `job_id`, the first of `queues`; None where there is none to take.

    The order is that of `fairness`; no owner gets more than `owner_slots` jobs under way, 0: no limit. `attempt`
    rises by one, and the lease runs from now on the database's clock. Claims are made one after the other, so that
    each counts those before it; a row that somebody else has locked (a cancel) is passed over.
    """
    if session.get_bind().dialect.name == "postgresql":
        session.execute(select(func.pg_advisory_xact_lock(_CLAIMS)))  # SQLite: BEGIN IMMEDIATE is this lock
    if job_id is None:
        found = _first(session, queues, owner_slots)
    else:
        found = session.scalar(_free(Job.id == job_id))
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


def _free(*conditions: ColumnElement[bool]) -> Select[Any]:
    ready = (Job.state == "queued", Job.run_after <= db_now(), ~data_is_gone())
    query = select(Job.id).where(*ready, *conditions).order_by(Job.id).limit(1)
    return query.with_for_update(skip_locked=True, of=Job)


def _first(session: Session, queues: list[str] | None, owner_slots: int) -> str | None:
    """Return the first job that can be had, locked."""
    for offset in itertools.count(0, _HEADS):
        heads = session.execute(fairness.heads(queues, owner_slots, limit=_HEADS, offset=offset)).all()
        for queue, priority, project, owner in heads:
            group = (Job.queue == queue, Job.priority == priority, Job.project == project, Job.owner == owner)
            # Most often it is the oldest of its group, unless its data is gone or somebody holds it.
            found: str | None = session.scalar(_free(*group))
            if found is not None:
                return found
        if len(heads) < _HEADS:
            break
    return None


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
    versions = session.execute(
        select(JobModel.role, ModelVersion.name, ModelVersion.version, ModelVersion.sha256, ModelVersion.blob_prefix)
        .join(ModelVersion, _is_version)
        .where(JobModel.job_id == job.id)
    )
    kept = session.scalars(
        select(JobCheckpoint)
        .where(JobCheckpoint.job_id == job.id)
        # A later attempt went on from what was whole: its checkpoints are newer, be their steps lower.
        .order_by(JobCheckpoint.attempt.desc(), JobCheckpoint.step.desc())
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
        models={role: ModelRef(name, version, sha256, prefix) for role, name, version, sha256, prefix in versions},
    )
