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
    """The device or the machine had too little memory."""
    return TrainingFailed(
        "out_of_memory",
        f"There was not enough memory {what}. Try a smaller batch_size (with gradient_accumulation_steps "
        "for the same effect), a smaller architecture, or a worker with more memory.",
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
