"""Numbers that only rise and outlive every process: what `GET /metrics` tells of all workers together.

They are added up in the session and written just before its commit, in the order of their names: so two
transactions never wait for each other's rows, whatever else they have locked, and in whatever order.
"""

from sqlalchemy import event, select
from sqlalchemy.orm import Session

from app.db.tables import Counter
from app.db.upsert import insert_for

_KEY = "totals"


def add(session: Session, name: str, number: int = 1) -> None:
    """Add to the total of that name, at most 32 characters, when the session commits."""
    waiting: dict[str, int] = session.info.setdefault(_KEY, {})
    waiting[name] = waiting.get(name, 0) + number


def read(session: Session) -> dict[str, int]:
    """Return every number that was ever added to, by name."""
    return {row.name: row.value for row in session.execute(select(Counter.name, Counter.value))}


@event.listens_for(Session, "before_commit")
def _write(session: Session) -> None:
    for name, number in sorted(session.info.pop(_KEY, {}).items()):
        session.execute(
            insert_for(session, Counter)
            .values(name=name, value=number)
            .on_conflict_do_update(index_elements=["name"], set_={"value": Counter.value + number})
        )
