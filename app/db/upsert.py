"""`INSERT … ON CONFLICT` by the dialect of the session."""

from typing import Any

from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from app.db.tables import Base


def insert_for(session: Session, table: type[Base]) -> Any:
    """Return the dialect's own `insert(table)`, which has `on_conflict_do_update` and `…_nothing`."""
    if session.get_bind().dialect.name == "postgresql":
        return postgresql.insert(table)
    return sqlite.insert(table)
