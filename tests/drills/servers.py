"""PostgreSQL and Redis for a drill: programs that can be killed, wiped, frozen and started again."""

import os
import signal
import subprocess
from pathlib import Path

import psycopg
import redis

from tests.servers import as_other_user, free_port, postgres_binaries, require_redis, tied_to_us, wait_until
from tests.workers.processes import lives, tree_of

START_SECONDS = 30.0


class Server:
    """A server program with its data folder."""

    name = ""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = free_port()
        self.process: subprocess.Popen[bytes] | None = None

    def command(self) -> list[str]:
        """The command line."""
        raise NotImplementedError

    def answers(self) -> bool:
        """Whether it takes requests."""
        raise NotImplementedError

    @property
    def pids(self) -> list[int]:
        """Every process of it, the first one first."""
        return [] if self.process is None else [self.process.pid, *tree_of(self.process.pid)]

    def start(self) -> None:
        """Start it and wait until it answers."""
        with (self.folder.parent / f"{self.name}.log").open("ab") as log:
            self.process = subprocess.Popen(self.command(), cwd=self.folder, stdout=log, stderr=log)
        wait_until(self.answers, START_SECONDS, f"the start of {self.name}")

    def kill(self) -> None:
        """Kill -9 everything of it."""
        self.signal(signal.SIGKILL)
        self._wait()

    def shut_down(self) -> None:
        """Stop it as an administrator does who does not wait for clients."""
        if self.process is not None:
            self.process.send_signal(signal.SIGINT)
            self._wait()

    def signal(self, number: signal.Signals) -> None:
        """Signal every process of it; SIGSTOP and SIGCONT freeze and thaw it."""
        for pid in self.pids:
            try:
                os.kill(pid, number)
            except ProcessLookupError:
                continue

    def _wait(self) -> None:
        pids = self.pids
        if self.process is not None:
            self.process.wait(30)
        wait_until(lambda: not any(map(lives, pids)), 30, f"the end of {self.name}")
        self.process = None


class Postgres(Server):
    """A PostgreSQL with one database, as another user where this one is root."""

    name = "postgres"

    def __init__(self, folder: Path, password: str) -> None:
        """`password` is that of the URL; the server trusts who comes from this machine."""
        super().__init__(folder)
        self.password = password
        folder.mkdir(mode=0o755)
        self._binaries = postgres_binaries()
        self._prefix = as_other_user(folder)
        initdb = [*self._prefix, str(self._binaries / "initdb"), "-D", str(folder / "data"), "-U", "trainyard"]
        subprocess.run(
            [*initdb, "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync"],
            check=True, stdout=subprocess.DEVNULL, cwd=folder,
        )  # fmt: skip

    @property
    def url(self) -> str:
        """The URL of the database of the service."""
        return f"postgresql://trainyard:{self.password}@127.0.0.1:{self.port}/postgres"

    def command(self) -> list[str]:
        """PostgreSQL in the foreground; fsync is for the machine's crash, which no drill makes."""
        command = [*self._prefix, str(self._binaries / "postgres"), "-D", str(self.folder / "data")]
        command += ["-p", str(self.port), "-h", "127.0.0.1"]
        for option in (f"unix_socket_directories={self.folder}", "fsync=off"):
            command += ["-c", option]
        return command

    def answers(self) -> bool:
        """Whether it takes connections."""
        try:
            psycopg.connect(self.url, connect_timeout=2).close()
        except psycopg.OperationalError:
            return False
        return True

    def dump(self) -> str:
        """Every row of every table as text."""
        lines = []
        with psycopg.connect(self.url) as connection:
            tables = connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'").fetchall()
            for (table,) in tables:
                # The name comes from the catalogue, not from a client.
                rows = connection.execute(f'SELECT row_to_json(t)::text FROM "{table}" t').fetchall()  # type: ignore[arg-type]
                lines += [f"{table}: {row}" for (row,) in rows]
        return "\n".join(lines)


class Redis(Server):
    """A Redis or Valkey that keeps nothing: each start is an empty one."""

    name = "broker"

    def __init__(self, folder: Path, password: str) -> None:
        super().__init__(folder)
        self.password = password
        folder.mkdir()
        self._binary = require_redis()

    @property
    def url(self) -> str:
        """The URL with the password."""
        return f"redis://:{self.password}@127.0.0.1:{self.port}/0"

    def command(self) -> list[str]:
        """Redis without persistence."""
        # The password comes by a file: a command line is for all to read.
        config = self.folder / "redis.conf"
        lines = ("bind 127.0.0.1", f"port {self.port}", f"requirepass {self.password}", 'save ""', "appendonly no")
        config.write_text("".join(f"{line}\n" for line in (*lines, f"dir {self.folder}")))
        return [*tied_to_us(), self._binary, str(config)]

    def client(self) -> redis.Redis:
        """A client of it."""
        return redis.Redis(port=self.port, password=self.password, socket_timeout=2)

    def answers(self) -> bool:
        """Whether it takes commands."""
        try:
            with self.client() as client:
                return bool(client.ping())
        except redis.RedisError:
            return False
