"""One database, two ways in: `transaction()` to write, `reading()` to read."""

import random
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, cast

import psycopg
from sqlalchemy import URL, DateTime, Dialect, Engine, create_engine, event, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.orm import Session
from sqlalchemy.sql import expression
from sqlalchemy.types import TypeDecorator

from app.core.errors import Overloaded
from app.db.away import Away, is_of_the_server, patient_connection

_BUSY_SECONDS = 5.0
# Less than a second: a full pool is an overload, answered 503, not a request that hangs for SQLAlchemy's 30 s.
_POOL_SECONDS = 0.75
# The least that psycopg takes (psycopg.conninfo.timeout_from_conninfo).
_CONNECT_SECONDS = 2


class DatabaseUnavailable(Overloaded):
    """The database did not answer: 503, to be tried again; nothing was written."""

    code = "unavailable"

    def __init__(self) -> None:
        super().__init__("The database does not answer at the moment; try again.", retry_after_seconds=2)


class UtcDateTime(TypeDecorator[datetime]):
    """An aware instant in UTC on every database (SQLite keeps no zone)."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        value = value.astimezone(UTC)
        return value.replace(tzinfo=None) if dialect.name == "sqlite" else value

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


class db_now(expression.FunctionElement[datetime]):  # noqa: N801  (reads as the SQL function it is)
    """The database's clock, moved by `offset_seconds`: leases never compare two hosts' clocks."""

    type = UtcDateTime()
    inherit_cache = False

    def __init__(self, offset_seconds: float = 0.0) -> None:
        super().__init__()
        self.offset_seconds = float(offset_seconds)


@compiles(db_now, "sqlite")
def _db_now_sqlite(element: db_now, compiler: Any, **kw: Any) -> str:
    # The text form in which SQLAlchemy stores a DateTime, so that text order is time order.
    return f"strftime('%Y-%m-%d %H:%M:%f000', 'now', '{element.offset_seconds:+.3f} seconds')"


@compiles(db_now, "postgresql")
def _db_now_postgresql(element: db_now, compiler: Any, **kw: Any) -> str:
    return f"(clock_timestamp() + interval '{element.offset_seconds:.3f} seconds')"


class Database:
    """A database by URL: SQLite (WAL, immediate write transactions) or PostgreSQL.

    Sessions expire nothing on commit, so rows read inside a transaction may be used after it.
    """

    def __init__(self, url: str, *, pool_size: int = 10, answer_seconds: float | None = None) -> None:
        """`answer_seconds`: how long an answer of PostgreSQL is waited for; None, for migrations: for ever."""
        self.url = make_url(url)
        if self.url.drivername in ("postgresql", "postgres"):
            self.url = self.url.set(drivername="postgresql+psycopg")
        self.is_sqlite = self.url.get_backend_name() == "sqlite"
        self._away = Away()
        if self.is_sqlite:
            self.engine = _sqlite_engine(self.url.render_as_string(hide_password=False), pool_size)
        else:
            self.engine = _postgresql_engine(self.url, pool_size, answer_seconds, self._away)

    @contextmanager
    def transaction(self) -> Iterator[Session]:
        """Yield a session whose work is committed at the end of the block, or rolled back.

        Raise DatabaseUnavailable when the database cannot be reached or stays locked.
        """
        with self._translated(), Session(self.engine, expire_on_commit=False) as session:
            if self.is_sqlite:
                _begin_immediate(session)
            yield session
            session.commit()

    @contextmanager
    def reading(self) -> Iterator[Session]:
        """Yield a session that only reads; raise DatabaseUnavailable as `transaction` does."""
        with self._translated(), Session(self.engine, expire_on_commit=False) as session:
            yield session

    def ping(self) -> None:
        """Raise DatabaseUnavailable when the database does not answer."""
        with self._translated():
            self._ask()

    def close(self) -> None:
        """Close every pooled connection."""
        self.engine.dispose()

    def _ask(self) -> None:
        with self.engine.connect() as connection:
            connection.execute(text("SELECT 1"))

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            if not self._away.is_back(self._ask):
                raise DatabaseUnavailable
            yield
        except (OperationalError, InterfaceError, PoolTimeoutError) as error:
            if is_of_the_server(getattr(error, "orig", None)):
                self._away.note()
            raise DatabaseUnavailable from error


def _begin_immediate(session: Session) -> None:
    """Take the write lock, waiting for it as likely as anybody else.

    It is taken first: a deferred transaction that reads and then writes fails at once with
    "database is locked", whatever the time-out (measured). It is asked for every few milliseconds:
    SQLite's own wait grows to 100 ms a try, so that whoever waited longest gets it least (measured,
    8 writers without a pause on 2 busy cores: p99 2.1-2.5 s and now and then past 5 s, an error;
    asked for evenly 0.5-1.0 s and never past 2.5 s).
    """
    connection = cast(sqlite3.Connection, session.connection().connection.driver_connection)
    deadline = time.monotonic() + _BUSY_SECONDS
    connection.execute("PRAGMA busy_timeout=0")
    try:
        while True:
            try:
                connection.execute("BEGIN IMMEDIATE")
            except sqlite3.OperationalError as error:
                is_busy = error.sqlite_errorcode & 0xFF == sqlite3.SQLITE_BUSY
                if not is_busy or time.monotonic() > deadline:
                    raise DatabaseUnavailable from error
                time.sleep(random.uniform(0.001, 0.004))  # noqa: S311  (spreads the tries, keeps no secret)
            else:
                return
    finally:
        connection.execute(f"PRAGMA busy_timeout={_BUSY_SECONDS * 1000:.0f}")


def _postgresql_engine(url: URL, pool_size: int, answer_seconds: float | None, away: Away) -> Engine:
    engine = create_engine(
        url,
        pool_size=pool_size,
        max_overflow=0,
        pool_timeout=_POOL_SECONDS,
        pool_pre_ping=True,
        connect_args={
            "connect_timeout": _CONNECT_SECONDS,
            "options": "-c statement_timeout=10000 -c lock_timeout=5000 "
            "-c idle_in_transaction_session_timeout=30000 -c timezone=UTC",
        },
    )
    connection = psycopg.Connection if answer_seconds is None else patient_connection(answer_seconds, away)

    @event.listens_for(engine, "do_connect")
    def _connect(_dialect: Dialect, _record: object, arguments: list[Any], options: dict[str, Any]) -> Any:
        # After a ping that was not answered the pool connects anew, which would take as long again.
        if away.refuses:
            raise psycopg.OperationalError("the database is known to be away")
        return connection.connect(*arguments, **options)

    return engine


def _sqlite_engine(url: str, pool_size: int) -> Engine:
    engine = create_engine(
        url,
        pool_size=pool_size,
        max_overflow=10,
        pool_timeout=5,
        connect_args={"isolation_level": None, "timeout": _BUSY_SECONDS, "check_same_thread": False},
    )

    @event.listens_for(engine, "connect")
    def _pragmas(connection: sqlite3.Connection, _record: object) -> None:
        cursor = connection.cursor()
        cursor.execute("PRAGMA journal_mode=WAL")
        cursor.execute("PRAGMA synchronous=FULL")  # a 201 survives a power cut
        cursor.execute(f"PRAGMA busy_timeout={_BUSY_SECONDS * 1000:.0f}")
        cursor.execute("PRAGMA foreign_keys=ON")
        cursor.close()

    return engine
