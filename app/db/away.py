"""A PostgreSQL that does not answer: noticed in time, and then not waited for by everybody.

A server that is frozen, swapped out or behind a broken network takes connections and answers nothing. No
time-out of the server helps then (`statement_timeout` is its own clock), nor does TCP's (its kernel still
acknowledges): measured, requests hung for as long as the server was stopped.
"""

import threading
import time
from collections.abc import Callable
from typing import Any, TypeVar

import psycopg
from psycopg.abc import PQGen

T = TypeVar("T")

# Classes of SQLSTATE that tell of the server and not of a statement: connection, shutdown and start, no slot free.
_OF_THE_SERVER = ("08", "57P", "53300")


class Away:
    """Whether the database is known to be away. Then one caller at a time tries it, and all others fail at once."""

    def __init__(self) -> None:
        self._is_away = False
        self._trying = threading.Lock()
        self._tries = threading.local()

    def note(self) -> None:
        """It did not answer."""
        self._is_away = True

    @property
    def refuses(self) -> bool:
        """Whether the calling thread need not try: the database is away, and another thread is the one that tries."""
        return self._is_away and not getattr(self._tries, "here", False)

    def is_back(self, ping: Callable[[], None]) -> bool:
        """Tell whether it may be used: at once, unless it is away and this caller is the one that tries it.

        Whatever `ping` raises is passed on.
        """
        if not self._is_away:
            return True
        if not self._trying.acquire(blocking=False):
            return False
        self._tries.here = True
        try:
            ping()
            self._is_away = False
        finally:
            self._tries.here = False
            self._trying.release()
        return True


def is_of_the_server(error: BaseException | None) -> bool:
    """Tell whether an error of psycopg says that the server is away, and not what is wrong with a statement."""
    if not isinstance(error, psycopg.OperationalError | psycopg.InterfaceError):
        return False
    return error.sqlstate is None or error.sqlstate.startswith(_OF_THE_SERVER)


def patient_connection(answer_seconds: float, away: Away) -> type[psycopg.Connection[Any]]:
    """Return a class of connections on which no answer is waited for longer than `answer_seconds`."""

    class PatientConnection(psycopg.Connection[Any]):
        def wait(self, gen: PQGen[T], interval: float = 0.1, timeout: float | None = None) -> T:
            deadline = time.monotonic() + answer_seconds
            try:
                return super().wait(gen, interval, min(answer_seconds, timeout or answer_seconds))
            except psycopg.OperationalError:
                if time.monotonic() >= deadline:
                    away.note()
                    self.pgconn.finish()  # its answer would come into the next one's question
                raise

    return PatientConnection
