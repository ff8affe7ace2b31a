"""Rows of idempotency keys: begun with a suffix for the id to be created, ended with the answer."""

from typing import Any

from sqlalchemy import delete, insert, select, update
from sqlalchemy.dialects.postgresql import insert as postgresql_insert
from sqlalchemy.dialects.sqlite import insert as sqlite_insert
from sqlalchemy.orm import Session

from app.db.engine import db_now
from app.db.tables import IdempotencyKey, ModelVersion


def begin(session: Session, project: str, key: str, suffix: str) -> IdempotencyKey | None:
    """Take `key` for a new request and return None, or return the row that has it already."""
    build: Any = {"sqlite": sqlite_insert, "postgresql": postgresql_insert}.get(session.get_bind().dialect.name, insert)
    statement = build(IdempotencyKey).values(project=project, key=key, suffix=suffix)
    taken = session.execute(statement.on_conflict_do_nothing().returning(IdempotencyKey.key)).first()
    if taken is not None:
        return None
    return session.get(IdempotencyKey, (project, key))


def take_over(session: Session, project: str, key: str, older_than_seconds: float) -> bool:
    """Begin anew a request that left no trace and is older than `older_than_seconds`."""
    statement = (
        update(IdempotencyKey)
        .where(
            IdempotencyKey.project == project,
            IdempotencyKey.key == key,
            IdempotencyKey.status.is_(None),
            IdempotencyKey.created_at < db_now(-older_than_seconds),
        )
        .values(created_at=db_now())
    )
    return session.execute(statement.returning(IdempotencyKey.key)).first() is not None


def end(
    session: Session, project: str, key: str, *, sha256: str, status: int, headers: dict[str, str], body: str
) -> None:
    """Keep the first answer."""
    session.execute(
        update(IdempotencyKey)
        .where(IdempotencyKey.project == project, IdempotencyKey.key == key)
        .values(request_sha256=sha256, status=status, headers=headers, body=body)
    )


def forget(session: Session, project: str, key: str) -> None:
    """Free a key whose request came to nothing."""
    session.execute(delete(IdempotencyKey).where(IdempotencyKey.project == project, IdempotencyKey.key == key))


def forget_older(session: Session, seconds: float, limit: int) -> int:
    """Forget up to `limit` keys begun more than `seconds` ago; return how many."""
    old = select(IdempotencyKey.key).where(IdempotencyKey.created_at < db_now(-seconds)).limit(limit)
    statement = delete(IdempotencyKey).where(IdempotencyKey.key.in_(old)).returning(IdempotencyKey.key)
    return len(session.execute(statement).all())


def find_upload(session: Session, project: str, upload: str) -> str | None:
    """Return where the model version lies that the upload with this id published, None where it published none."""
    prefix = f"bundles/{upload}/1"
    row = session.execute(
        select(ModelVersion.name, ModelVersion.version).where(
            ModelVersion.project == project, ModelVersion.blob_prefix == prefix
        )
    ).one_or_none()
    return f"/v1/models/{row.name}/versions/{row.version}" if row is not None else None
