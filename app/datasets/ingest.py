"""Runs the child that reads an upload, and says what its end means."""

import json
import logging
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

from app.core.errors import Overloaded, StorageFull, TooLarge, TrainyardError
from app.datasets.findings import refuse
from app.datasets.ingest_child import ERRORS, OUT_OF_MEMORY, RESULT_FILE
from app.datasets.options import Limits, Options

_log = logging.getLogger("trainyard.datasets")

_ROOT: Final = Path(__file__).resolve().parents[2]
_KEPT_ENVIRONMENT: Final = ("PATH", "LD_LIBRARY_PATH", "VIRTUAL_ENV", "SYSTEMROOT")
_STDERR_BYTES: Final = 4000
_RESULT_BYTES: Final = 256 << 20

_DISK_FULL: Final = ("No space left on device", "Disk quota exceeded", "File too large")  # ENOSPC, EDQUOT, EFBIG

_children: "set[subprocess.Popen[bytes]]" = set()


def run_ingest(upload: Path, work_dir: Path, output: Path, options: Options, limits: Limits) -> dict[str, Any]:
    """Read `upload` in a child into the folder `output`; return {"schema", "format"}.

    Raises Unprocessable (`dataset_invalid`) for what is wrong with the file, TooLarge for what
    exceeds a limit (and names it), StorageFull when the disk is.
    """
    output.mkdir()
    order = {
        "upload": str(upload),
        "work_dir": str(work_dir),
        "output": str(output),
        "options": options.to_json(),
        "limits": limits.to_json(),
        "parent": os.getpid(),
    }
    with (work_dir / "stderr").open("w+b") as errors:
        status = _run_child(json.dumps(order).encode(), work_dir, errors, limits)
        errors.seek(0)
        said = errors.read(_STDERR_BYTES).decode(errors="replace")
    result = work_dir / RESULT_FILE
    if status == 0 and result.is_file() and result.stat().st_size <= _RESULT_BYTES:
        return _result(json.loads(result.read_bytes()))
    raise _ended(status, said, limits, work_dir)


def _run_child(order: bytes, work_dir: Path, errors: Any, limits: Limits) -> int | None:
    """Return the exit status (negative: a signal), None when the time was over."""
    environment = {name: os.environ[name] for name in _KEPT_ENVIRONMENT if name in os.environ}
    # The system's allocator with fixed thresholds gives back what is freed, so that the limit counts what
    # is in use: 402 MB at the peak for 400 MB of CSV, 458 with thresholds that it moves itself.
    environment |= {"PYTHONPATH": str(_ROOT), "ARROW_DEFAULT_MEMORY_POOL": "system", "MALLOC_ARENA_MAX": "2"}
    environment |= {"MALLOC_MMAP_THRESHOLD_": str(4 << 20), "MALLOC_TRIM_THRESHOLD_": str(16 << 20)}
    environment |= {"TMPDIR": str(work_dir), "LC_ALL": "C.UTF-8", "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    child = _start(environment, work_dir, errors)
    _children.add(child)
    try:
        child.communicate(order, timeout=limits.seconds)
    except subprocess.TimeoutExpired:
        return None
    finally:
        if child.poll() is None:
            child.kill()
            child.wait()
        _children.discard(child)
    return child.returncode


def stop_children() -> None:
    """End every reader of this process; their uploads are answered 503."""
    for child in list(_children):
        child.terminate()


def _start(environment: dict[str, str], work_dir: Path, errors: Any) -> "subprocess.Popen[bytes]":
    return subprocess.Popen(
        [sys.executable, "-P", "-X", "utf8", "-m", "app.datasets.ingest_child"],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=errors,
        cwd=work_dir,
        env=environment,
        start_new_session=True,
    )


def _result(result: dict[str, Any]) -> dict[str, Any]:
    if "error" not in result:
        return result
    error = result["error"]
    raise ERRORS[error["class"]](error["message"], code=error["code"], param=error["param"], details=error["details"])


def _ended(status: int | None, said: str, limits: Limits, work_dir: Path) -> TrainyardError:
    """Return the error for a child that ended without a result."""
    if status is None or status == -signal.SIGXCPU:
        return TooLarge(f"Reading the file took longer than ingest_seconds = {limits.seconds:g}.", param="file")
    if status == -signal.SIGTERM:
        return Overloaded("The server is stopping; send the file again.", code="unavailable", retry_after_seconds=5)
    if status == OUT_OF_MEMORY or status == -signal.SIGKILL or "bad_alloc" in said or "MemoryError" in said:
        limit = f"ingest_memory_bytes = {limits.memory_bytes}"
        return TooLarge(f"Reading the file needs more memory than {limit}.", param="file")
    if any(sign in said for sign in _DISK_FULL) or shutil.disk_usage(work_dir).free < limits.min_free_bytes:
        return StorageFull("The disk is nearly full; nothing was stored.")
    _log.error("the reader of an upload ended with status %s: %s", status, said)
    return refuse("The file cannot be read: its reader broke off. It may be damaged.", param="file")
