"""Alembic's entry: runs on the database that `app.db.migrate` (or alembic.ini's caller) hands over."""

from typing import Any

from alembic import context
from sqlalchemy import JSON, text

from app.core.settings import Settings
from app.db.engine import Database, UtcDateTime, db_now
from app.db.tables import Base

LOCK_KEY = 0x7261696E  # "rain": any fixed number; all our migrations queue behind it


def render_item(kind: str, item: Any, _context: Any) -> Any:
    """Write our own types by the names that `script.py.mako` imports."""
    if kind == "type" and isinstance(item, UtcDateTime):
        return "UtcDateTime()"
    if kind == "type" and isinstance(item, JSON):
        return "Json"
    if kind == "server_default" and isinstance(getattr(item, "arg", None), db_now):
        return "db_now()"
    return False


def run() -> None:
    database: Database | None = context.config.attributes.get("database")
    own = database is None
    if database is None:
        settings = Settings()
        settings.home_dir.mkdir(parents=True, exist_ok=True)
        database = Database(settings.database)
    with database.engine.connect() as connection:
        if not database.is_sqlite:
            connection.execute(text("SELECT pg_advisory_lock(:key)"), {"key": LOCK_KEY})
            connection.commit()
        context.configure(
            connection=connection,
            target_metadata=Base.metadata,
            render_as_batch=database.is_sqlite,
            compare_server_default=False,
            render_item=render_item,
            transactional_ddl=True,
        )
        if database.is_sqlite:
            connection.execute(text("BEGIN IMMEDIATE"))
        with context.begin_transaction():
            context.run_migrations()
        connection.commit()
        if not database.is_sqlite:
            connection.execute(text("SELECT pg_advisory_unlock(:key)"), {"key": LOCK_KEY})
            connection.commit()
    if own:
        database.close()


run()
