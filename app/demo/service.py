"""A whole service for one caller: its own data folder and port, gone when the block ends."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from app.client.client import Client
from app.client.errors import ClientError, Unreachable
from app.lifeline import tethered

_READY_SECONDS = 60.0
# `up` lets its worker drain; past that it is ended, and its children with it.
_STOP_SECONDS = 30.0


class PrivateService:
    """`trainyard up` as a child process in a temporary folder, on a free loopback port.

    Nothing of the environment's TRAINYARD_… reaches it but what `variables` say. It dies with
    this process, however that ends. A context manager; raises ClientError when it does not start.
    """

    def __init__(self, variables: dict[str, str] | None = None) -> None:
        self._variables = variables or {}
        self._process: subprocess.Popen[bytes] | None = None
        self.home = Path()
        self.url = ""

    def __enter__(self) -> Self:
        self.home = Path(tempfile.mkdtemp(prefix="trainyard-"))
        try:
            self._start()
            self._await_ready()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def pid(self) -> int:
        """Process id of `trainyard up`."""
        if self._process is None:
            raise RuntimeError("the service is not started")
        return self._process.pid

    @property
    def log(self) -> str:
        """What the service wrote so far."""
        path = self.home / "up.log"
        return path.read_text("utf-8", "replace") if path.is_file() else ""

    def stop(self) -> None:
        """End the service and remove its folder. Does nothing the second time."""
        process, self._process = self._process, None
        if process is not None:
            # Its own process group: a Ctrl-C in the terminal reaches only this process, which
            # then stops the service once, in order.
            process.terminate()
            try:
                process.wait(_STOP_SECONDS)
            except subprocess.TimeoutExpired:
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                process.wait()
        if self.home.name:
            shutil.rmtree(self.home, ignore_errors=True)

    def _start(self) -> None:
        port = _free_port()
        self.url = f"http://127.0.0.1:{port}"
        environment = {name: value for name, value in os.environ.items() if not name.startswith("TRAINYARD_")}
        environment |= {
            "TRAINYARD_HOME": str(self.home / "home"),
            "TRAINYARD_HOST": "127.0.0.1",
            "TRAINYARD_PORT": str(port),
            **self._variables,
        }
        with (self.home / "up.log").open("wb") as log:
            self._process = subprocess.Popen(
                tethered([sys.executable, "-m", "app.cli", "up"]),
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def _await_ready(self) -> None:
        deadline = time.monotonic() + _READY_SECONDS
        with Client(self.url) as client:
            while not _is_ready(client):
                if self._process is None or self._process.poll() is not None:
                    raise ClientError(f"The service ended before it was ready. Its last lines:\n{self._tail()}")
                if time.monotonic() > deadline:
                    raise ClientError(f"The service was not ready in {_READY_SECONDS:.0f} s:\n{self._tail()}")
                time.sleep(0.05)

    def _tail(self) -> str:
        return "\n".join(f"  {line}" for line in self.log.splitlines()[-20:])


def _is_ready(client: Client) -> bool:
    try:
        return all(state == "ok" for state in client.readiness().values())
    except Unreachable:
        return False


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port
