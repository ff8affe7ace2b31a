"""Why a job failed, in words that are safe for its owner: no path, no stack trace (those go to the log)."""

import errno
from typing import Any

from app.core.errors import TrainyardError
from workers.trainer.verdict import diverged_fit


class TrainingFailed(Exception):
    """A failure with a code of API.md §4.

    `retryable`: another attempt at the very same job could succeed. `fit`: the verdict, where training got so far.
    """

    def __init__(
        self,
        code: str,
        message: str,
        *,
        retryable: bool = False,
        detail: dict[str, Any] | None = None,
        fit: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(message)
        self.fit = fit
        self.code = code
        self.message = message
        self.retryable = retryable
        self.detail = detail or {}

    def to_json(self) -> dict[str, Any]:
        """Return the `error` object of a job."""
        return {"code": self.code, "message": self.message, "retryable": self.retryable, "detail": self.detail}


def diverged(epoch: int, step: int, what: str, learning_rate: float, best_epoch: int) -> TrainingFailed:
    """The loss left the finite numbers."""
    return TrainingFailed(
        "training_diverged",
        f"The {what} was no longer a finite number in epoch {epoch} (step {step}). "
        f"Try a learning rate below {learning_rate:.3g} (a tenth of it, say), gradient clipping "
        "(optimizer.global_clipnorm: 1.0) or a schedule with warm-up, and look for extreme values in the data.",
        detail={"epoch": epoch, "step": step, "learning_rate": learning_rate},
        fit=diverged_fit(epoch, best_epoch),
    )


def out_of_memory(what: str) -> TrainingFailed:
    """The device or the machine had too little memory, and not for a batch of training."""
    return TrainingFailed(
        "out_of_memory",
        f"There was not enough memory {what}. Use fewer or shorter inputs, a smaller architecture, or a worker with "
        "more memory.",
    )


def too_large(where: str, training: dict[str, Any], device_peak_bytes: int | None) -> TrainingFailed:
    """Not even the smallest batch had room; `training` is the last that was tried."""
    batch_size, halvings = training["batch_size"], training.get("batch_halvings", 0)
    detail = {"where": where, "batch_size": batch_size, "batch_halvings": halvings}
    if device_peak_bytes is not None:
        detail["device_peak_memory_bytes"] = device_peak_bytes
    tried = f", after the batch was halved {halvings} time(s)" if halvings else ""
    return TrainingFailed(
        "out_of_memory",
        f"There was not enough memory for a batch of {batch_size} row(s){tried}. Use a smaller architecture, fewer or "
        "shorter inputs, or a worker with more memory.",
        detail=detail,
    )


def from_request_error(error: TrainyardError) -> TrainingFailed:
    """What the service's own code refuses while data is prepared: the request was checked, so the data is at fault."""
    return TrainingFailed("dataset_error", error.message, detail={"code": error.code, "param": error.param})


def storage_full(error: OSError) -> bool:
    """Whether an error says that there is no room left on a disk."""
    return error.errno in (errno.ENOSPC, errno.EDQUOT)


def no_room() -> TrainingFailed:
    """The disk was full; another attempt may find room."""
    return TrainingFailed("storage_full", "The worker's disk is full.", retryable=True)
