"""A device with little memory: batches above so many rows fail as they do on a full one."""

from collections.abc import Callable
from typing import Any

import tensorflow as tf

from workers.trainer.loop import TrainingFunction


def limit_rows(most: Callable[[], float]) -> Callable[..., Any]:
    """Return what takes the place of `TrainingFunction._gradients`; `most` is asked before every batch."""
    original = TrainingFunction._gradients

    def check(rows: int) -> int:
        if rows > most():
            # TensorFlow turns it into ResourceExhaustedError, in the middle of an execution.
            raise MemoryError(f"OOM when allocating tensor with shape[{rows}]")
        return rows

    def gradients(self: TrainingFunction, data: Any, rows: Any, *rest: Any) -> Any:
        counted = tf.numpy_function(check, [tf.shape(rows)[0]], tf.int32)
        with tf.control_dependencies([counted]):
            return original(self, data, tf.identity(rows), *rest)

    return gradients
