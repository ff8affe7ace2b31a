"""What a running attempt reports: each write names the attempt, and does nothing where another owns the job."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, delete, select, update
from sqlalchemy.orm import Session

from app.db.engine import db_now
from app.db.tables import Job, JobAttempt, JobCheckpoint, JobMetric
from app.db.upsert import insert_for
from app.jobs.repository.moves import UNSYNCED, lock, note_fenced, storable, write_event

# A job of a million steps must not fill the events table: past this only edges are written.
MAX_EVENTS = 10_000


@dataclass(frozen=True)
class Flags:
    """What is asked of a running job."""

    cancel_requested: bool
    cancel_keep: str | None
    pause_requested: bool


def _owned(job_id: str, attempt: int) -> list[ColumnElement[bool]]:
    return [Job.id == job_id, Job.state == "running", Job.attempt == attempt]


def heartbeat(session: Session, job_id: str, attempt: int, lease_seconds: float) -> Flags | None:
    """Renew the lease from now on the database's clock; None where another attempt owns the job."""
    row = session.execute(
        update(Job)
        .where(*_owned(job_id, attempt))
        .values(lease_expires_at=db_now(lease_seconds))
        .returning(Job.cancel_requested_at, Job.cancel_keep, Job.pause_requested_at),
        execution_options=UNSYNCED,
    ).one_or_none()
    if row is None:
        note_fenced(session, job_id, attempt)
        return None
    return _flags(*row)


def read_flags(session: Session, job_id: str, attempt: int) -> Flags | None:
    """Return what is asked of the job without a write; None where another attempt owns it."""
    row = session.execute(
        select(Job.cancel_requested_at, Job.cancel_keep, Job.pause_requested_at).where(*_owned(job_id, attempt))
    ).one_or_none()
    return None if row is None else _flags(*row)


def _flags(cancel_at: datetime | None, keep: str | None, pause_at: datetime | None) -> Flags:
    return Flags(cancel_at is not None, keep, pause_at is not None)


def _set(session: Session, job_id: str, attempt: int, **values: Any) -> bool:
    found = session.execute(
        update(Job).where(*_owned(job_id, attempt)).values(updated_at=db_now(), **values).returning(Job.id),
        execution_options=UNSYNCED,
    ).one_or_none()
    if found is None:
        note_fenced(session, job_id, attempt)
    return found is not None


def append_event(session: Session, job_id: str, attempt: int, kind: str, data: dict[str, Any] | None = None) -> bool:
    """Write an event of the running attempt; False where it lost the job."""
    row = session.execute(
        update(Job)
        .where(*_owned(job_id, attempt))
        .values(event_seq=Job.event_seq + 1, updated_at=db_now())
        .returning(Job.project, Job.event_seq),
        execution_options=UNSYNCED,
    ).one_or_none()
    if row is None:
        note_fenced(session, job_id, attempt)
        return False
    write_event(session, row.project, job_id, row.event_seq, kind, data or {})
    return True


def record_attempt_start(
    session: Session, job_id: str, attempt: int, *, pid: int | None, fingerprint: dict[str, Any] | None = None
) -> bool:
    """Write down which process trains, and what its results depend on (versions, threads, flags)."""
    if lock(session, job_id, state="running", attempt=attempt) is None:
        return False
    values: dict[str, Any] = {"pid": pid}
    if fingerprint is not None:
        values["fingerprint"] = storable(fingerprint)
    session.execute(
        update(JobAttempt).where(JobAttempt.job_id == job_id, JobAttempt.attempt == attempt).values(**values),
        execution_options=UNSYNCED,
    )
    return True


def record_progress(
    session: Session, job_id: str, attempt: int, progress: dict[str, Any], *, trained_seconds: float | None = None
) -> bool:
    """Replace the job's progress (`epoch`, `epochs`, `step`, `steps`, `fraction`, …; API.md §4)."""
    values: dict[str, Any] = {"progress": storable(progress)}
    if trained_seconds is not None:
        values["trained_seconds"] = trained_seconds
    return _set(session, job_id, attempt, **values)


def record_halving(session: Session, job_id: str, attempt: int, training: dict[str, Any], data: dict[str, Any]) -> bool:
    """Replace fields of `resolved.training` by what really runs now, and say so in an event `batch_halved`."""
    job = lock(session, job_id, state="running", attempt=attempt)
    if job is None:
        return False
    resolved = {**job.resolved, "training": {**job.resolved["training"], **storable(training)}}
    _set(session, job_id, attempt, resolved=resolved)
    return append_event(session, job_id, attempt, "batch_halved", {"attempt": attempt, **data})


def record_warnings(session: Session, job_id: str, attempt: int, warnings: list[dict[str, Any]]) -> bool:
    """Add to the job's warnings those that are not among them yet."""
    job = lock(session, job_id, state="running", attempt=attempt)
    if job is None:
        return False
    new = [w for w in storable(warnings) if w not in job.warnings]
    return _set(session, job_id, attempt, warnings=[*job.warnings, *new]) if new else True


def record_metrics(session: Session, job_id: str, attempt: int, rows: Iterable[dict[str, Any]]) -> bool:
    """Write figures `{"epoch","step","split","values"}`, over those of an earlier attempt at the same step.

    The job's `metrics` become the newest of each split. One `metrics` event a step is written,
    up to `MAX_EVENTS` of the job.
    """
    job = lock(session, job_id, state="running", attempt=attempt)
    if job is None:
        return False
    newest = dict(job.metrics)
    steps: dict[tuple[int, int], dict[str, Any]] = {}
    for row in storable(list(rows)):
        _upsert_metric(session, job, attempt, row)
        newest[row["split"]] = row["values"]
        steps.setdefault((row["epoch"], row["step"]), {})[row["split"]] = row["values"]
    seq = job.event_seq
    for (epoch, step), values in steps.items():
        if seq >= MAX_EVENTS:
            break
        seq += 1
        data = {"attempt": attempt, "epoch": epoch, "step": step, "metrics": values}
        write_event(session, job.project, job_id, seq, "metrics", data)
    return _set(session, job_id, attempt, metrics=newest, event_seq=seq)


def _upsert_metric(session: Session, job: Job, attempt: int, row: dict[str, Any]) -> None:
    values = {"attempt": attempt, "values": row["values"], "at": db_now()}
    key = {"job_id": job.id, "split": row["split"], "epoch": row["epoch"], "step": row["step"]}
    session.execute(
        insert_for(session, JobMetric)
        .values(project=job.project, **key, **values)
        .on_conflict_do_update(index_elements=list(key), set_=values)
    )


def record_checkpoint(
    session: Session,
    job_id: str,
    attempt: int,
    *,
    epoch: int,
    step: int,
    is_best: bool,
    metrics: dict[str, Any],
    bytes_: int,
    sha256: str,
    blob_prefix: str,
    trained_seconds: float,
) -> bool:
    """Write down a checkpoint that is whole in the blob store; at most one of a job is the best."""
    job = lock(session, job_id, state="running", attempt=attempt)
    if job is None:
        return False
    if is_best:
        session.execute(
            update(JobCheckpoint).where(JobCheckpoint.job_id == job_id).values(is_best=False),
            execution_options=UNSYNCED,
        )
    key = {"job_id": job_id, "attempt": attempt, "step": step}
    values = {
        "epoch": epoch,
        "is_best": is_best,
        "metrics": storable(metrics),
        "bytes": bytes_,
        "sha256": sha256,
        "blob_prefix": blob_prefix,
        "created_at": db_now(),
    }
    session.execute(
        insert_for(session, JobCheckpoint)
        .values(project=job.project, **key, **values)
        .on_conflict_do_update(index_elements=list(key), set_=values)
    )
    _set(session, job_id, attempt, trained_seconds=trained_seconds)
    data = {"attempt": attempt, "epoch": epoch, "step": step, "is_best": is_best}
    return append_event(session, job_id, attempt, "checkpoint", data)


def prune_checkpoints(session: Session, job_id: str, attempt: int, *, keep: int = 2) -> list[str]:
    """Forget all but the newest `keep` checkpoints and the best; return the blob prefixes to remove.

    A later attempt's are newer, be their steps lower: it passed over what was damaged.

    The caller removes them after the commit; the sweep removes what it could not.
    """
    if lock(session, job_id, state="running", attempt=attempt) is None:
        return []
    rows = session.scalars(
        select(JobCheckpoint)
        .where(JobCheckpoint.job_id == job_id)
        .order_by(JobCheckpoint.attempt.desc(), JobCheckpoint.step.desc())
        .execution_options(populate_existing=True)
    ).all()
    old = [row for row in rows[keep:] if not row.is_best]
    for row in old:
        session.execute(
            delete(JobCheckpoint).where(
                JobCheckpoint.job_id == job_id, JobCheckpoint.attempt == row.attempt, JobCheckpoint.step == row.step
            ),
            execution_options=UNSYNCED,
        )
    return unread(session, [row.blob_prefix for row in old])


def unread(session: Session, prefixes: list[str]) -> list[str]:
    """Return those of the blob prefixes that no checkpoint row names: a job that publishes one has a row of its own."""
    named = set(session.scalars(select(JobCheckpoint.blob_prefix).where(JobCheckpoint.blob_prefix.in_(prefixes))))
    return [prefix for prefix in prefixes if prefix not in named]
