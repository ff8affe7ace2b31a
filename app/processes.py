"""What `trainyard up`, `api` and `worker` start, watch and stop.

    trainyard up ─┬─ broker (Valkey on a unix socket)
                  ├─ api × api_processes (uvicorn on one shared socket)
                  └─ worker (workers.launcher ── Celery ── slots ── spawner ── trainer)

Every process is tied to its parent (`app.lifeline`), so that nothing is left when the topmost one is killed.
The worker is started as a program, never imported: `app` does not know `workers`.
"""

import http.client
import logging
import os
import shutil
import signal
import socket
import sys
import time
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from types import FrameType

import click

from app import RELEASE
from app.children import KeptChild
from app.core.auth import is_loopback
from app.core.logging import configure_logging
from app.core.settings import Settings
from app.db.engine import Database
from app.db.migrate import migrate
from app.embedded import BrokerMissing, PrivateBroker, broker_url
from app.holding import StartRefused, hold_home, listen

TICK_SECONDS = 0.2
READY_SECONDS = 60.0
API_STOP_SECONDS = 12.0
WORKER_STOP_SECONDS = 32.0
# An API that ends so often in a row, soon after each start, will not come up by trying again.
GIVE_UP_AFTER = 4
WORKER = "workers.launcher"
_LOG_BYTES = 10 << 20


def run_up(settings: Settings) -> int:
    """Serve everything until SIGINT or SIGTERM; return the exit code."""
    return _run(settings, with_broker=settings.broker_url is None, with_worker=True)


def run_api(settings: Settings) -> int:
    """Serve the HTTP API alone until SIGINT or SIGTERM; return the exit code."""
    return _run(settings, with_broker=False, with_worker=False)


def run_worker(settings: Settings) -> int:
    """Become a worker: this process is replaced, so that signals reach the launcher itself."""
    settings.work_dir.mkdir(parents=True, exist_ok=True)
    environment = settings_environment(settings, broker_url(settings))
    os.execve(sys.executable, [sys.executable, "-m", WORKER], environment)  # noqa: S606  (no shell)


def settings_environment(settings: Settings, broker: str) -> dict[str, str]:
    """Return this process's environment with `settings` and the broker in force as TRAINYARD_… variables."""
    environment = dict(os.environ)
    for name in Settings.model_fields:
        value = getattr(settings, name)
        variable = f"TRAINYARD_{name.upper()}"
        if value is None:
            environment.pop(variable, None)
        else:
            environment[variable] = str(value)
    environment["TRAINYARD_HOME"] = str(settings.home_dir)
    environment["TRAINYARD_BROKER_URL"] = broker
    return environment


def _run(settings: Settings, *, with_broker: bool, with_worker: bool) -> int:
    configure_logging("WARNING")
    try:
        with ExitStack() as stack:
            if with_worker:
                stack.enter_context(hold_home(settings.home_dir))
            _refuse_to_be_open(settings)
            sock = stack.enter_context(listen(settings.host, settings.port))
            return _Service(settings, sock, stack, with_broker=with_broker, with_worker=with_worker).run()
    except (StartRefused, BrokerMissing) as refusal:
        click.echo(f"Error: {refusal}", err=True)
        return 1


def _refuse_to_be_open(settings: Settings) -> None:
    if settings.api_keys_file is None and not is_loopback(settings.host):
        raise StartRefused(
            f"Without keys the service listens on a loopback address only, not on {settings.host}. "
            "Make one with `trainyard key create NAME` and set TRAINYARD_API_KEYS_FILE."
        )


class _Service:
    """The processes of one command, from start to stop."""

    def __init__(
        self, settings: Settings, sock: socket.socket, stack: ExitStack, *, with_broker: bool, with_worker: bool
    ) -> None:
        self._settings = settings
        self._socket = sock
        self._signals = 0
        self._all_in_one = with_worker
        # Alone, a process writes to standard error, as containers want it; all in one they would mix.
        output = _LogFiles(settings.home_dir / "logs", stack) if with_worker else None
        self._broker = PrivateBroker(settings, output["broker"] if output else None) if with_broker else None
        broker = self._broker.url if self._broker is not None else broker_url(settings)
        environment = settings_environment(settings, broker)
        self._figures = _shared_folder(settings) if settings.api_processes > 1 else None
        self._apis = [self._make_api(n, environment, output) for n in range(settings.api_processes)]
        self._worker = self._make_worker(environment, output) if with_worker else None

    def _make_api(self, number: int, environment: Mapping[str, str], output: "_LogFiles | None") -> KeptChild:
        descriptor = self._socket.fileno()
        command = [sys.executable, "-m", "app.serve", "--socket", str(descriptor)]
        if self._figures is not None:
            command += ["--figures", str(self._figures)]
        return KeptChild(
            f"api {number}",
            command,
            environment=environment,
            pass_fds=(descriptor,),
            output=output["api"] if output else None,
        )

    def _make_worker(self, environment: Mapping[str, str], output: "_LogFiles | None") -> KeptChild:
        command = [sys.executable, "-m", WORKER]
        return KeptChild("worker", command, environment=environment, output=output["worker"] if output else None)

    def run(self) -> int:
        """Start all, say so, watch until a signal comes, stop all; return the exit code."""
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, self._on_signal)
        try:
            if self._all_in_one:
                self._migrate()
            self._start()
            self._wait_ready()
            if not self._signals:
                self._announce()
            while not self._signals:
                time.sleep(TICK_SECONDS)
                self._keep()
        finally:
            self._stop()
        return 0

    def _on_signal(self, _number: int, _frame: FrameType | None) -> None:
        # Only a number: an Event's lock may be held by the very code that a signal interrupts.
        self._signals += 1

    def _migrate(self) -> None:
        database = Database(self._settings.database)
        try:
            database.ping()  # one sentence when it does not answer; Alembic would print a traceback
            migrate(database)
        finally:
            database.close()
        logging.getLogger("alembic").setLevel(logging.WARNING)

    def _start(self) -> None:
        if self._broker is not None:
            self._broker.start()
        for child in (*self._apis, self._worker):
            if child is not None:
                child.start()

    def _keep(self) -> None:
        if self._broker is not None:
            self._broker.keep()
        if self._worker is not None:
            self._worker.keep()
        for api in self._apis:
            if api.keep() and api.quick_ends >= GIVE_UP_AFTER:
                raise StartRefused(f"The API ends as soon as it is started (exit code {api.exit_code}).{self._hint()}")

    def _hint(self) -> str:
        return f" Its log is {self._settings.home_dir / 'logs' / 'api.log'}." if self._all_in_one else ""

    def _wait_ready(self) -> None:
        until = time.monotonic() + READY_SECONDS
        while not self._signals and not self._answers():
            self._keep()
            if time.monotonic() > until:
                raise StartRefused(f"The API does not answer after {READY_SECONDS:g} s.{self._hint()}")
            time.sleep(0.05)

    def _answers(self) -> bool:
        host, port = self._socket.getsockname()[:2]
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104  (compared, not bound)
        connection = http.client.HTTPConnection(host, port, timeout=2.0)
        try:
            connection.request("GET", "/livez")
            return connection.getresponse().status == 200
        except OSError:
            return False
        finally:
            connection.close()

    def _announce(self) -> None:
        host, port = self._socket.getsockname()[:2]
        url = f"http://{f'[{host}]' if ':' in host else host}:{port}"
        lines = [f"Trainyard {RELEASE} listens on {url}"]
        if self._all_in_one:
            home = self._settings.home_dir
            lines += [
                f"  data      {home}",
                f"  logs      {home / 'logs'}",
                f"  next      TRAINYARD_URL={url} trainyard train FILE --target COLUMN",
                f"            or open {url}/docs",
                "  stop      Ctrl-C",
            ]
        click.echo("\n".join(lines))
        sys.stdout.flush()

    def _stop(self) -> None:
        if self._worker is not None:
            self._worker.signal(signal.SIGTERM)  # it drains while the API finishes its requests
        for api in self._apis:
            api.signal(signal.SIGTERM)
        for api in self._apis:
            api.stop(API_STOP_SECONDS, self._is_hurried)
        if self._worker is not None:
            self._worker.stop(WORKER_STOP_SECONDS, self._is_hurried)
        if self._broker is not None:
            self._broker.stop()

    def _is_hurried(self) -> bool:
        return self._signals > 1


def _shared_folder(settings: Settings) -> Path:
    """Return an empty folder for the figures of the API processes, and remove those of commands that are gone."""
    parent = settings.work_dir / "figures"
    for old in parent.glob("*"):
        if not (old.name.isdigit() and Path(f"/proc/{old.name}").exists()):
            shutil.rmtree(old, ignore_errors=True)
    folder = parent / str(os.getpid())
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder


class _LogFiles:
    """One file for each process, opened for appending; one that has grown large is put aside once."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._stack = stack

    def __getitem__(self, name: str) -> int:
        path = self._folder / f"{name}.log"
        if path.is_file() and path.stat().st_size > _LOG_BYTES:
            path.replace(path.with_suffix(".log.1"))
        return self._stack.enter_context(path.open("ab")).fileno()
