"""What is read of jobs. Where a client asks, the project is part of every condition."""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Select, String, Text, cast, func, literal, or_, select, tuple_
from sqlalchemy.orm import Session

from app.db.paging import fetch_page
from app.db.tables import Dataset, Job, JobAttempt, JobCheckpoint, JobEvent, JobMetric


@dataclass(frozen=True)
class Stamp:
    """Enough of a job to see that something happened to it."""

    state: str
    seq: int


@dataclass(frozen=True)
class JobFilter:
    """Conditions of a list; None or empty: no condition."""

    state: str | None = None
    kind: str | None = None
    recipe: str | None = None
    metadata: dict[str, str] | None = None


def get_job(session: Session, project: str, job_id: str) -> Job | None:
    """Return the job as it is in the database now."""
    query = select(Job).where(Job.id == job_id, Job.project == project)
    return session.scalars(query.execution_options(populate_existing=True)).one_or_none()


def list_jobs(
    session: Session, project: str, wanted: JobFilter, *, limit: int, after: str | None, descending: bool
) -> tuple[list[Job], bool]:
    """Return a page of jobs in order of creation, and whether more follow."""
    query = select(Job).where(Job.project == project)
    if wanted.state is not None:
        query = query.where(Job.state == wanted.state)
    if wanted.kind is not None:
        query = query.where(Job.kind == wanted.kind)
    if wanted.recipe is not None:
        query = query.where(Job.recipe == wanted.recipe)
    for key, value in (wanted.metadata or {}).items():
        query = _with_metadata(session, query, key, value)
    return fetch_page(session, query, Job.id, limit=limit, after=after, descending=descending)


def _with_metadata(session: Session, query: Select[Any], key: str, value: str) -> Select[Any]:
    """Keep jobs whose metadata has `key` with the value that is written `value` in JSON, or that text."""
    if session.get_bind().dialect.name == "postgresql":
        return query.where(Job.meta.op("->>")(literal(key, String)) == value)
    # json_each takes any key; a key inside a JSON path would have to be quoted.
    pair = func.json_each(Job.meta).table_valued("key", "value", "type")
    is_literal = pair.c.type.in_(("true", "false"))
    equal = or_(~is_literal & (cast(pair.c.value, Text) == value), is_literal & (pair.c.type == value))
    return query.where(select(literal(1)).select_from(pair).where(pair.c.key == key, equal).exists())


def read_stamps(session: Session, job_ids: list[str]) -> dict[str, Stamp]:
    """Return the stamp of each job that there is."""
    rows = session.execute(select(Job.id, Job.state, Job.event_seq).where(Job.id.in_(job_ids)))
    return {job_id: Stamp(state, seq) for job_id, state, seq in rows}


def find_retry(session: Session, project: str, job_id: str) -> str | None:
    """Return the id of the job that was made from this one by `retry`, if any."""
    query = select(Job.id).where(Job.retry_of == job_id, Job.project == project).order_by(Job.id).limit(1)
    return session.scalar(query)


def was_resumed(session: Session, job_id: str) -> bool:
    """Tell whether the last thing asked of the job was `resume`."""
    verbs = ("paused", "resumed", "pause_requested", "cancel_requested", "cancelled")
    query = (
        select(JobEvent.type)
        .where(JobEvent.job_id == job_id, JobEvent.type.in_(verbs))
        .order_by(JobEvent.seq.desc())
        .limit(1)
    )
    return session.scalar(query) == "resumed"


def get_evaluation(session: Session, job_id: str) -> dict[str, Any] | None:
    """Return the figures on the test split."""
    return session.scalar(select(Job.evaluation).where(Job.id == job_id))


def list_metrics(
    session: Session, job_id: str, *, limit: int, after: tuple[int, int, str] | None
) -> tuple[list[JobMetric], bool]:
    """Return figures in order of (step, epoch, split), past `after`, and whether more follow."""
    key = (JobMetric.step, JobMetric.epoch, JobMetric.split)
    query = select(JobMetric).where(JobMetric.job_id == job_id)
    if after is not None:
        query = query.where(tuple_(*key) > after)
    rows = list(session.scalars(query.order_by(*key).limit(limit + 1)))
    return rows[:limit], len(rows) > limit


def list_events(
    session: Session, job_id: str, *, limit: int, after: int | None, descending: bool
) -> tuple[list[JobEvent], bool]:
    """Return events in order of their numbers, past number `after`, and whether more follow."""
    query = select(JobEvent).where(JobEvent.job_id == job_id)
    return fetch_page(session, query, JobEvent.seq, limit=limit, after=after, descending=descending)


def find_event_seq(session: Session, job_id: str, event_id: str) -> int | None:
    """Return the number of an event of the job."""
    return session.scalar(select(JobEvent.seq).where(JobEvent.id == event_id, JobEvent.job_id == job_id))


def list_attempts(session: Session, job_id: str) -> list[JobAttempt]:
    """Return all attempts, first to last."""
    query = select(JobAttempt).where(JobAttempt.job_id == job_id).order_by(JobAttempt.attempt)
    return list(session.scalars(query))


def attempt_outcome(session: Session, job_id: str, attempt: int) -> str | None:
    """Return how an attempt ended; None where it has not."""
    return session.scalar(select(JobAttempt.outcome).where(JobAttempt.job_id == job_id, JobAttempt.attempt == attempt))


def list_checkpoints(session: Session, job_id: str) -> list[JobCheckpoint]:
    """Return the checkpoints that are kept, first to last."""
    query = select(JobCheckpoint).where(JobCheckpoint.job_id == job_id)
    return list(session.scalars(query.order_by(JobCheckpoint.step, JobCheckpoint.attempt)))


def find_datasets(session: Session, project: str, ids: set[str], *, lock: bool = False) -> dict[str, tuple[str, str]]:
    """Return `(name, sha256)` of each data set that there is; with `lock`, none can be deleted meanwhile."""
    query = select(Dataset.id, Dataset.name, Dataset.sha256).where(Dataset.id.in_(ids), Dataset.project == project)
    if lock:
        query = query.with_for_update(read=True)
    return {dataset_id: (name, sha256) for dataset_id, name, sha256 in session.execute(query)}


def lock_job(session: Session, project: str, job_id: str) -> Job | None:
    """Return the job, locked until the end of the transaction."""
    query = select(Job).where(Job.id == job_id, Job.project == project)
    return session.scalars(query.with_for_update().execution_options(populate_existing=True)).one_or_none()
