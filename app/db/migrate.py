"""Bring a database to the newest revision, once, whoever comes first."""

from pathlib import Path

from alembic import command
from alembic.config import Config

from app.db.engine import Database

_MIGRATIONS = Path(__file__).resolve().parents[2] / "migrations"


def alembic_config(database: Database) -> Config:
    """Return Alembic's configuration for `database`; no ini file is needed."""
    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS))
    config.attributes["database"] = database
    return config


def migrate(database: Database, revision: str = "head") -> None:
    """Upgrade to `revision`. On PostgreSQL an advisory lock lets one process do it at a time."""
    command.upgrade(alembic_config(database), revision)
