"""The rows of a split as the training function reads them.

The order of rows is a pure function of (seed, epoch), so a position is two numbers and
nothing has to be saved. N rows.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

# Above this the rows stay in host memory as NumPy and go to the device in pieces.
IN_DEVICE_BYTES = 2 << 30


def row_order(seed: int, epoch: int, rows: int) -> NDArray[np.int64]:
    """Return the order of rows in `epoch` (counted from 0)."""
    return np.random.default_rng([seed, epoch]).permutation(rows)


@dataclass(frozen=True)
class Rows:
    """Rows of one split: model inputs by name, targets, and a weight a row (or None: all 1)."""

    inputs: dict[str, NDArray[Any]]
    target: NDArray[Any]
    weight: NDArray[np.float32] | None = None

    def __len__(self) -> int:
        return len(self.target)

    @property
    def nbytes(self) -> int:
        """Bytes of all arrays."""
        arrays = [*self.inputs.values(), self.target, *([] if self.weight is None else [self.weight])]
        return sum(array.nbytes for array in arrays)

    def take(self, index: NDArray[np.int64] | slice) -> "Rows":
        """Return the rows at `index`, in that order."""
        return Rows(
            {name: array[index] for name, array in self.inputs.items()},
            self.target[index],
            None if self.weight is None else self.weight[index],
        )

    def sample(self, most: int, seed: int) -> "Rows":
        """Return at most `most` rows, drawn by `seed`, in their own order."""
        if len(self) <= most:
            return self
        return self.take(np.sort(np.random.default_rng(seed).choice(len(self), most, replace=False)))

    def tensors(self) -> tuple[dict[str, Any], Any, Any]:
        """Return (inputs, target, weight or None) on the device."""
        import tensorflow as tf

        inputs = {name: tf.constant(array) for name, array in self.inputs.items()}
        return inputs, tf.constant(self.target), None if self.weight is None else tf.constant(self.weight)
