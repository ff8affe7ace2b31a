"""The rows that a batch job reads, a few at a time, as the model's columns.

sources of the order ──row groups──▶ tables ──names, words──▶ Batch
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.datasets.stored import StoredDataset
from app.preprocessing.columns import NUMERIC_TYPES, TEXTUAL_TYPES, ColumnArrays
from workers.batch.words import values_from_words

FROM_WORDS = NUMERIC_TYPES | {"datetime"}


@dataclass(frozen=True)
class Batch:
    """Consecutive rows of one data set: the model's columns, the number of the first row, and what is wrong with some.

    `stored` is the pyarrow table of the columns to be kept, as they are stored.
    """

    split: str | None
    first: int
    rows: int
    columns: ColumnArrays
    stored: Any
    errors: dict[int, str] = field(default_factory=dict)


class Source:
    """Reads what `resolved` names from the folders of the data sets."""

    def __init__(
        self,
        resolved: Mapping[str, Any],
        data: Mapping[str, StoredDataset],
        instance_columns: Sequence[Mapping[str, Any]],
        kept: Sequence[str] = (),
    ) -> None:
        """`kept` columns come along as they are stored."""
        self.rows = int(resolved["rows"])
        self._sources = list(resolved["sources"])
        self._data = data
        self._read = [column for column in instance_columns if not column.get("ignored")]
        self._names: dict[str, str] = dict(resolved["columns"]["input"])
        self._kept = list(kept)

    def batches(self, size: int, skip: int = 0) -> Iterator[Batch]:
        """Yield the rows from number `skip` of all on, `size` at a time; a batch never spans two sources."""
        for source in self._sources:
            if skip >= source["rows"]:
                skip -= source["rows"]
                continue
            stored = self._data[source["role"]]
            names = list(dict.fromkeys(self._names.values()))
            label = source["split"] if source["role"] == "all" else source["role"]
            first = skip
            for arrays, table in stored.batches(names, size, split=source["split"], skip=skip, kept=self._kept):
                yield self._batch(stored, label, int(source["first"]) + first, arrays, table)
                first += len(table)
            skip = 0

    def _batch(self, stored: StoredDataset, split: str | None, first: int, arrays: ColumnArrays, table: Any) -> Batch:
        errors: dict[int, str] = {}
        columns: ColumnArrays = {}
        for column in self._read:
            name = self._names[column["name"]]
            values: NDArray[Any] = arrays[name]
            if column["type"] in FROM_WORDS and stored.column(name).type in TEXTUAL_TYPES:
                values, wrong = values_from_words(name, values, column["type"])
                errors = {**wrong, **errors}
            elif column["type"] == "array" and values.ndim == 1 and values.dtype != object:
                values = values.reshape(len(values), *(int(length) for length in column.get("shape") or ()))
            columns[column["name"]] = values
        return Batch(split, first, len(table), columns, table.select(self._kept), errors)


def row_numbers(batch: Batch) -> NDArray[np.int64]:
    """Return (N,) the number of each row in its data set."""
    return np.arange(batch.first, batch.first + batch.rows, dtype=np.int64)
