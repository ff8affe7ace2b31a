"""Predictions as columns of a data set: one row of columns a prediction, typed as the data set's own columns.

Shapes: N rows, C classes or labels, V values.
"""

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from app.datasets.stored import ColumnInfo, ColumnType
from app.inference.answers import THRESHOLD, label_key

# A column for each class of thousands would be a table that nobody reads.
MAX_SCORE_COLUMNS: Final = 100
MAX_NAME_CHARS: Final = 255


class PredictionTable:
    """Which columns the predictions of one model have, and how arrays of values become them."""

    def __init__(
        self, labels: Sequence[Any] | None, multilabel: bool, shape: tuple[int, ...], targets: Sequence[str]
    ) -> None:
        """`shape` is that of one row's output, `targets` the columns that a regression was trained on."""
        self.labels = list(labels or [])
        self.multilabel = multilabel
        self.shape = shape
        self.columns = self._columns(list(targets))
        self._has_scores = any(column.name.startswith("score_") for column in self.columns)

    def arrays(self, values: NDArray[Any], usable: NDArray[np.bool_]) -> list[Any]:
        """Return one pyarrow array a column from (N, …) values; rows that are not `usable` (N,) are null."""
        import pyarrow as pa

        null = None if usable.all() else ~usable
        if self.multilabel:
            flags = [pa.array(values[:, c] >= THRESHOLD, mask=null) for c in range(len(self.labels))]
            return [*flags, *self._scores(values, null)]
        if self.labels:
            best = np.where(usable, values.argmax(axis=1), 0)
            labels = pa.array(self.labels).take(pa.array(best, mask=null))
            score = values[np.arange(len(values)), best].astype(np.float64)
            return [labels, pa.array(score, mask=null), *self._scores(values, null)]
        flat = values.reshape(len(values), -1).astype(np.float64)
        if self.columns[0].type == "array":
            return [_binary(flat, usable)]
        return [pa.array(np.ascontiguousarray(flat[:, v]), mask=null) for v in range(len(self.columns))]

    def _scores(self, values: NDArray[Any], null: NDArray[np.bool_] | None) -> list[Any]:
        import pyarrow as pa

        if not self._has_scores:
            return []
        by_class = np.ascontiguousarray(values.T, dtype=np.float64)
        return [pa.array(by_class[c], mask=null) for c in range(len(self.labels))]

    def _columns(self, targets: list[str]) -> list[ColumnInfo]:
        keys = [label_key(label) for label in self.labels]
        named = len(keys) <= MAX_SCORE_COLUMNS and all(len(key) < MAX_NAME_CHARS - 6 for key in keys)
        scores = [ColumnInfo(f"score_{key}", "number") for key in keys] if named else []
        if self.multilabel:
            return [*(ColumnInfo(f"label_{key}", "boolean") for key in keys), *scores]
        if self.labels:
            return [ColumnInfo("label", _type_of(self.labels)), ColumnInfo("score", "number"), *scores]
        width = int(np.prod(self.shape, dtype=np.int64))
        if width == 1:
            return [ColumnInfo("value", "number")]
        if targets and len(targets) == width:
            return [ColumnInfo(f"value_{name}", "number") for name in targets]
        return [ColumnInfo("output", "array", self.shape, "float64")]


def _type_of(labels: list[Any]) -> ColumnType:
    if all(isinstance(label, str) for label in labels):
        return "category"
    if all(isinstance(label, bool) for label in labels):
        return "boolean"
    return "integer" if all(isinstance(label, int) for label in labels) else "number"


def _binary(flat: NDArray[np.float64], usable: NDArray[np.bool_]) -> Any:
    """Return rows of numbers as the fixed-size binary that a data set keeps; NaN in rows that are not usable."""
    import pyarrow as pa

    kept = np.where(usable[:, None], flat, np.nan).astype("<f8")
    return pa.FixedSizeBinaryArray.from_buffers(
        pa.binary(kept.shape[1] * 8), len(kept), [None, pa.py_buffer(kept.tobytes())]
    )
