"""Runs the locked-in child that opens an upload, watches it, and says what its end means."""

import json
import logging
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import orjson

from app.core.errors import Overloaded, StorageFull
from app.models.intake.findings import RefusedUpload, reason
from app.models.intake.limits import IntakeLimits

_log = logging.getLogger("trainyard.models")

_ROOT: Final = Path(__file__).resolve().parents[3]
_KEPT_ENVIRONMENT: Final = ("PATH", "LD_LIBRARY_PATH")
REPORT_FILE: Final = "report.json"
BUNDLE_FOLDER: Final = "bundle"
# Statuses of the child itself; a report is written before any other end.
NOT_LOCKED_IN: Final = 70
OUT_OF_MEMORY: Final = 71
STORAGE_FULL: Final = 72
_REPORT_BYTES: Final = 8 << 20
_LOG_BYTES: Final = 4000
_LOOK_SECONDS: Final = 0.02
# TensorFlow imported, a small model loaded, saved and converted: 0.62 GB resident, measured.
_BASE_BYTES: Final = 1280 << 20
# The file's weights: as stored, as variables, saved again, as constants of the graph, converted, and run once.
_BYTES_PER_FILE_BYTE: Final = 16
# TensorFlow reserves addresses that it never touches: 2.2 GB after its import.
RESERVED_BYTES: Final = 5 << 30
# TensorFlow's import and a small model are 4 s of processor time on an idle machine.
_BASE_CPU_SECONDS: Final = 30
_CPU_SECONDS_PER_MIB: Final = 2

_children: "set[subprocess.Popen[bytes]]" = set()


@dataclass(frozen=True)
class Allowance:
    """What one child may use: resident bytes, bytes of address space, seconds of the processor and of the clock."""

    resident_bytes: int
    address_bytes: int
    cpu_seconds: int
    seconds: float

    @classmethod
    def for_upload(cls, size: int, limits: IntakeLimits) -> "Allowance":
        """Return what an upload of `size` bytes may use: a small file gets little, whatever it declares."""
        resident = min(limits.memory_bytes, _BASE_BYTES + _BYTES_PER_FILE_BYTE * size)
        cpu = int(min(_BASE_CPU_SECONDS + _CPU_SECONDS_PER_MIB * (size >> 20), 4 * limits.seconds)) + 1
        return cls(resident, resident + RESERVED_BYTES, cpu, limits.seconds)


def run_child(order: dict[str, Any], work_dir: Path, size: int, limits: IntakeLimits) -> dict[str, Any]:
    """Have the upload of `order` opened in a child; return its report.

    Raises RefusedUpload for a child that broke off because of the file, Overloaded where it could not be locked in or
    the server stops, StorageFull.
    """
    allowance = Allowance.for_upload(size, limits)
    output = Path(order["output"])
    output.mkdir()
    bounds = {"address_bytes": allowance.address_bytes, "cpu_seconds": allowance.cpu_seconds}
    bounds["file_bytes"] = limits.memory_bytes
    order_file = work_dir / "order.json"
    order_file.write_bytes(orjson.dumps({**order, "parent": os.getpid(), "bounds": bounds}))
    with (work_dir / "log").open("w+b") as said:
        status = watch(_start(order_file, output, said), allowance)
        said.seek(0)
        log = said.read(_LOG_BYTES).decode(errors="replace")
    report = output / REPORT_FILE
    if status == 0 and report.is_file() and not report.is_symlink() and report.stat().st_size <= _REPORT_BYTES:
        return _read_report(report)
    raise _ended(status, log, allowance)


def stop_children() -> None:
    """End every child of this process; their uploads are answered 503."""
    for child in list(_children):
        child.terminate()


def _start(order_file: Path, output: Path, said: Any) -> "subprocess.Popen[bytes]":
    home = output / "home"
    home.mkdir()
    child = subprocess.Popen(
        [sys.executable, "-P", "-B", "-X", "utf8", "-m", "workers.intake", str(order_file)],
        stdin=subprocess.DEVNULL,
        stdout=said,
        stderr=said,
        cwd=output,
        env=locked_in_environment(home),
        start_new_session=True,
    )
    _children.add(child)
    return child


def locked_in_environment(home: Path) -> dict[str, str]:
    """Return the environment of a process that opens models, locked in; it may write below `home`."""
    environment = {name: os.environ[name] for name in _KEPT_ENVIRONMENT if name in os.environ}
    # No plugins of HDF5 from any path ("::", H5PLset_loading_state), no configuration from the user's home.
    environment |= {"PYTHONPATH": str(_ROOT), "HDF5_PLUGIN_PRELOAD": "::", "HDF5_USE_FILE_LOCKING": "FALSE"}
    environment |= {"HOME": str(home), "TMPDIR": str(home), "KERAS_HOME": str(home), "KERAS_BACKEND": "tensorflow"}
    environment |= {"TF_CPP_MIN_LOG_LEVEL": "3", "TF_ENABLE_ONEDNN_OPTS": "0", "CUDA_VISIBLE_DEVICES": "-1"}
    return environment | {"LC_ALL": "C.UTF-8", "MALLOC_ARENA_MAX": "2", "OPENBLAS_NUM_THREADS": "1"}


def watch(child: "subprocess.Popen[bytes]", allowance: Allowance) -> int | None:
    """Return the exit status (negative: a signal), None when its time was over, OUT_OF_MEMORY when it took too much."""
    until = time.monotonic() + allowance.seconds
    try:
        while True:
            try:
                return child.wait(_LOOK_SECONDS)
            except subprocess.TimeoutExpired:
                if time.monotonic() > until:
                    return None
                if resident_bytes(child.pid) > allowance.resident_bytes:
                    return OUT_OF_MEMORY
    finally:
        if child.poll() is None:
            child.kill()
            child.wait()
        _children.discard(child)


def resident_bytes(pid: int) -> int:
    """Return the memory that a process has in use, 0 when it is gone."""
    try:
        with open(f"/proc/{pid}/statm", "rb") as source:
            return int(source.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, IndexError, ValueError):
        return 0


def _read_report(path: Path) -> dict[str, Any]:
    try:
        report = orjson.loads(path.read_bytes())
    except orjson.JSONDecodeError:
        report = None
    if not isinstance(report, dict) or not isinstance(report.get("accepted"), bool):
        raise RefusedUpload([reason("unreadable", "The file cannot be opened: its reader gave no report.")])
    return report


def _ended(status: int | None, log: str, allowance: Allowance) -> Exception:
    """Return the error for a child that ended without a report."""
    if status == NOT_LOCKED_IN:
        _log.error("the child that opens uploads could not be locked in: %s", log)
        return unavailable("the process that opens them could not be locked in")
    if status == -signal.SIGTERM:
        return Overloaded("The server is stopping; send the file again.", code="unavailable", retry_after_seconds=5)
    if status == STORAGE_FULL:
        return StorageFull("The server's disk is nearly full; nothing was stored.")
    if status is None or status in (-signal.SIGXCPU, -signal.SIGKILL):
        message = "Opening the file took longer than a model of its size may take."
        return RefusedUpload([reason("too_slow", message)])
    if status == OUT_OF_MEMORY or "bad_alloc" in log or "MemoryError" in log or status == -signal.SIGABRT:
        message = (
            f"Opening the file needs more memory than a model of its size may use ({allowance.resident_bytes} bytes)."
        )
        return RefusedUpload([reason("too_much_memory", message)])
    _log.error("the child that opens an upload ended: %s", json.dumps({"status": status, "said": log}))
    return RefusedUpload([reason("unreadable", "The file cannot be opened: its reader broke off. It may be damaged.")])


def unavailable(why: str) -> Overloaded:
    """Return the 503 for a server that cannot take in models safely."""
    return Overloaded(
        f"This server takes in no models: {why}. Its administrator finds more at /readyz.",
        code="intake_unavailable",
        retry_after_seconds=60,
    )
