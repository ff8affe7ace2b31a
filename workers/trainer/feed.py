"""The rows of a split as the training function reads them.

The order of rows is a pure function of (seed, epoch), so a position is two numbers and
nothing has to be saved. N rows.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.preprocessing.ragged import Kept, Ragged

# Above this the rows stay in host memory as NumPy and go to the device in pieces.
IN_DEVICE_BYTES = 2 << 30
# Groups of rows that are sorted by length together: more pad less, fewer mix more.
GROUPS_SORTED = 32


def row_order(
    seed: int, epoch: int, rows: int, lengths: NDArray[np.int64] | None = None, group: int = 1
) -> NDArray[np.int64]:
    """Return the order of rows in `epoch` (counted from 0).

    `lengths`, (N,): rows of like length come together, `group` at a time, so that little is padded. Which rows meet
    changes from epoch to epoch, and groups of all lengths come in turn.
    """
    rng = np.random.default_rng([seed, epoch])
    order = rng.permutation(rows)
    if lengths is None or rows <= group:
        return order
    shelf = group * GROUPS_SORTED
    for start in range(0, rows, shelf):
        part = order[start : start + shelf]
        order[start : start + shelf] = part[np.argsort(lengths[part], kind="stable")]
    full = rows // group
    # The last, smaller group stays the last.
    turned = order[: full * group].reshape(full, group)[rng.permutation(full)].reshape(-1)
    return np.concatenate([turned, order[full * group :]])


@dataclass(frozen=True)
class Rows:
    """Rows of one split: model inputs by name, targets, and a weight a row (or None: all 1)."""

    inputs: dict[str, Kept]
    target: NDArray[Any]
    weight: NDArray[np.float32] | None = None

    def __len__(self) -> int:
        return len(self.target)

    @property
    def nbytes(self) -> int:
        """Bytes of all arrays."""
        arrays = [*self.inputs.values(), self.target, *([] if self.weight is None else [self.weight])]
        return sum(array.nbytes for array in arrays)

    @property
    def lengths(self) -> NDArray[np.int64] | None:
        """How long each row is, (N,), where rows have different lengths."""
        return next((array.lengths for array in self.inputs.values() if isinstance(array, Ragged)), None)

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

        inputs = {name: to_tensor(array) for name, array in self.inputs.items()}
        return inputs, tf.constant(self.target), None if self.weight is None else tf.constant(self.weight)


def to_tensor(array: Kept) -> Any:
    """Return rows on the device; a ragged tensor of those of different lengths."""
    import tensorflow as tf

    if isinstance(array, Ragged):
        return tf.RaggedTensor.from_row_splits(tf.constant(array.values), tf.constant(array.starts), validate=False)
    return tf.constant(array)
