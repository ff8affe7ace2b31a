"""Rows of workers, and the figures of the queue."""

from typing import Any

from sqlalchemy import delete, func, select
from sqlalchemy.orm import Session

from app.db.engine import db_now
from app.db.tables import Job, Worker


def record_worker(
    session: Session,
    *,
    name: str,
    host: str,
    pid: int,
    slots: int,
    devices: list[Any],
    release: str,
    queues: tuple[str, ...] = ("default",),
) -> None:
    """Write down a sign of life; the first one makes the row."""
    worker = session.get(Worker, name)
    if worker is None or worker.pid != pid:
        session.merge(
            Worker(
                name=name, host=host, pid=pid, slots=slots, devices=devices, release=release,
                queues=list(queues), started_at=db_now(), last_seen_at=db_now(),
            )
        )  # fmt: skip
        return
    worker.last_seen_at = db_now()
    worker.devices, worker.slots, worker.queues = devices, slots, list(queues)


def remove_worker(session: Session, name: str) -> None:
    """Forget a worker that ended cleanly."""
    session.execute(delete(Worker).where(Worker.name == name))


def live_workers(session: Session, within_seconds: float) -> list[Worker]:
    """Return the workers that were seen within `within_seconds`, by name."""
    query = select(Worker).where(Worker.last_seen_at > db_now(-within_seconds)).order_by(Worker.name)
    return list(session.scalars(query))


def queues_of(worker: Worker) -> tuple[str, ...]:
    """Return the queues that a worker serves; one of an earlier release serves the one there was."""
    return ("default",) if worker.queues is None else tuple(worker.queues)


def count_jobs(session: Session) -> dict[str, int]:
    """Return how many jobs are in each state."""
    rows = session.execute(select(Job.state, func.count()).group_by(Job.state))
    return {row[0]: row[1] for row in rows}


def oldest_queued_seconds(session: Session) -> float:
    """Return for how long the oldest runnable job has waited, seconds; 0 when none does."""
    query = select(func.min(Job.run_after), db_now()).where(Job.state == "queued", Job.run_after <= db_now())
    oldest, now = session.execute(query).one()
    return max(0.0, (now - oldest).total_seconds()) if oldest is not None else 0.0
