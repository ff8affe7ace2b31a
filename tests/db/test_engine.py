"""The database by URL: nothing lost between writers, one clock, clear failures."""

import sqlite3
import threading
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import select, update

from app.core.settings import Settings
from app.db.engine import Database, DatabaseUnavailable, db_now
from app.db.migrate import migrate
from app.db.tables import Counter, Worker


@pytest.fixture
def database(settings: Settings) -> Database:
    settings.home_dir.mkdir()
    database = Database(settings.database)
    migrate(database)
    return database


def test_concurrent_increments_lose_nothing(database: Database) -> None:
    with database.transaction() as session:
        session.add(Counter(name="n", value=0))

    def count() -> None:
        for _ in range(50):
            with database.transaction() as session:
                value = session.scalars(select(Counter.value).where(Counter.name == "n")).one()
                session.execute(update(Counter).where(Counter.name == "n").values(value=value + 1))

    threads = [threading.Thread(target=count) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with database.reading() as session:
        assert session.scalars(select(Counter.value)).one() == 300


def test_an_error_rolls_back(database: Database) -> None:
    def write_and_fail() -> None:
        with database.transaction() as session:
            session.add(Counter(name="n", value=0))
            session.flush()
            raise RuntimeError

    with pytest.raises(RuntimeError):
        write_and_fail()
    with database.reading() as session:
        assert session.scalars(select(Counter)).all() == []


def test_the_clock_is_the_databases_and_moves_by_offset(database: Database) -> None:
    with database.transaction() as session:
        session.add(Worker(name="w", host="h", pid=1, slots=1, devices=[], release="0", last_seen_at=db_now(-30.5)))
    with database.reading() as session:
        worker = session.scalars(select(Worker)).one()
        assert worker.last_seen_at.tzinfo is not None
        assert worker.started_at - worker.last_seen_at == pytest.approx(
            timedelta(seconds=30.5), abs=timedelta(seconds=1)
        )
        assert abs(worker.started_at - datetime.now(UTC)) < timedelta(seconds=5)
        assert session.scalars(select(Worker).where(Worker.last_seen_at < db_now(-30))).all() == [worker]
        assert session.scalars(select(Worker).where(Worker.last_seen_at < db_now(-40))).all() == []


def test_a_locked_database_is_an_overload_not_a_crash(settings: Settings) -> None:
    settings.home_dir.mkdir()
    database = Database(settings.database + "?timeout=0.05")
    migrate(database)
    blocker = sqlite3.connect(settings.home_dir / "trainyard.db", isolation_level=None)
    blocker.execute("BEGIN IMMEDIATE")
    try:
        with database.engine.connect() as connection:
            connection.exec_driver_sql("PRAGMA busy_timeout=50")
        with pytest.raises(DatabaseUnavailable) as caught, database.transaction():
            pass
        assert caught.value.status == 503
        assert caught.value.retry_after_seconds == 2
    finally:
        blocker.close()
