"""A job's live progress on standard error: a bar in a terminal, plain lines elsewhere."""

import time
from types import TracebackType
from typing import IO, Protocol, Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn

from app.client.shapes import FINAL_STATES, Job

# A log that is read later wants one line now and then, not one a poll.
_PLAIN_SECONDS = 2.0
UNKNOWN_LOSS = "loss …"
# Jobs that run a model over rows have no epochs and no loss.
ROW_KINDS = frozenset({"predict", "evaluate"})


class JobProgress(Protocol):
    """Shows a job as it goes on. A context manager; `show` may be called as often as one likes."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def show(self, job: Job) -> None:
        """Show what the job says now."""


def job_progress(console: Console) -> JobProgress:
    """Return the form that fits where `console` writes."""
    return BarProgress(console) if console.is_terminal else LineProgress(console.file)


def describe_loss(job: Job) -> str:
    """Return `loss 0.021, validation 0.034`, as far as it is known; of rows, how many a second."""
    if job.get("kind") in ROW_KINDS:
        rate = (job.get("progress") or {}).get("rows_per_second")
        return "" if not rate else f"{rate:,.0f} rows/s"
    metrics = job.get("metrics") or {}
    train = (metrics.get("train") or {}).get("loss")
    validation = (metrics.get("validation") or {}).get("loss")
    parts = [] if train is None else [f"loss {train:.4g}"]
    if validation is not None:
        parts.append(f"validation {validation:.4g}")
    return ", ".join(parts) or UNKNOWN_LOSS


def describe_left(job: Job) -> str:
    """Return `3 s left`, what comes after the last step, or `…` while nobody knows."""
    progress = job.get("progress") or {}
    if progress.get("fraction", 0.0) >= 1.0:
        return "writing" if job.get("kind") in ROW_KINDS else "testing and exporting"
    eta_seconds = progress.get("eta_seconds")
    if eta_seconds is None:
        return "…"
    if eta_seconds < 90:
        return f"{eta_seconds:.0f} s left"
    return f"{eta_seconds / 60:.0f} min left"


def describe_state(job: Job) -> str:
    """Return the state in words that tell why nothing moves."""
    if job["state"] == "queued":
        position = job.get("queue_position")
        return "queued" if position is None else f"queued, {position} in line"
    if job["state"] == "running" and not job.get("progress"):
        return "running, starting up"
    return job["state"]


def describe_epoch(job: Job) -> str:
    """Return `epoch 12/200`, `8,192 of 40,000 rows`, or the state before the first step."""
    progress = job.get("progress") or {}
    if job["state"] != "running" or "epoch" not in progress:
        return describe_state(job)
    if job.get("kind") in ROW_KINDS:
        return f"{progress['step']:,} of {progress['steps']:,} rows"
    return f"epoch {progress['epoch']}/{progress.get('epochs', '?')}"


class BarProgress:
    """One line that is drawn anew: epoch, bar, losses, time left."""

    def __init__(self, console: Console) -> None:
        self._progress = Progress(
            TextColumn("{task.fields[epoch]}"),
            BarColumn(bar_width=32),
            TaskProgressColumn(),
            TextColumn("{task.fields[loss]}"),
            TextColumn("{task.fields[left]}"),
            console=console,
        )
        # Without a total the bar pulses: nobody knows yet how far it is.
        self._task = self._progress.add_task("", total=None, epoch="", loss="", left="")

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    def show(self, job: Job) -> None:
        """Draw the line anew."""
        progress = job.get("progress") or {}
        # An early stop ends below the last epoch: the job is whole all the same.
        fraction = 1.0 if job["state"] == "succeeded" else progress.get("fraction") or 0.0
        left = describe_left(job) if job["state"] == "running" else ""
        loss = describe_loss(job) if progress else ""
        total = 1.0 if progress or job["state"] in FINAL_STATES else None
        self._progress.update(
            self._task, total=total, completed=fraction, epoch=describe_epoch(job), loss=loss, left=left
        )


class LineProgress:
    """A line at each change of state, at the first loss, and every two seconds while it trains."""

    def __init__(self, out: IO[str]) -> None:
        self._out = out
        self._stage = ""
        self._line = ""
        self._next_at = 0.0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._out.flush()

    def show(self, job: Job) -> None:
        """Write a line when there is news."""
        loss = describe_loss(job)
        stage, now = f"{describe_state(job)} {loss == UNKNOWN_LOSS}", time.monotonic()
        if stage == self._stage and (job["state"] != "running" or now < self._next_at):
            return
        self._stage, self._next_at = stage, now + _PLAIN_SECONDS
        parts = [describe_epoch(job)]
        if job.get("progress"):
            parts += [loss, describe_left(job)] if job["state"] == "running" else [loss]
        line = ", ".join(part for part in parts if part)
        if line != self._line:  # the test figures take their time too, with nothing new to say
            self._line = line
            self._out.write(f"  {line}\n")
            self._out.flush()
