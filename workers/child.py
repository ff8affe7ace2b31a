"""The supervisor's end of the spawner: start it, order a trainer, read its reports, signal it, learn how it ended."""

import json
import os
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from app.lifeline import tethered
from workers.spawner import PRELOAD, TRAINER, Channel

# What a trainer may know of its surroundings: no database or broker URL, no key, no credential.
_KEPT = (
    "PATH", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "TMPDIR", "PYTHONPATH", "VIRTUAL_ENV", "LD_LIBRARY_PATH",
    "CUDA_HOME", "CUDA_PATH", "CUDA_VISIBLE_DEVICES", "CUDA_DEVICE_ORDER", "NVIDIA_VISIBLE_DEVICES", "XLA_FLAGS",
    "TF_XLA_FLAGS", "TF_ENABLE_ONEDNN_OPTS", "TF_FORCE_GPU_ALLOW_GROWTH", "TF_GPU_ALLOCATOR",
)  # fmt: skip
_REAP_SECONDS = 5.0  # a spawner that is stopped, or swapped out, does not say that its child died
_READ_BYTES = 1 << 16
_LARGEST_REPORT_BYTES = 64 << 20


def trainer_environment(home: Path) -> dict[str, str]:
    """Return the environment of spawner and trainer: an allow-list of this one's, and what makes runs repeatable."""
    kept = {name: os.environ[name] for name in _KEPT if name in os.environ}
    return kept | {
        "HOME": str(home),
        "KERAS_HOME": str(home),  # a keras.json of the account could choose another backend
        "KERAS_BACKEND": "tensorflow",
        "PYTHONHASHSEED": "0",
        "PYTHONUNBUFFERED": "1",
        "TF_CPP_MIN_LOG_LEVEL": os.environ.get("TF_CPP_MIN_LOG_LEVEL", "2"),
        # A thread pool that OpenBLAS starts at import would not be there in a forked child.
        "OPENBLAS_NUM_THREADS": "1",
    }


@dataclass(frozen=True)
class Program:
    """What a spawner runs: the trainer's module and what is imported ahead of the first order."""

    trainer: str = TRAINER
    preload: tuple[str, ...] = PRELOAD
    environment: dict[str, str] = field(default_factory=dict)


# What runs a finished model needs no TensorFlow: a spawner of its own, made when the first such job comes.
BATCH_KINDS = frozenset({"predict", "evaluate"})
BATCH = Program(
    trainer="workers.batch.main",
    preload=("numpy", "pyarrow.parquet", "pyarrow.compute", "onnxruntime", "workers.batch.main"),
)


@dataclass(frozen=True)
class Exit:
    """How a trainer ended. `code` and `signal` are both None when its spawner vanished with it."""

    code: int | None = None
    signal: int | None = None
    peak_memory_bytes: int | None = None
    cpu_seconds: float | None = None


class Spawner:
    """A spawner process. Start it from a thread that lives as long as this process (see `app.lifeline`)."""

    def __init__(self, program: Program, home: Path) -> None:
        home.mkdir(parents=True, exist_ok=True)
        ours, theirs = socket.socketpair()
        command = [
            sys.executable, "-m", "workers.spawner", "--channel", str(theirs.fileno()),
            "--trainer", program.trainer, "--preload", ",".join(program.preload),
        ]  # fmt: skip
        with theirs:
            self.process = subprocess.Popen(
                tethered(command),
                stdin=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
                env=trainer_environment(home) | program.environment,
            )
        self.channel = Channel(ours)
        self.warm_after_seconds: float | None = None

    @property
    def is_alive(self) -> bool:
        """Whether it can take an order, now or once it is warm."""
        return self.process.poll() is None

    def wait_warm(self) -> float:
        """Block until everything is imported; return the seconds that took. RuntimeError when it ended instead."""
        if self.warm_after_seconds is None:
            received = self.channel.receive()
            if received is None or received[0]["type"] != "ready":
                raise RuntimeError("the spawner ended before it was warm")
            self.warm_after_seconds = float(received[0]["seconds"])
        return self.warm_after_seconds

    def kill(self) -> None:
        """End it and, through the kernel, its trainer."""
        self.process.kill()
        self.process.wait()
        self.channel.socket.close()


@dataclass(frozen=True)
class Order:
    """What the spawner is told beside the order file."""

    path: Path
    log: Path
    nice: int = 0
    threads: int = 1
    environment: dict[str, str] = field(default_factory=dict)


class Trainer:
    """One trainer process, from its order to its exit."""

    def __init__(self, spawner: Spawner, order: Order) -> None:
        """Send the order; BrokenPipeError when the spawner is gone. The trainer starts once the spawner is warm."""
        self.spawner = spawner
        self.pid: int | None = None
        self._ended = False
        self._killed_at: float | None = None
        self._lock = threading.Lock()
        with _pipe() as (reports_read, reports_write), _pipe() as (control_read, control_write):
            spawner.channel.send(
                {
                    "type": "order",
                    "order": str(order.path),
                    "log": str(order.log),
                    "nice": order.nice,
                    "threads": order.threads,
                    "environment": order.environment,
                },
                [reports_write, control_read],
            )
            self._reports, self._control = os.dup(reports_read), os.dup(control_write)
        # A trainer that hangs does not read its control pipe: never wait for it.
        os.set_blocking(self._control, False)

    def send(self, message: dict[str, Any]) -> None:
        """Pass a control message on; nothing happens when the trainer no longer listens."""
        with suppress(BrokenPipeError, BlockingIOError, OSError):
            os.write(self._control, json.dumps(message).encode() + b"\n")

    def signal_group(self, number: signal.Signals) -> None:
        """Signal the trainer and all it has started.

        A kill ends the spawner too where there is no trainer yet, or where its end is not heard of in time.
        """
        with self._lock:
            if self._ended:
                return
            if self.pid is not None:
                with suppress(ProcessLookupError):
                    os.killpg(self.pid, number)
            if number == signal.SIGKILL:
                now = time.monotonic()
                self._killed_at = self._killed_at or now
                if self.pid is None or now - self._killed_at > _REAP_SECONDS:
                    self.spawner.process.kill()

    def read(self, deliver: Callable[[dict[str, Any]], None]) -> Exit:
        """Deliver each report until the trainer has ended and the pipe is empty; return how it ended.

        A line that is no JSON object is delivered as {"type": "garbage"}.
        """
        lines = _Lines(self._reports)
        exit_: Exit | None = None
        poll = select.poll()
        poll.register(self._reports, select.POLLIN)
        poll.register(self.spawner.channel.socket, select.POLLIN)
        while exit_ is None:
            ready = {fd for fd, _ in poll.poll()}
            if self._reports in ready:
                # The first report may overtake the word that there is a trainer, which its row needs.
                while self.pid is None and exit_ is None:
                    exit_ = self._hear()
                    ready.discard(self.spawner.channel.socket.fileno())
                for report in lines.read():
                    deliver(report)
                if lines.ended:
                    poll.unregister(self._reports)
            if self.spawner.channel.socket.fileno() in ready:
                exit_ = self._hear()
            while exit_ is None and self.spawner.channel.has_pending:
                exit_ = self._hear()
        self._finish()
        os.set_blocking(self._reports, False)
        while not lines.ended and (rest := lines.read()):
            for report in rest:
                deliver(report)
        return exit_

    def close(self) -> None:
        """Release the pipes; a trainer that still runs sees the end of its control pipe and dies."""
        os.close(self._reports)
        os.close(self._control)

    def _hear(self) -> Exit | None:
        received = self.spawner.channel.receive()
        if received is None:
            return Exit()
        message, _ = received
        if message["type"] == "ready":
            self.spawner.warm_after_seconds = float(message["seconds"])
        elif message["type"] == "started":
            self.pid = int(message["pid"])
        elif message["type"] == "exit":
            return Exit(message["code"], message["signal"], message["peak_memory_bytes"], message["cpu_seconds"])
        return None

    def _finish(self) -> None:
        with self._lock:
            self._ended = True
            if self.pid is not None:  # what it started and left behind
                with suppress(ProcessLookupError, PermissionError):
                    os.killpg(self.pid, signal.SIGKILL)


class _Lines:
    """JSON objects, one a line, from a descriptor."""

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor
        self.ended = False
        self._pending = b""

    def read(self) -> list[dict[str, Any]]:
        """Return what one read gives: maybe nothing."""
        try:
            data = os.read(self.descriptor, _READ_BYTES)
        except BlockingIOError:
            self.ended = True
            return []
        if not data:
            self.ended = True
            return []
        self._pending += data
        *lines, self._pending = self._pending.split(b"\n")
        if len(self._pending) > _LARGEST_REPORT_BYTES:
            self._pending = b""
        return [_parse(line) for line in lines if line]


def _parse(line: bytes) -> dict[str, Any]:
    try:
        report = json.loads(line)
    except ValueError:
        report = None
    return report if isinstance(report, dict) and isinstance(report.get("type"), str) else {"type": "garbage"}


@contextmanager
def _pipe() -> Iterator[tuple[int, int]]:
    read, write = os.pipe()
    try:
        yield read, write
    finally:
        os.close(read)
        os.close(write)
