"""A whole service as real processes, whose parts a drill can find, kill, freeze and stop.

    embedded     `trainyard up`: private broker, API, a worker with two slots, SQLite
    postgresql   `trainyard api`, two workers of one slot with folders of their own, PostgreSQL, Redis

What stands at the top and dies is started again, as a container's restart policy would. Nothing is left
when the drill's process ends, however it ends.
"""

import itertools
import json
import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, Literal

import httpx

from app.core.auth import key_line, new_key
from app.db.engine import Database
from app.lifeline import tethered
from tests.drills.pace import Pace
from tests.drills.servers import Postgres, Redis
from tests.drills.trainer import VARIABLE
from tests.servers import free_port
from tests.workers.processes import command_of, lives, tree_of

Stack = Literal["embedded", "postgresql"]
STACKS: Final[tuple[Stack, ...]] = ("embedded", "postgresql")
ROOT: Final = Path(__file__).resolve().parents[2]
PENGUINS: Final = ROOT / "app" / "demo" / "penguins.csv"
FINAL: Final = frozenset({"succeeded", "failed", "cancelled"})
ROLES: Final[dict[str, tuple[str, ...]]] = {
    "api": ("app.serve",),
    "launcher": ("drills.launcher", "workers.launcher"),
    "celery": ("drills.pool", "workers.pool"),
    "slot": ("drills.pool", "workers.pool"),  # a child of Celery's main process
    "spawner": ("workers.spawner",),
    "trainer": ("workers.spawner",),  # a child of a spawner
    "broker": ("valkey-server", "redis-server"),
}
READY_SECONDS = 120.0
Script = list[dict[str, Any]]


class World:
    """One service in one folder. A context manager; its methods are called from one thread, `http` from any."""

    def __init__(
        self, folder: Path, stack: Stack, pace: Pace, *, scripted: bool = True, secret: str = "drill",
        data: Path | None = None, variables: dict[str, str] | None = None,
    ) -> None:  # fmt: skip
        """`secret` is the password of every server; `data` is where all that the service writes goes."""
        self.folder, self.stack, self.pace, self.scripted = folder, stack, pace, scripted
        self.data = data or folder
        self.home = self.data / "home"
        self.scripts, self.logs = folder / "scripts", folder / "logs"
        for made in (self.scripts, self.logs):
            made.mkdir(parents=True)
        self.key = new_key()
        (folder / "keys").write_text(key_line("drill", self.key))
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.postgres = Postgres(folder / "postgres", secret) if stack == "postgresql" else None
        self.redis = Redis(folder / "broker", secret) if stack == "postgresql" else None
        self.environment = {n: v for n, v in os.environ.items() if not n.startswith("TRAINYARD_")} | self._settings()
        self.environment |= variables or {}
        self.tops: dict[str, subprocess.Popen[bytes]] = {}
        self.resting: set[str] = set()
        self.timeline: list[str] = []
        self.began = time.monotonic()
        self.http = httpx.Client(base_url=self.url, headers=self.headers, timeout=30, trust_env=False)
        self.database: Database | None = None
        self.dataset = ""
        self._numbers = itertools.count(1)

    @property
    def headers(self) -> dict[str, str]:
        """Those of every request."""
        return {"Authorization": f"Bearer {self.key}"}

    @property
    def blobs(self) -> Path:
        """Where the blobs lie."""
        return self.data / "blobs" if self.stack == "postgresql" else self.home / "blobs"

    def _settings(self) -> dict[str, str]:
        settings = {
            "TRAINYARD_HOME": str(self.home), "TRAINYARD_PORT": str(self.port),
            "TRAINYARD_API_KEYS_FILE": str(self.folder / "keys"), "TRAINYARD_WORKER_SLOTS": "2",
            "TRAINYARD_TRAINER_THREADS": "1", "TRAINYARD_CONTROL_SECONDS": "0.5", VARIABLE: str(self.scripts),
        }  # fmt: skip
        if self.postgres is not None and self.redis is not None:
            settings |= {
                "TRAINYARD_DATABASE_URL": self.postgres.url, "TRAINYARD_BROKER_URL": self.redis.url,
                "TRAINYARD_STORAGE_URL": f"file://{self.blobs}", "TRAINYARD_WORKER_SLOTS": "1",
            }  # fmt: skip
        return settings | self.pace.variables

    # Starting and stopping

    def __enter__(self) -> "World":
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """Start everything that does not run and wait until it is ready and has a data set."""
        for server in (self.postgres, self.redis):
            if server is not None and server.process is None:
                server.start()
        if self.database is None:
            if self.stack == "postgresql":
                subprocess.run([sys.executable, "-m", "app.cli", "migrate"], env=self.environment, cwd=ROOT,
                               check=True, stdout=subprocess.DEVNULL)  # fmt: skip
            url = self.postgres.url if self.postgres is not None else f"sqlite:///{self.home / 'trainyard.db'}"
            self.database = Database(url, pool_size=4)
        self.resting.clear()
        self.keep()
        self.wait_for(self.is_ready, READY_SECONDS, "a ready service")
        if not self.dataset:
            answer = self.http.post("/v1/datasets", params={"name": "p.csv"}, content=PENGUINS.read_bytes(),
                                    headers={"content-type": "text/csv"})  # fmt: skip
            self.dataset = answer.raise_for_status().json()["id"]

    def stop(self) -> None:
        """Stop everything; AssertionError when a process of it is left."""
        everything = [pid for top in self.tops.values() for pid in (top.pid, *tree_of(top.pid))]
        for top in self.tops.values():
            top.send_signal(signal.SIGCONT)
            top.terminate()
        for top in self.tops.values():
            try:
                top.wait(45)
            except subprocess.TimeoutExpired:
                top.kill()
                top.wait()
        self.tops.clear()
        for server in (self.redis, self.postgres):
            if server is not None:
                server.kill()
        self.http.close()
        if self.database is not None:
            self.database.close()
        until = time.monotonic() + 20
        while left := [pid for pid in everything if lives(pid)]:
            assert time.monotonic() < until, f"left behind: {[command_of(pid) for pid in left]}"
            threading.Event().wait(0.05)

    def keep(self) -> None:
        """Start what stands at the top and does not run, but what rests."""
        for name, (module, variables) in self._programs().items():
            top = self.tops.get(name)
            if name in self.resting or (top is not None and top.poll() is None):
                continue
            with (self.logs / f"{name}.log").open("ab") as log:
                self.tops[name] = subprocess.Popen(
                    tethered([sys.executable, "-m", *module]), cwd=ROOT, env=self.environment | variables,
                    stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
                )  # fmt: skip

    def _programs(self) -> dict[str, tuple[list[str], dict[str, str]]]:
        if self.stack == "embedded":
            return {"up": (["tests.drills.up"] if self.scripted else ["app.cli", "up"], {})}
        worker = ["tests.drills.launcher"] if self.scripted else ["workers.launcher"]
        own = {
            name: {"TRAINYARD_HOME": str(self.data / name), "TRAINYARD_WORKER_NAME": name}
            for name in ("worker-1", "worker-2")
        }
        return {"api": (["app.cli", "api"], {}), **{name: (worker, variables) for name, variables in own.items()}}

    def is_ready(self) -> bool:
        """Whether every part answers and every worker is there."""
        try:
            answer = self.http.get("/readyz")
            workers = self.http.get("/v1/system").json().get("workers", [])
        except (httpx.HTTPError, ValueError):
            return False
        return answer.status_code == 200 and len(workers) >= len(self._programs()) - (self.stack == "postgresql")

    # Processes

    def pids(self, role: str) -> list[int]:
        """The processes that play a role: of `ROLES`, or the name of a top."""
        if role in self._programs() and role != "api":
            top = self.tops.get(role)
            return [top.pid] if top is not None and top.poll() is None else []
        if role == "broker" and self.redis is not None:
            return self.redis.pids
        found = [p for p in self.everything() if any(name in command_of(p) for name in ROLES[role])]
        match role:
            case "celery" | "spawner":
                return [pid for pid in found if _parent(pid) not in found]
            case "slot" | "trainer":
                return [pid for pid in found if _parent(pid) in found]
            case _:
                return found

    def everything(self) -> list[int]:
        """Every process below the tops, and the tops."""
        return [pid for top in self.tops.values() if top.poll() is None for pid in (top.pid, *tree_of(top.pid))]

    def tree(self, pid: int) -> list[int]:
        """Every process below `pid`."""
        return tree_of(pid)

    def group(self, leader: int) -> list[int]:
        """The living processes of a process group."""
        found = []
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                try:
                    fields = (entry / "stat").read_text().rpartition(")")[2].split()
                except OSError:
                    continue
                if fields[0] != "Z" and int(fields[2]) == leader:
                    found.append(int(entry.name))
        return found

    def owner_of(self, job_id: str) -> list[int]:
        """The slot that supervises a job, its spawner and trainer."""
        trainer = int(
            self.one("SELECT pid FROM job_attempts WHERE job_id = :job ORDER BY attempt DESC LIMIT 1", job_id)
        )
        spawner = _parent(trainer)
        return [_parent(spawner), spawner, trainer]

    def signal(self, pids: list[int], number: signal.Signals) -> None:
        """Signal processes; one that is gone is none."""
        for pid in pids:
            try:
                os.kill(pid, number)
            except ProcessLookupError:
                continue

    # Jobs

    def request(self, script: Script, **fields: Any) -> dict[str, Any]:
        """The body of a job whose trainer follows `script`."""
        number = next(self._numbers)
        (self.scripts / f"{number}.json").write_text(json.dumps(script))
        return {
            "recipe": "tabular-classification", "dataset": self.dataset, "columns": {"target": "species"},
            "model": "drill", "training": {"seed": number, "epochs": 2}, **fields,
        }  # fmt: skip

    def submit(self, script: Script, **fields: Any) -> str:
        """Submit a job of a script; return its id."""
        return self.post(self.request(script, **fields))

    def post(self, body: dict[str, Any]) -> str:
        """Submit a job; return its id. AssertionError unless the answer is 201."""
        answer = self.http.post("/v1/jobs", json=body)
        assert answer.status_code == 201, (answer.status_code, answer.text)
        return str(answer.json()["id"])

    def job(self, job_id: str) -> dict[str, Any]:
        """The job as the API shows it."""
        found: dict[str, Any] = self.http.get(f"/v1/jobs/{job_id}").raise_for_status().json()
        return found

    def state(self, job_id: str) -> str:
        """The state of a job, from the database."""
        return str(self.one("SELECT state FROM jobs WHERE id = :job", job_id))

    def step(self, job_id: str) -> int:
        """The last step that the trainer reported."""
        return int((self.job(job_id)["progress"] or {}).get("step", 0))

    def wait_state(self, job_id: str, state: str, seconds: float) -> dict[str, Any]:
        """Wait until the job is in a state; return it."""
        self.wait_for(lambda: self.state(job_id) == state, seconds, f"{job_id} {state}")
        return self.job(job_id)

    def rows(self, query: str, job_id: str = "") -> list[tuple[Any, ...]]:
        """What a query gives; `:job` in it is the job's id. Asked of the database itself, past the service."""
        if self.postgres is not None:
            import psycopg

            with psycopg.connect(self.postgres.url, connect_timeout=5) as connection:
                return connection.execute(query.replace(":job", "%(job)s"), {"job": job_id}).fetchall()  # type: ignore[arg-type]
        connection = sqlite3.connect(f"file:{self.home / 'trainyard.db'}?mode=ro", uri=True, timeout=5)
        try:
            return connection.execute(query, {"job": job_id}).fetchall()
        finally:
            connection.close()

    def one(self, query: str, job_id: str = "") -> Any:
        """The first value that a query gives; None where there is no row."""
        rows = self.rows(query, job_id)
        return rows[0][0] if rows else None

    def manifest(self, job_id: str) -> dict[str, Any]:
        """The manifest of what the job has published."""
        found = self.one("SELECT manifest FROM model_versions WHERE job_id = :job", job_id)
        manifest: dict[str, Any] = json.loads(found) if isinstance(found, str) else found
        return manifest

    # Time

    def note(self, what: str) -> None:
        """Write a line of the timeline."""
        self.timeline.append(f"{time.monotonic() - self.began:8.2f} s  {what}")

    def wait_for(self, holds: Callable[[], Any], seconds: float, what: str) -> float:
        """Keep the tops running until `holds()`; return the seconds it took, AssertionError past `seconds`."""
        began = time.monotonic()
        while not holds():
            assert time.monotonic() - began < seconds, f"{what}: not within {seconds:g} s"
            self.keep()
            threading.Event().wait(0.05)
        return time.monotonic() - began

    def let_pass(self, seconds: float) -> None:
        """Keep the tops running for so long."""
        until = time.monotonic() + seconds
        self.wait_for(lambda: time.monotonic() >= until, seconds + 10, "the time")


def _parent(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    except OSError:
        return 0
