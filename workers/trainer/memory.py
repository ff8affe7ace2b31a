"""Training within the memory that there is: where a batch does not fit, half of it, twice as often.

What failed is put together anew in the same process and goes on from the last whole checkpoint (the beginning, where
there is none yet): an execution that failed half-way has changed the weights already, so what lies in memory is no
exact state. Evaluation needs none of this: see `workers.trainer.forward`.
"""

import errno
import gc
from dataclasses import dataclass, replace
from typing import Any

import keras
import tensorflow as tf

from workers.halving import describe_halving, halve
from workers.trainer.assembly import Ground, assemble, lay_ground
from workers.trainer.control import Control
from workers.trainer.failures import too_large
from workers.trainer.job import Job
from workers.trainer.order import Order
from workers.trainer.reports import Reports

# A device says it in its own exception; cuDNN and XLA say it in the text of an internal error.
_SIGNS = ("resource_exhausted", "out of memory", "oom when allocating", "failed to allocate", "bad_alloc")


@dataclass(frozen=True)
class Shortage:
    """Where memory ran out, and how long the job had trained by then."""

    where: str
    reason: str
    trained_seconds: float


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that a device or the machine has no memory left."""
    if isinstance(error, MemoryError | tf.errors.ResourceExhaustedError):
        return True
    if isinstance(error, OSError):
        return error.errno == errno.ENOMEM
    if isinstance(error, tf.errors.InternalError | tf.errors.UnknownError):
        return any(sign in str(error).lower() for sign in _SIGNS)
    return False


def run_within_memory(order: Order, reports: Reports, control: Control) -> None:
    """Run an order to its end; TrainingFailed `out_of_memory` when not even the smallest batch fits."""
    ground = lay_ground(order, reports)
    while (shortage := _try(ground, order, reports, control)) is not None:
        order = _with_less(ground, order, shortage, reports)
        _let_go(ground)


def _try(ground: Ground, order: Order, reports: Reports, control: Control) -> Shortage | None:
    job: Job | None = None
    try:
        job = assemble(ground, order, reports, control)
        ended = job.train()
    except (MemoryError, OSError, tf.errors.OpError) as error:
        if not is_out_of_memory(error):
            raise
        # The error holds the frames, and so the tensors, of what failed: only words leave this function.
        where = "building" if job is None else "training"
        what = "The worker" if isinstance(error, MemoryError | OSError) else "The device"
        seconds = order.trained_seconds if job is None else job.fit.trained_seconds
        reason = f"{what} had too little memory for a batch of {_batch_size(ground, order)} rows."
        return Shortage(where, reason, seconds)
    job.conclude(ended)
    return None


def _batch_size(ground: Ground, order: Order) -> int:
    return min(int(order.training["batch_size"]), len(ground.problem.train))


def _with_less(ground: Ground, order: Order, shortage: Shortage, reports: Reports) -> Order:
    before: dict[str, Any] = order.training | {"batch_size": _batch_size(ground, order)}
    changed = halve(before)
    if changed is None:
        raise too_large(shortage.where, before, _device_peak_bytes())
    after = before | changed
    data = describe_halving(before, after, shortage.where, shortage.reason)
    reports.send("batch_halved", training=changed, data=data)
    return replace(order, resolved=order.resolved | {"training": after}, trained_seconds=shortage.trained_seconds)


def _device_peak_bytes() -> int | None:
    peaks = [tf.config.experimental.get_memory_info(gpu.name.removeprefix("/physical_device:"))["peak"]
             for gpu in tf.config.list_physical_devices("GPU")]  # fmt: skip
    return max(peaks, default=None)


def _let_go(ground: Ground) -> None:
    """Give back what Keras keeps of the networks so far; it forgets the precision with it."""
    keras.backend.clear_session()
    keras.mixed_precision.set_global_policy(ground.precision)
    gc.collect()
