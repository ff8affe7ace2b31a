"""Private PostgreSQL and Redis servers for tests marked `services`, each in a temporary folder.

They listen on free ports of the loopback address, keep nothing, and die with the tests.
Where the binaries are missing the tests are skipped with a line that says so; in CI they fail.
"""

import contextlib
import itertools
import os
import pwd
import shutil
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import psycopg
import pytest
import redis

START_SECONDS = 30.0


def wait_until(holds: Callable[[], bool], seconds: float, what: str) -> None:
    """Return as soon as `holds()`; fail the test when it does not within `seconds`."""
    deadline = time.monotonic() + seconds
    pause = threading.Event()
    while not holds():
        assert time.monotonic() < deadline, f"{what} did not happen within {seconds:g} s"
        pause.wait(0.02)


def free_port() -> int:
    """Return a TCP port of the loopback address that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _missing(what: str) -> None:
    if os.environ.get("CI"):
        pytest.fail(f"{what} is not installed; CI demands it")
    pytest.skip(f"{what} is not installed")


@dataclass
class PostgresServer:
    """A running server; each test takes a database of its own."""

    port: int
    _numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    def url(self, database: str) -> str:
        """Return the URL of a database."""
        return f"postgresql://trainyard@127.0.0.1:{self.port}/{database}"

    def create_database(self) -> str:
        """Create an empty database and return its URL."""
        name = f"test_{next(self._numbers)}"
        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            connection.execute(f'CREATE DATABASE "{name}"')
        return self.url(name)

    def drop_database(self, url: str) -> None:
        """Remove a database, and end whoever is connected to it: its files would slow the end of the run."""
        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            connection.execute(f'DROP DATABASE "{url.rpartition("/")[2]}" WITH (FORCE)')

    def answers(self) -> bool:
        """Tell whether the server takes connections."""
        try:
            psycopg.connect(self.url("postgres"), connect_timeout=2).close()
        except psycopg.OperationalError:
            return False
        return True


@contextlib.contextmanager
def running_postgres() -> Iterator[PostgresServer]:
    """Start a server, as another user where this one is root (PostgreSQL refuses root)."""
    binaries = postgres_binaries()
    folder = Path(tempfile.mkdtemp(prefix="trainyard-pg-"))
    data = folder / "data"
    server = PostgresServer(free_port())
    as_user = as_other_user(folder)
    initdb = [*as_user, str(binaries / "initdb"), "-D", str(data), "-U", "trainyard", "-A", "trust"]
    try:
        subprocess.run(
            [*initdb, "-E", "UTF8", "--locale=C", "--no-sync"], check=True, stdout=subprocess.DEVNULL, cwd=folder
        )
        command = [*as_user, str(binaries / "postgres"), "-D", str(data), "-p", str(server.port), "-h", "127.0.0.1"]
        # What a test writes need not survive the machine.
        for option in (f"unix_socket_directories={folder}", "fsync=off", "full_page_writes=off"):
            command += ["-c", option]
        with (folder / "log").open("wb") as log, _process(command, log, folder):
            wait_until(server.answers, START_SECONDS, "the start of PostgreSQL")
            yield server
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def postgres_binaries() -> Path:
    """Return the folder of PostgreSQL's programs."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"), key=lambda p: int(p.parent.parent.name))
    on_path = shutil.which("postgres")
    if not found and not on_path:
        _missing("PostgreSQL")
    return (found[-1] if found else Path(on_path or "").resolve()).parent


def as_other_user(folder: Path) -> list[str]:
    """Return what goes before a command that must not run as root, and give `folder` to whom it runs as."""
    dietied_to_us = ["setpriv", "--pdeathsig", "KILL"]
    if os.getuid() != 0:
        return dietied_to_us if shutil.which("setpriv") else []
    if not shutil.which("setpriv"):
        _missing("setpriv (PostgreSQL refuses to run as root)")
    names = [entry.pw_name for entry in pwd.getpwall()]
    user = pwd.getpwnam("postgres" if "postgres" in names else "nobody")
    os.chown(folder, user.pw_uid, user.pw_gid)
    return [*dietied_to_us, f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups"]


@dataclass
class RedisServer:
    """A running Redis or Valkey without persistence."""

    port: int

    @property
    def url(self) -> str:
        """The URL of its first database."""
        return f"redis://127.0.0.1:{self.port}/0"

    def answers(self) -> bool:
        """Tell whether the server takes commands."""
        try:
            with redis.Redis(port=self.port, socket_timeout=1) as client:
                return bool(client.ping())
        except redis.RedisError:
            return False


@contextlib.contextmanager
def running_redis(port: int | None = None) -> Iterator[RedisServer]:
    """Start a server, on `port` where a test starts one again in the place of another."""
    binary = require_redis()
    server = RedisServer(port or free_port())
    folder = Path(tempfile.mkdtemp(prefix="trainyard-redis-"))
    command = [*tied_to_us(), binary, "--port", str(server.port), "--bind", "127.0.0.1", "--dir", str(folder)]
    try:
        with (folder / "log").open("wb") as log, _process([*command, "--save", "", "--appendonly", "no"], log, folder):
            wait_until(server.answers, START_SECONDS, "the start of Redis")
            yield server
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def require_redis() -> str:
    """Return the program of Redis or Valkey."""
    binary = shutil.which("redis-server") or shutil.which("valkey-server")
    if binary is None:
        _missing("redis-server or valkey-server")
    return str(binary)


def tied_to_us() -> list[str]:
    """Return what goes before a command that shall die with this process."""
    return ["setpriv", "--pdeathsig", "KILL"] if shutil.which("setpriv") else []


@contextlib.contextmanager
def _process(command: list[str], log: object, folder: Path) -> Iterator[None]:
    process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, cwd=folder)  # type: ignore[call-overload]
    try:
        yield
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """One server for all tests of the run."""
    with running_postgres() as server:
        yield server


@pytest.fixture
def postgres_url(postgres_server: PostgresServer) -> Iterator[str]:
    """An empty database of the test's own."""
    url = postgres_server.create_database()
    yield url
    postgres_server.drop_database(url)


@pytest.fixture
def redis_server() -> Iterator[RedisServer]:
    """A server of the test's own."""
    with running_redis() as server:
        yield server
