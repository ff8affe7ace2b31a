"""Cursor paging over time-sortable ids (API.md §1, lists)."""

from typing import Any

from sqlalchemy import Select
from sqlalchemy.orm import InstrumentedAttribute, Session


def fetch_page(
    session: Session,
    query: Select[Any],
    key: InstrumentedAttribute[Any],
    *,
    limit: int,
    after: Any | None,
    descending: bool,
) -> tuple[list[Any], bool]:
    """Return up to `limit` rows of `query` ordered by `key`, past `after`, and whether more follow."""
    if after is not None:
        query = query.where(key < after if descending else key > after)
    query = query.order_by(key.desc() if descending else key.asc()).limit(limit + 1)
    rows = list(session.scalars(query))
    return rows[:limit], len(rows) > limit
