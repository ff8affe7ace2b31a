"""Rows of a prediction request, checked before they are queued, and put together when their batch runs.

Checked rows are either columns (`ColumnArrays`) or, for a model that reads one flat array column,
the lists of numbers as they came: for one row of ten numbers that costs 1 µs instead of 6. Texts to embed are texts.
"""

from itertools import chain
from typing import Any, cast

import numpy as np

from app.preprocessing.columns import ColumnArrays
from app.preprocessing.instances import columns_from_instances

NumberLists = list[list[float]]
Texts = list[str]
Rows = ColumnArrays | NumberLists | Texts

_NUMBERS = frozenset({int, float})
# Longer rows are cheaper to check as arrays than one Python object after another.
_MAX_LISTED = 256


class RowReader:
    """Checks instances against the columns of one model, and joins what was checked."""

    def __init__(self, instance_columns: list[dict[str, Any]]) -> None:
        self.columns = instance_columns
        read = [column for column in instance_columns if not column.get("ignored")]
        self.decodes = any(column["type"] == "image" for column in read)
        self._array: str | None = None
        self._length = 0
        if len(read) == 1 and read[0]["type"] == "array" and len(read[0]["shape"]) == 1:
            self._array, self._length = read[0]["name"], int(read[0]["shape"][0])

    def check_lists(self, instances: list[Any]) -> NumberLists | None:
        """Return `instances` when each is a list of finite numbers of the one flat array; None to look closer.

        What passes holds no object, no text and no nesting, so nothing else is left to check in it.
        """
        length = self._length
        if not 0 < length <= _MAX_LISTED:
            return None
        for row in instances:
            if type(row) is not list or len(row) != length or not _NUMBERS.issuperset(map(type, row)):
                return None
            total = sum(row)
            if total - total != 0.0:  # a number beyond a double came as infinity
                return None
        return instances

    def check(self, instances: list[Any]) -> Rows:
        """Return checked rows; Unprocessable names the instance and column that is wrong."""
        return self.check_lists(instances) or columns_from_instances(instances, self.columns)

    def join(self, parts: list[Rows]) -> ColumnArrays:
        """Return all rows of `parts`, in order, as columns."""
        if all(type(part) is list for part in parts):
            lists = cast("list[NumberLists]", parts)
            return self._from_lists(list(chain.from_iterable(lists)))
        columns = [part if isinstance(part, dict) else self._from_lists(cast("NumberLists", part)) for part in parts]
        if len(columns) == 1:
            return columns[0]
        return {name: np.concatenate([part[name] for part in columns]) for name in columns[0]}

    def _from_lists(self, rows: NumberLists) -> ColumnArrays:
        # Half the time of np.array, which looks for the shape first.
        flat = np.fromiter(chain.from_iterable(rows), np.float64, len(rows) * self._length)
        return {self._array or "": flat.reshape(len(rows), self._length)}


def count_rows(rows: Rows) -> int:
    """Return how many rows there are."""
    return len(rows) if isinstance(rows, list) else len(next(iter(rows.values())))


def slice_rows(rows: Rows, start: int, stop: int) -> Rows:
    """Return the rows from `start` to before `stop`."""
    if isinstance(rows, list):
        return rows[start:stop]
    return {name: column[start:stop] for name, column in rows.items()}
