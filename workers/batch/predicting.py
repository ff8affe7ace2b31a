"""Predictions for a batch of rows, where rows that the model cannot take are found and told.

Shapes: N rows.
"""

import time
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from app.core.errors import TrainyardError
from app.inference.predictor import Predictor
from app.inference.runtime import ModelUnusable
from app.preprocessing.columns import ColumnArrays
from workers.batch.source import Batch

MAX_ROWS: Final = 8192
# What a batch holds on its way: inputs in memory once raw, once prepared; several batches are under way at a time.
BATCH_BYTES: Final = 16 << 20
# A cancel is looked for between batches; 0.25 s each leaves no large network waiting.
BATCH_SECONDS: Final = 0.25
TRIAL_ROWS: Final = 32  # of a trial: enough to see what a row costs
_NOT_FINITE = "the model gave no finite number"


@dataclass(frozen=True)
class Predicted:
    """What a model said of the rows of a batch: (N, …) values, NaN in rows that have an error."""

    batch: Batch
    values: NDArray[Any]
    errors: dict[int, str]

    @property
    def usable(self) -> NDArray[np.bool_]:
        """(N,) which rows have a prediction."""
        usable = np.ones(self.batch.rows, dtype=np.bool_)
        usable[list(self.errors)] = False
        return usable


class BatchPredictor:
    """Runs one model over batches; from several threads at once."""

    def __init__(self, predictor: Predictor, shape: tuple[int, ...]) -> None:
        """`shape` is that of one row's values."""
        self.predictor = predictor
        self.shape = shape

    def predict(self, batch: Batch) -> Predicted:
        """Return the predictions for all rows; a row that cannot be predicted has an error instead."""
        errors = dict(batch.errors)
        values = self._values(batch.columns, 0, batch.rows, errors)
        broken = ~np.isfinite(values.reshape(batch.rows, -1)).all(axis=1)
        for row in np.flatnonzero(broken).tolist():
            errors.setdefault(row, _NOT_FINITE)
        return Predicted(batch, values, errors)

    def choose_rows(self, batch: Batch) -> int:
        """Return how many rows a batch should have, a power of two, from a trial with the rows of `batch`."""
        row_values = sum(int(np.prod(spec.shape, dtype=np.int64)) for spec in self.predictor.preprocessing.inputs)
        row_values += int(np.prod(self.shape, dtype=np.int64))
        most = max(1, min(MAX_ROWS, BATCH_BYTES // (8 * max(1, abs(row_values)))))
        self.predict(batch)
        began = time.perf_counter()
        self.predict(batch)
        seconds = (time.perf_counter() - began) / batch.rows
        # The overhead of a call is counted with the rows: a trial can only make batches smaller than need be.
        most = min(most, max(1, int(BATCH_SECONDS / max(seconds, 1e-9))))
        return 1 << (most.bit_length() - 1)

    def _values(self, columns: ColumnArrays, start: int, rows: int, errors: dict[int, str]) -> NDArray[Any]:
        """Return (rows, …) values; where the model fails, try each half alone, down to the rows that it fails for."""
        try:
            inputs = self.predictor.preprocessing.transform(columns)
            return self.predictor.values(self.predictor.run(inputs))
        except (ModelUnusable, TrainyardError) as error:
            if rows == 1:
                said = error.message if isinstance(error, TrainyardError) else str(error)
                errors.setdefault(start, said)
                return np.full((1, *self.shape), np.nan)
        half = rows // 2
        return np.concatenate(
            [
                self._values({name: column[:half] for name, column in columns.items()}, start, half, errors),
                self._values(
                    {name: column[half:] for name, column in columns.items()}, start + half, rows - half, errors
                ),
            ]
        )
