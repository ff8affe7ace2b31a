"""Which versions started from which, in the database."""

from collections.abc import Iterable

from sqlalchemy import ColumnElement, select, tuple_
from sqlalchemy.orm import Session

from app.db.tables import ModelVersion


def find_dependants(session: Session, project: str, name: str, version: int | None, limit: int) -> list[str]:
    """Return refs of the versions that started from this one; with None, of other models' from any of the name."""
    if version is None:
        condition: ColumnElement[bool] = ModelVersion.base.startswith(f"{name}@", autoescape=True) & (
            ModelVersion.name != name
        )
    else:
        condition = ModelVersion.base == f"{name}@{version}"
    rows = session.execute(
        select(ModelVersion.name, ModelVersion.version)
        .where(ModelVersion.project == project, condition)
        .order_by(ModelVersion.name, ModelVersion.version)
        .limit(limit)
    )
    return [f"{one}@{number}" for one, number in rows]


def existing(session: Session, project: str, refs: Iterable[str | None]) -> set[str]:
    """Return those of the refs, `name@3`, that are versions."""
    pairs = [(ref.rpartition("@")[0], int(ref.rpartition("@")[2])) for ref in set(refs) if ref is not None]
    if not pairs:
        return set()
    key = tuple_(ModelVersion.name, ModelVersion.version)
    rows = session.execute(
        select(ModelVersion.name, ModelVersion.version).where(ModelVersion.project == project, key.in_(pairs))
    )
    return {f"{name}@{version}" for name, version in rows}
