"""A fresh database for each test: SQLite always, PostgreSQL too where the marker `services` is chosen."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.db.engine import Database
from app.db.migrate import migrate
from app.db.tables import Base
from tests.servers import PostgresServer


def _migrated(url: str) -> None:
    database = Database(url)
    migrate(database)
    database.close()


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated database file, to be copied: migrating takes longer than most tests."""
    path = tmp_path_factory.mktemp("template") / "jobs.db"
    _migrated(f"sqlite:///{path}")
    return path


@pytest.fixture(scope="session")
def postgres_migrated(postgres_server: PostgresServer) -> str:
    """A migrated database for all tests of this folder, one after the other."""
    url = postgres_server.create_database()
    _migrated(url)
    return url


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.services)])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        path = tmp_path / "jobs.db"
        shutil.copy(request.getfixturevalue("sqlite_template"), path)
        return f"sqlite:///{path}"
    url: str = request.getfixturevalue("postgres_migrated")
    database = Database(url)
    with database.transaction() as session:
        # A tenth of the time of a new database, and nothing to remove at the end.
        for table in reversed(Base.metadata.sorted_tables):
            session.execute(table.delete())
    database.close()
    return url


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    database = Database(database_url)
    yield database
    database.close()
