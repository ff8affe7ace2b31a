"""Rows of different lengths in one array, as texts are: nothing is padded until a batch is."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray


class Ragged:
    """N rows of any length. Row i is `values[starts[i] : starts[i + 1]]`."""

    def __init__(self, values: NDArray[Any], starts: NDArray[np.int64]) -> None:
        """`values` (V,), `starts` (N + 1,), the first 0 and the last V."""
        self.values = values
        self.starts = starts

    @classmethod
    def of(cls, rows: Sequence[Sequence[Any] | NDArray[Any]], dtype: Any) -> "Ragged":
        """Return rows given one by one."""
        starts = np.zeros(len(rows) + 1, dtype=np.int64)
        np.cumsum([len(row) for row in rows], out=starts[1:])
        values = np.concatenate([np.asarray(row, dtype=dtype) for row in rows]) if rows else np.zeros(0, dtype)
        return cls(values, starts)

    def __len__(self) -> int:
        return len(self.starts) - 1

    @property
    def nbytes(self) -> int:
        """Bytes of both arrays."""
        return self.values.nbytes + self.starts.nbytes

    @property
    def lengths(self) -> NDArray[np.int64]:
        """The length of each row, (N,)."""
        return np.diff(self.starts)

    def __getitem__(self, index: NDArray[Any] | slice) -> "Ragged":
        """Return the rows at `index`, positions, a mask or a slice, in that order."""
        chosen = np.arange(len(self))[index]
        lengths = self.lengths[chosen]
        starts = np.zeros(len(chosen) + 1, dtype=np.int64)
        np.cumsum(lengths, out=starts[1:])
        # Position within its row, plus where the row begins.
        within = np.arange(starts[-1]) - np.repeat(starts[:-1], lengths)
        return Ragged(self.values[np.repeat(self.starts[:-1][chosen], lengths) + within], starts)

    def pad(self, fill: Any = 0) -> NDArray[Any]:
        """Return (N, T), T the longest row and at least 1, shorter rows filled up at the end."""
        lengths = self.lengths
        padded = np.full((len(self), max(1, int(lengths.max(initial=0)))), fill, dtype=self.values.dtype)
        padded[np.arange(padded.shape[1]) < lengths[:, None]] = self.values
        return padded


Kept = NDArray[Any] | Ragged
"""What is kept of one input of the rows of a split."""
