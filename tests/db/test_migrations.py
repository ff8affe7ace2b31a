"""Migrations go up, down and up again, and say what the tables say."""

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import inspect

from app.core.settings import Settings
from app.db.engine import Database
from app.db.migrate import alembic_config, migrate
from app.db.tables import Base


def up_down_up(database: Database) -> None:
    """Walk every revision both ways and compare the end with the tables."""
    migrate(database)
    command.downgrade(alembic_config(database), "base")
    assert set(inspect(database.engine).get_table_names()) == {"alembic_version"}
    migrate(database)
    migrate(database)  # a second worker that comes later changes nothing
    command.check(alembic_config(database))
    with database.engine.connect() as connection:
        differences = compare_metadata(MigrationContext.configure(connection), Base.metadata)
    assert differences == []
    names = set(inspect(database.engine).get_table_names()) - {"alembic_version"}
    assert names == set(Base.metadata.tables)
    for table in names:
        assert "project" in {c["name"] for c in inspect(database.engine).get_columns(table)}


def test_sqlite(settings: Settings) -> None:
    settings.home_dir.mkdir()
    database = Database(settings.database)
    up_down_up(database)
    database.close()


@pytest.mark.services
def test_postgresql(postgres_url: str) -> None:
    database = Database(postgres_url)
    up_down_up(database)
    database.close()
