"""Rows of workers, and the figures of the queue."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import delete, func, select
from sqlalchemy.orm import Session

from app.db.engine import db_now
from app.db.tables import Job, WebhookDelivery, WebhookMessage, Worker


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


def count_by_queue(session: Session) -> dict[tuple[str, str], int]:
    """Return how many jobs are in each state and queue."""
    rows = session.execute(select(Job.state, Job.queue, func.count()).group_by(Job.state, Job.queue))
    return {(state, queue): count for state, queue, count in rows}


def busy_slots(session: Session) -> dict[str, int]:
    """Return how many jobs each worker has under way, by the worker's name."""
    query = select(Job.lease_owner, func.count()).where(Job.state == "running").group_by(Job.lease_owner)
    return {worker or "": count for worker, count in session.execute(query)}


@dataclass(frozen=True)
class Age:
    """For how long the jobs of a queue have waited that could run, seconds: the oldest, and 99 of 100."""

    oldest: float
    p99: float


def queued_ages(session: Session, owner_slots: int) -> dict[str, Age]:
    """Return the ages by queue; a job that its owner's own jobs hold back (`owner_slots`) does not count."""
    ready = (Job.state == "queued", Job.run_after <= db_now())
    held = _held_owners(session, owner_slots)
    rows = session.execute(
        select(Job.queue, Job.project, Job.owner, func.min(Job.run_after), func.count())
        .where(*ready)
        .group_by(Job.queue, Job.project, Job.owner)
    )
    oldest: dict[str, datetime] = {}
    counts: dict[str, int] = {}
    for queue, project, owner, since, count in rows:
        if (project, owner) not in held:
            oldest[queue] = min(since, oldest.get(queue, since))
            counts[queue] = counts.get(queue, 0) + count
    now = session.execute(select(db_now())).scalar_one()
    ages = {}
    for queue, since in oldest.items():
        line = select(Job.run_after).where(*ready, Job.queue == queue).order_by(Job.run_after)
        late = session.scalar(line.offset(counts[queue] // 100).limit(1)) or since
        ages[queue] = Age(max(0.0, (now - since).total_seconds()), max(0.0, (now - late).total_seconds()))
    return ages


def _held_owners(session: Session, owner_slots: int) -> set[tuple[str, str]]:
    if not owner_slots:
        return set()
    query = select(Job.project, Job.owner).where(Job.state == "running").group_by(Job.project, Job.owner)
    return {(project, owner) for project, owner in session.execute(query.having(func.count() >= owner_slots))}


@dataclass(frozen=True)
class Outbox:
    """Deliveries of webhooks that wait: how many, since when the oldest waits, and how overdue a try is, seconds."""

    pending: int
    oldest: float
    overdue: float


def webhook_outbox(session: Session) -> Outbox:
    """Return what the webhooks have still to deliver."""
    pending = WebhookDelivery.state == "pending"
    query = select(func.count(), func.min(WebhookMessage.created_at), func.min(WebhookDelivery.due_at), db_now())
    query = query.join(WebhookMessage, WebhookMessage.id == WebhookDelivery.message_id).where(pending)
    count, created, due, now = session.execute(query).one()
    ages = [max(0.0, (now - since).total_seconds()) if since is not None else 0.0 for since in (created, due)]
    return Outbox(count, *ages)
