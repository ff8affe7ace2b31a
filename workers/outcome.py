"""What becomes of a job when its trainer has ended: one pure decision, and the typed errors of API.md §4."""

import signal
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from app.jobs.repository import DEVICE_LOST
from workers.child import Exit
from workers.device_loss import DEVICE_LOST_CODE, says_device_lost
from workers.guard import Wish

Edge = Literal["publish", "fail", "requeue", "cancelled", "paused", "nothing"]


@dataclass(frozen=True)
class Outcome:
    """The edge to take. `charge` counts a failure, `reason` goes into the event of a requeue."""

    edge: Edge
    error: dict[str, Any] | None = None
    charge: bool = False
    reason: str = ""


def decide(
    final: dict[str, Any] | None,
    exit_: Exit,
    wish: Wish | None,
    *,
    killed: bool,
    ran_out_of_memory: bool,
    log_tail: str = "",
) -> Outcome:
    """Return what becomes of the job.

    `final` is the trainer's last report (`done`, `failed` or `stopped`), None when it ended without one. `log_tail`:
    the last lines of its log; they go into the error where nobody foresaw it.
    """
    if wish == "lost":
        return Outcome("nothing")
    if final is not None and final["type"] == "done" and (final.get("bundle") or final.get("result")):
        return Outcome("publish")
    if wish in ("cancel", "keep"):
        return Outcome("cancelled")
    if _lost_device(final, exit_, log_tail):
        message = "The device that the job ran on stopped computing."
        error = {"code": "worker_lost", "message": message, "retryable": True}
        return Outcome("requeue", _with_detail(error, exit_), reason=DEVICE_LOST)
    if final is not None and final["type"] == "failed":
        unforeseen = final["error"].get("code") == "internal_error"
        error = _with_detail(final["error"], exit_, log_tail if unforeseen else "")
        if error["retryable"]:
            return Outcome("requeue", error, charge=True, reason="retryable")
        return Outcome("fail", error)
    if wish == "pause":
        return Outcome("paused")
    if wish == "drain" and (killed or final is not None):
        return Outcome("requeue", reason="drained")
    return Outcome("requeue", crash_error(exit_, wish, ran_out_of_memory, log_tail), charge=True, reason="crashed")


def _lost_device(final: dict[str, Any] | None, exit_: Exit, log_tail: str) -> bool:
    # TensorFlow ends the process itself where it cannot pass the error on.
    if exit_.signal == signal.SIGABRT and final is None:
        return says_device_lost(log_tail)
    return exit_.code == DEVICE_LOST_CODE


def crash_error(exit_: Exit, wish: Wish | None, ran_out_of_memory: bool, log_tail: str = "") -> dict[str, Any]:
    """Return the typed error of a trainer that ended without a word."""
    if wish == "stalled":
        code, message = "stalled", (
            "The trainer reported no step for too long and was stopped. See the end of its log; where a step takes "
            "that long, use a smaller batch_size."
        )  # fmt: skip
    elif _ended_for_memory(exit_, ran_out_of_memory, log_tail):
        code, message = "out_of_memory", (
            "The machine ran out of memory, and the trainer was ended. Use a smaller batch_size or architecture, fewer "
            "or shorter inputs, or a worker with more memory."
        )  # fmt: skip
    else:
        code, message = "worker_lost", (
            f"The trainer ended {_how(exit_)} before it was done. See the end of its log, and retry the job when the "
            "cause is gone."
        )  # fmt: skip
    return _with_detail({"code": code, "message": message, "retryable": code != "out_of_memory"}, exit_, log_tail)


def _ended_for_memory(exit_: Exit, ran_out_of_memory: bool, log_tail: str) -> bool:
    # The kernel's killer, or C++ that got no memory: std::bad_alloc ends the process by SIGABRT.
    if exit_.signal == signal.SIGKILL:
        return ran_out_of_memory
    return exit_.signal == signal.SIGABRT and "bad_alloc" in log_tail


def _how(exit_: Exit) -> str:
    if exit_.signal is not None:
        return f"by signal {exit_.signal} ({signal.strsignal(exit_.signal)})"
    if exit_.code is not None:
        return f"with exit code {exit_.code}"
    return "with the process that started it"


def _with_detail(error: dict[str, Any], exit_: Exit, log_tail: str = "") -> dict[str, Any]:
    detail = dict(error.get("detail") or {})
    detail |= {"exit_code": exit_.code, "signal": exit_.signal, "peak_memory_bytes": exit_.peak_memory_bytes}
    if log_tail:
        detail["log_tail"] = log_tail
    return {
        "code": str(error.get("code") or "internal_error"),
        "message": str(error.get("message") or "The trainer failed without saying why."),
        "retryable": bool(error.get("retryable")),
        "detail": detail,
    }


class OutOfMemoryWatch:
    """Tells whether the kernel has killed anything for want of memory since this object was made.

    Reads this process's cgroup (v2 `memory.events`, v1 `memory.oom_control`) and the machine's
    `/proc/vmstat`; where none can be read, the answer is no.
    """

    def __init__(self) -> None:
        self._before = _oom_kills()

    def fired(self) -> bool:
        """Return whether a counter has risen."""
        return any(count > self._before.get(name, 0) for name, count in _oom_kills().items())


def _oom_kills() -> dict[str, int]:
    counts = {}
    for path in (Path("/proc/vmstat"), *_cgroup_files()):
        try:
            text = path.read_text("utf-8")
        except OSError:
            continue
        for line in text.splitlines():
            name, _, value = line.partition(" ")
            if name == "oom_kill" and value.strip().isdigit():
                counts[str(path)] = int(value)
    return counts


def _cgroup_files() -> list[Path]:
    files = []
    try:
        lines = Path("/proc/self/cgroup").read_text("utf-8").splitlines()
    except OSError:
        return []
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers == "":
            files.append(Path("/sys/fs/cgroup") / path.lstrip("/") / "memory.events")
        elif "memory" in controllers.split(","):
            files.append(Path("/sys/fs/cgroup/memory") / path.lstrip("/") / "memory.oom_control")
    return files


def describe_error(code: str, message: str, *, retryable: bool) -> dict[str, Any]:
    """Return an error of a job (API.md §4) without details."""
    return {"code": code, "message": message, "retryable": retryable, "detail": {}}
