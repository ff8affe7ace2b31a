"""Imports TensorFlow ahead of time and forks one trainer for each order: `python -m workers.spawner`.

Importing TensorFlow takes 5 to 10 s, forking a process that has done so takes 0.02 s. A child forked
after the first TensorFlow *operation*, though, hangs in `fit` for ever (its thread pool is not there):
so this program imports, runs nothing, and checks that before it says that it is ready.

The channel (an inherited socket) carries one JSON object a line:

    in   {"type":"order", "order":path, "log":path, "nice":n, "threads":n, "environment":{…}} + two descriptors,
         the write end of the report pipe and the read end of the control pipe
    out  {"type":"ready","seconds":s} · {"type":"started","pid":n}
         · {"type":"exit","code":n|null,"signal":n|null,"peak_memory_bytes":n,"cpu_seconds":s}

A child forked ahead of the order, that has run a step of training too, was measured 0.3 s of 1.2 s faster to its
first step and costs another 230 MB in every slot: not done.

An order that comes before `ready` waits in the socket. End of file on the channel ends the spawner, and the
kernel then kills its trainer.
"""

import argparse
import gc
import importlib
import json
import os
import resource
import select
import signal
import socket
import sys
import time
import traceback
from pathlib import Path
from typing import Any

from app.lifeline import die_with_parent
from workers.trainer.order import read_order

TRAINER = "workers.trainer.main"
# What the first job of a process would import on its way to the first step.
PRELOAD = ("numpy", "tensorflow", "keras", "pyarrow.parquet", "onnx", "tf2onnx.convert", "onnxruntime", TRAINER)
CRASHED = 70  # EX_SOFTWARE: an exception that the trainer did not turn into a report
_LARGEST_ORDER_BYTES = 1 << 20


def operations_ran() -> bool:
    """Tell whether TensorFlow has been used in this process, so that a forked child would hang."""
    eager = sys.modules.get("tensorflow.python.eager.context")
    if eager is None:
        return False
    context = eager._context
    return context is not None and bool(context._initialized)


def preload(modules: list[str]) -> float:
    """Import `modules`; return the seconds it took. RuntimeError when one of them ran a TensorFlow operation."""
    began = time.monotonic()
    for name in modules:
        importlib.import_module(name)
        if operations_ran():
            raise RuntimeError(f"importing {name} ran a TensorFlow operation: its forked children would hang")
    gc.collect()
    gc.freeze()  # the collector of a child does not touch, and so does not copy, what was imported
    return time.monotonic() - began


class Channel:
    """JSON lines, with descriptors beside them, over a socket."""

    def __init__(self, sock: socket.socket) -> None:
        self.socket = sock
        self._pending = b""

    def send(self, message: dict[str, Any], descriptors: list[int] | None = None) -> None:
        """Send one message; BrokenPipeError or ConnectionResetError when the other side is gone."""
        line = json.dumps(message).encode() + b"\n"
        if descriptors:
            sent = socket.send_fds(self.socket, [line], descriptors)
            line = line[sent:]
        self.socket.sendall(line)

    def receive(self) -> tuple[dict[str, Any], list[int]] | None:
        """Return the next message and its descriptors, or None at the end."""
        descriptors: list[int] = []
        while b"\n" not in self._pending:
            if len(self._pending) > _LARGEST_ORDER_BYTES:
                return None
            try:
                data, fds, _, _ = socket.recv_fds(self.socket, 65536, 8)
            except ConnectionResetError:
                return None
            descriptors += fds
            if not data:
                return None
            self._pending += data
        line, _, self._pending = self._pending.partition(b"\n")
        return json.loads(line), descriptors

    @property
    def has_pending(self) -> bool:
        """True when a whole message was read already."""
        return b"\n" in self._pending


def serve(channel: Channel, trainer: str) -> None:
    """Fork a trainer for each order until the channel ends. One at a time: its slot has one job."""
    wake_read, wake_write = os.pipe()
    os.set_blocking(wake_read, False)
    os.set_blocking(wake_write, False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(wake_write, warn_on_full_buffer=False)
    poll = select.poll()
    poll.register(channel.socket, select.POLLIN)
    poll.register(wake_read, select.POLLIN)
    while True:
        ready = [0] if channel.has_pending else [fd for fd, _ in poll.poll()]
        if wake_read in ready:
            os.read(wake_read, 4096)
            _report_exits(channel)
        if channel.has_pending or channel.socket.fileno() in ready:
            message = channel.receive()
            if message is None:
                return
            order, descriptors = message
            pid = _fork(channel, trainer, order, descriptors)
            channel.send({"type": "started", "pid": pid})


def _report_exits(channel: Channel) -> None:
    while True:
        try:
            pid, status, usage = os.wait4(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if pid == 0:
            return
        code = os.waitstatus_to_exitcode(status)
        unit = 1 if sys.platform == "darwin" else 1024  # getrusage(2): ru_maxrss in bytes there, KiB elsewhere
        channel.send(
            {
                "type": "exit",
                "pid": pid,
                "code": code if code >= 0 else None,
                "signal": -code if code < 0 else None,
                "peak_memory_bytes": usage.ru_maxrss * unit,
                "cpu_seconds": usage.ru_utime + usage.ru_stime,
            }
        )


def _fork(channel: Channel, trainer: str, order: dict[str, Any], descriptors: list[int]) -> int:
    spawner_pid = os.getpid()
    pid = os.fork()
    if pid == 0:
        code = CRASHED
        try:
            die_with_parent(spawner_pid)
            channel.socket.close()
            code = _become_trainer(trainer, order, *descriptors)
        except BaseException:
            traceback.print_exc()
            raise
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)  # no destructors of TensorFlow: they may hang, and there is nothing left to do
    for descriptor in descriptors:
        os.close(descriptor)
    _own_group(pid)
    return pid


def _own_group(pid: int) -> None:
    # Called on both sides, so that whoever is first makes the group before anyone signals it.
    try:
        os.setpgid(pid, pid)
    except (PermissionError, ProcessLookupError):  # it has done so and gone on
        return


def _become_trainer(trainer: str, order: dict[str, Any], reports: int, control: int) -> int:
    """Turn the forked child into a trainer: own group, log, limits, priority, environment; return its exit code."""
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    _own_group(0)
    log = os.open(order["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    nothing = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
    for source, target in ((nothing, 0), (log, 1), (log, 2)):
        os.dup2(source, target)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # a core dump holds the user's rows
    os.nice(max(0, int(order["nice"]) - os.nice(0)))
    _prefer_for_oom_kill()
    threads = str(order["threads"])
    os.environ.update(order["environment"])
    for name in ("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS"):
        os.environ[name] = threads
    path = Path(order["order"])
    os.chdir(path.parent)
    module = importlib.import_module(trainer)
    with os.fdopen(reports, "wb") as sink:
        return int(module.run(read_order(path), sink, control))


def _prefer_for_oom_kill() -> None:
    # Out of memory, the kernel takes the trainer and not the api that shares the machine (proc(5)).
    try:
        Path("/proc/self/oom_score_adj").write_text("500")
    except OSError:  # not Linux, or no such file in this sandbox
        return


def main() -> None:
    """Preload and serve the channel given on the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--channel", type=int, required=True, help="inherited descriptor of the socket")
    parser.add_argument("--trainer", default=TRAINER, help="module that has run(order, reports, control)")
    parser.add_argument("--preload", default=",".join(PRELOAD), help="modules to import first, by commas")
    options = parser.parse_args()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C goes to the supervisor, which decides
    channel = Channel(socket.socket(fileno=options.channel))
    seconds = preload([name for name in options.preload.split(",") if name])
    try:
        channel.send({"type": "ready", "seconds": round(seconds, 3)})
        serve(channel, options.trainer)
    except (BrokenPipeError, ConnectionResetError):  # the supervisor is gone
        return


if __name__ == "__main__":
    main()
