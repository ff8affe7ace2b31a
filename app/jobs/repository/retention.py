"""What is removed: jobs, checkpoints and keys past their time. Every batch is bounded."""

from datetime import datetime

from sqlalchemy import delete, func, select, update
from sqlalchemy.orm import Session

from app.db import totals
from app.db.engine import db_now
from app.db.tables import Counter, Dataset, IdempotencyKey, Job, JobCheckpoint, ModelVersion, Worker
from app.db.upsert import insert_for
from app.jobs.repository.moves import UNSYNCED
from app.jobs.repository.records import unread
from app.jobs.states import FINAL

DAY_SECONDS = 86_400.0


def delete_job(session: Session, job_id: str) -> bool:
    """Remove an ended job and all that hangs on it but its models; False where it has not ended."""
    removed = session.execute(
        delete(Job).where(Job.id == job_id, Job.state.in_(sorted(FINAL))).returning(Job.id), execution_options=UNSYNCED
    )
    return removed.one_or_none() is not None


def expired_jobs(session: Session, days: float, limit: int) -> list[str]:
    """Return ids of jobs that ended more than `days` ago, oldest first."""
    query = select(Job.id).where(Job.state.in_(sorted(FINAL)), Job.finished_at < db_now(-days * DAY_SECONDS))
    return list(session.scalars(query.order_by(Job.finished_at).limit(limit)))


def forget_checkpoints(session: Session, days: float, limit: int) -> list[str]:
    """Forget checkpoints of jobs that ended more than `days` ago; return the blob prefixes to remove."""
    rows = session.execute(
        select(JobCheckpoint.job_id, JobCheckpoint.attempt, JobCheckpoint.step, JobCheckpoint.blob_prefix)
        .join(Job, Job.id == JobCheckpoint.job_id)
        .where(Job.state.in_(sorted(FINAL)), Job.finished_at < db_now(-days * DAY_SECONDS))
        .limit(limit)
    ).all()
    for job_id, attempt, step, _ in rows:
        session.execute(
            delete(JobCheckpoint).where(
                JobCheckpoint.job_id == job_id, JobCheckpoint.attempt == attempt, JobCheckpoint.step == step
            ),
            execution_options=UNSYNCED,
        )
    return unread(session, [prefix for *_, prefix in rows])


def has_read_checkpoints(session: Session, job_id: str) -> bool:
    """Tell whether a job that publishes a checkpoint of this one still names it."""
    named = select(JobCheckpoint.job_id).where(JobCheckpoint.blob_prefix.startswith(f"checkpoints/{job_id}/"))
    return session.scalar(named.limit(1)) is not None


def forget_keys(session: Session, seconds: float) -> int:
    """Remove idempotency keys older than `seconds`; return how many."""
    gone = session.execute(
        delete(IdempotencyKey).where(IdempotencyKey.created_at < db_now(-seconds)).returning(IdempotencyKey.key),
        execution_options=UNSYNCED,
    )
    return len(gone.all())


def forget_workers(session: Session, seconds: float) -> int:
    """Remove workers that were not seen for `seconds`; return how many."""
    gone = session.execute(
        delete(Worker).where(Worker.last_seen_at < db_now(-seconds)).returning(Worker.name), execution_options=UNSYNCED
    )
    return len(gone.all())


def take_turn(session: Session, name: str, now_seconds: int, every_seconds: int) -> bool:
    """Tell whether it is this caller's turn to do what all processes together do once in `every_seconds`."""
    session.execute(insert_for(session, Counter).values(name=name, value=0).on_conflict_do_nothing())
    taken = session.execute(
        update(Counter)
        .where(Counter.name == name, Counter.value <= now_seconds - every_seconds)
        .values(value=now_seconds)
        .returning(Counter.name),
        execution_options=UNSYNCED,
    )
    return taken.one_or_none() is not None


def named_prefixes(session: Session, prefixes: list[str]) -> set[str]:
    """Return those of the blob prefixes that a row of a data set, checkpoint or model version names."""
    named: set[str] = set()
    for column in (Dataset.blob_prefix, JobCheckpoint.blob_prefix, ModelVersion.blob_prefix):
        named.update(session.scalars(select(column).where(column.in_(prefixes))))
    return named


def jobs_with_logs(session: Session, job_ids: list[str], days: float) -> set[str]:
    """Return those of the jobs that have not ended, or did so in the last `days`: their logs are kept."""
    kept = func.coalesce(Job.finished_at, db_now()) >= db_now(-days * DAY_SECONDS)
    return set(session.scalars(select(Job.id).where(Job.id.in_(job_ids), kept)))


def rings_due(session: Session, after_seconds: float, limit: int) -> list[tuple[str, str, str]]:
    """Return `(id, project, queue)` of queued jobs to ring for, and write down that it was done.

    A job that was not rung for is due at once; else each pause is twice the one before, so that
    a day behind a busy worker leaves a dozen messages in the broker and not thousands.
    """
    now: datetime = session.execute(select(db_now())).scalar_one()
    rows = session.execute(
        select(Job.id, Job.project, Job.queue, Job.run_after, Job.rung_at)
        .where(Job.state == "queued", Job.run_after <= db_now())
        .where(Job.rung_at.is_(None) | (Job.rung_at < db_now(-after_seconds)))
        .order_by(Job.priority.desc(), Job.id)
        .limit(limit)
        .with_for_update(skip_locked=True)
    ).all()
    due = [
        (job_id, project, queue)
        for job_id, project, queue, run_after, rung_at in rows
        if rung_at is None or (now - rung_at).total_seconds() >= after_seconds + (rung_at - run_after).total_seconds()
    ]
    if due:
        totals.add(session, "bells_rerung", len(due))
        session.execute(
            update(Job).where(Job.id.in_([job_id for job_id, *_ in due])).values(rung_at=db_now()),
            execution_options=UNSYNCED,
        )
    return due
