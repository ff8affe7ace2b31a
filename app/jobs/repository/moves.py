"""The one way a job's state changes: a conditional UPDATE and its event, in one transaction."""

from typing import Any

from sqlalchemy import insert, select, update
from sqlalchemy.orm import Session

from app.core.ids import new_id
from app.core.json import dump_json, parse_json
from app.db import totals
from app.db.engine import db_now
from app.db.tables import Job, JobEvent
from app.jobs.states import EDGES, FINAL, State
from app.jobs.views import job_view
from app.webhooks.repository import outbox as webhooks

# An update here never relies on objects that the session holds; see `lock`.
UNSYNCED: dict[str, Any] = {"synchronize_session": False}

EMPTY_METRICS: dict[str, Any] = {"train": {}, "validation": {}, "test": {}}


def storable(value: Any) -> Any:
    """Return `value` as JSON that any database keeps: NaN and infinities null, NumPy scalars plain."""
    return parse_json(dump_json(value), unique_keys=False)


def lock(session: Session, job_id: str, *, state: State | None = None, attempt: int | None = None) -> Job | None:
    """Return the row, locked until the end of the transaction, where it is in `state` and of `attempt`.

    SQLite holds the write lock since BEGIN IMMEDIATE; PostgreSQL locks the row.
    """
    query = select(Job).where(Job.id == job_id)
    if state is not None:
        query = query.where(Job.state == state)
    if attempt is not None:
        query = query.where(Job.attempt == attempt)
    found = session.scalars(query.with_for_update().execution_options(populate_existing=True)).one_or_none()
    if found is None and attempt is not None:
        note_fenced(session, job_id, attempt)
    return found


def note_fenced(session: Session, job_id: str, attempt: int) -> None:
    """Count a write that found its job in other hands; one that only came after the end of its own does not count."""
    row = session.execute(select(Job.attempt, Job.state).where(Job.id == job_id)).one_or_none()
    if row is not None and (row.attempt != attempt or row.state == "queued"):
        totals.add(session, "fenced_writes")


def write_event(session: Session, project: str, job_id: str, seq: int, kind: str, data: dict[str, Any]) -> None:
    """Insert the event row that `seq` was drawn for, and what webhooks are told of it, under the event's id."""
    event_id = new_id("evt")
    session.execute(
        insert(JobEvent).values(
            id=event_id, project=project, job_id=job_id, seq=seq, type=kind, at=db_now(), data=storable(data)
        )
    )
    webhooks.announce(session, project, f"job.{kind}", lambda: _news(session, job_id), message_id=event_id)


def _news(session: Session, job_id: str) -> dict[str, Any]:
    query = select(Job).where(Job.id == job_id).execution_options(populate_existing=True)
    view = job_view(session.scalars(query).one())
    # What a receiver can ask for and need not be sent: the two may be far larger than all the rest.
    return {"job": view.model_dump(mode="json", exclude={"request", "resolved"})}


def move(
    session: Session,
    job_id: str,
    source: State,
    target: State,
    *,
    event: str,
    data: dict[str, Any] | None = None,
    attempt: int | None = None,
    values: dict[str, Any] | None = None,
) -> bool:
    """Go along one edge and write its event; False, and nothing written, where the row is elsewhere by now."""
    if (source, target) not in EDGES:
        raise ValueError(f"there is no edge from {source} to {target}")
    values = dict(values or {})
    if source == "running":
        values |= {"lease_owner": None, "lease_expires_at": None}
    if target in FINAL:
        values |= {"finished_at": db_now(), "pause_requested_at": None}
    guard = [Job.id == job_id, Job.state == source]
    if attempt is not None:
        guard.append(Job.attempt == attempt)
    moved = session.execute(
        update(Job)
        .where(*guard)
        .values(state=target, updated_at=db_now(), event_seq=Job.event_seq + 1, **values)
        .returning(Job.project, Job.event_seq),
        execution_options=UNSYNCED,
    ).one_or_none()
    if moved is None:
        if attempt is not None:
            note_fenced(session, job_id, attempt)
        return False
    write_event(session, moved.project, job_id, moved.event_seq, event, data or {})
    return True
