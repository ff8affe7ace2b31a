"""What a forecast of the queue needs to know: who waits, what runs, how long the last jobs took."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import func, or_, select
from sqlalchemy.orm import Session

from app.db.engine import db_now
from app.db.tables import Job, JobAttempt, OwnerUse
from app.jobs.repository import fairness


@dataclass(frozen=True)
class Waiting:
    """A queued job, its place in its queue, and its turn over all queues."""

    id: str
    queue: str
    position: int
    turn: int
    kind: str
    recipe: str | None
    expected_seconds: float | None
    priority: int = 0
    project: str = "default"
    owner: str = ""
    level: float = 0.0
    """How much its owner has used lately; see `fairness.raise_level`."""


@dataclass(frozen=True)
class Running:
    """A job under way; its attempt has been going for `elapsed_seconds`, its progress is `heard_seconds` old."""

    worker: str
    kind: str
    recipe: str | None
    expected_seconds: float | None
    trained_seconds: float
    progress: dict[str, Any] | None
    elapsed_seconds: float
    heard_seconds: float
    queue: str = "default"
    project: str = "default"
    owner: str = ""


@dataclass(frozen=True)
class Ended:
    """A job that succeeded at its first attempt: what was expected of it, and what it took."""

    kind: str
    recipe: str | None
    expected_seconds: float | None
    seconds: float


def waiting_ids(session: Session, job_ids: list[str]) -> list[str]:
    """Return those of the jobs that are queued."""
    return list(session.scalars(select(Job.id).where(Job.id.in_(job_ids), Job.state == "queued")))


def read_line(session: Session, job_ids: list[str], owner_slots: int, limit: int) -> list[Waiting]:
    """Return the first `limit` queued jobs in the order of their turns, and `job_ids` wherever they stand."""
    places = fairness.places(None, owner_slots)
    query = (
        select(
            places.c.id, places.c.queue, places.c.position, places.c.turn, Job.kind, Job.recipe, Job.expected_seconds,
            Job.priority, Job.project, Job.owner, func.coalesce(OwnerUse.level, 0.0),
        )
        .join(Job, Job.id == places.c.id)
        .outerjoin(OwnerUse, (OwnerUse.project == Job.project) & (OwnerUse.owner == Job.owner))
        .where(or_(places.c.turn <= limit, places.c.id.in_(job_ids)))
        .order_by(places.c.turn)
    )  # fmt: skip
    return [Waiting(*row) for row in session.execute(query)]


def read_running(session: Session) -> list[Running]:
    """Return the jobs under way."""
    query = (
        select(
            Job.lease_owner, Job.kind, Job.recipe, Job.expected_seconds, Job.trained_seconds, Job.progress,
            Job.queue, Job.project, Job.owner, JobAttempt.started_at, Job.updated_at, db_now(),
        )
        .join(JobAttempt, (JobAttempt.job_id == Job.id) & (JobAttempt.attempt == Job.attempt))
        .where(Job.state == "running")
    )  # fmt: skip
    return [
        Running(
            worker or "", kind, recipe, expected, trained, progress, _seconds(began, now), _seconds(heard, now), *whose
        )
        for worker, kind, recipe, expected, trained, progress, *whose, began, heard, now in session.execute(query)
    ]


def read_ended(session: Session, limit: int) -> list[Ended]:
    """Return the last jobs that succeeded without being interrupted, newest first."""
    query = (
        select(Job.kind, Job.recipe, Job.expected_seconds, Job.started_at, Job.finished_at)
        .where(Job.state == "succeeded", Job.attempt == 1)
        .order_by(Job.finished_at.desc())
        .limit(limit)
    )
    return [
        Ended(kind, recipe, expected, _seconds(began, finished))
        for kind, recipe, expected, began, finished in session.execute(query)
        if began is not None and finished is not None
    ]


def _seconds(began: datetime, until: datetime) -> float:
    return max(0.0, (until - began).total_seconds())
