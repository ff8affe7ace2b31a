"""The finished side of a model: answers and losses of many rows, in inference mode."""

from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from workers.trainer.feed import Rows, to_tensor
from workers.trainer.losses import Objective

# Of the widest layer: 16 MB at 4 bytes a number; a few such tensors live at a time.
PIECE_NUMBERS = 1 << 22
MOST_ROWS = 8192


class Forward:
    """Runs a serving model over rows in large pieces; one function for any number of rows."""

    def __init__(self, serving_model: Any, objective: Objective, enter: Callable[[Any], Any] | None = None) -> None:
        """`enter` makes kept rows into inputs of the model (`Built.enter`)."""
        self._widest = _widest(serving_model)
        self._piece = int(np.clip(PIECE_NUMBERS // self._widest, 32, MOST_ROWS))
        self._inputs = None if enter else [tensor.name for tensor in serving_model.inputs]
        # One trace for any number of rows.
        rows = {tensor.name: tf.TensorSpec((None, *tensor.shape[1:]), tensor.dtype) for tensor in serving_model.inputs}
        self._answer = tf.function(
            lambda inputs: tf.cast(serving_model(enter(inputs) if enter else inputs, training=False), tf.float32),
            autograph=False,
            input_signature=None if enter else [rows],
            reduce_retracing=enter is not None,
        )
        self._losses = tf.function(
            lambda target, outputs: objective.rows(target, outputs, from_logits=False, smooth=False),
            autograph=False,
            reduce_retracing=True,
        )

    def answers(self, rows: Rows) -> NDArray[np.float32]:
        """Return the serving model's output for every row, (N, …) float32.

        A piece that there is no memory for is tried again at half its rows; the error of a single row is raised.
        """
        answers, start, lengths = [], 0, rows.lengths
        if lengths is not None:
            longest = max(1, int(lengths.max(initial=0)))
            self._piece = min(self._piece, max(1, PIECE_NUMBERS // (self._widest * longest)))
        while start < len(rows):
            piece = rows.take(slice(start, start + self._piece))
            try:
                inputs = {name: to_tensor(piece.inputs[name]) for name in self._inputs or piece.inputs}
                answers.append(self._answer(inputs).numpy())
            except (MemoryError, tf.errors.ResourceExhaustedError):
                if len(piece) == 1:
                    raise
                self._piece = -(-len(piece) // 2)
                continue
            start += len(piece)
        return np.concatenate(answers)

    def loss(self, rows: Rows, answers: NDArray[np.float32]) -> float:
        """Return the loss of answers, averaged over the weights of the rows."""
        losses = self._losses(tf.constant(rows.target), tf.constant(answers)).numpy().astype(np.float64)
        if rows.weight is None or not rows.weight.any():
            return float(losses.mean())
        return float(np.average(losses, weights=rows.weight))


def _widest(model: Any) -> int:
    """Return the most numbers that a layer gives for a row; at least 1."""
    shapes = [getattr(getattr(layer, "output", None), "shape", ()) for layer in model.layers]
    return max([1, *(int(np.prod([length or 1 for length in shape[1:]])) for shape in shapes)])
