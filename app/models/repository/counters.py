"""Numbers that only rise, so that other processes see that something changed."""

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.db.tables import Counter
from app.db.upsert import insert_for

CATALOGUE = "catalogue"


def raise_counter(session: Session, name: str) -> None:
    """Raise a counter by one; two transactions that do it give two."""
    new = insert_for(session, Counter).values(name=name, value=1)
    session.execute(new.on_conflict_do_update(index_elements=["name"], set_={"value": Counter.value + 1}))


def read_counter(session: Session, name: str) -> int:
    """Return the counter, 0 where it never rose."""
    return session.scalar(select(Counter.value).where(Counter.name == name)) or 0
