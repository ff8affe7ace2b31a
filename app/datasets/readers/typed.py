"""What formats with types of their own (parquet, npz) share: columns of strings, and rows that do not fit."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pyarrow as pa

from app.datasets.convert import Conversion
from app.datasets.findings import BadRow, bad_rows_error
from app.datasets.options import MAX_DETAILS
from app.datasets.plan import words_conversion
from app.datasets.spelling import MISSING
from app.datasets.stored import ColumnType
from app.datasets.table import Source
from app.datasets.words import WordStats, counting_cap

StringBatches = Callable[[list[str]], Iterator[list[Any]]]


def plan_strings(
    names: list[str], batches: StringBatches, source: Source, declared: dict[str, ColumnType], columns: int
) -> dict[str, Conversion]:
    """Return how the string columns `names` are stored; looks at all their values."""
    missing = frozenset(word.strip() for word in source.options.missing)
    found: dict[str, Conversion] = {}
    words = [name for name in names if declared.get(name) in (None, "category", "text")]
    for name in names:
        if name not in words:
            found[name] = Conversion(name, declared[name], MISSING | missing, "both", declared=True)
    if words:
        stats = {name: WordStats(counting_cap(columns)) for name in words}
        for arrays in batches(words):
            for name, array in zip(words, arrays, strict=True):
                stats[name].update(array)
        for name in words:
            said = declared.get(name)
            found[name] = words_conversion(name, stats[name], said, missing, frozenset(), source.findings)
    return found


def drop_bad(arrays: list[Any], bad: dict[int, str], first_row: int, source: Source) -> list[Any]:
    """Return the arrays without the bad rows (position → reason), or raise for them.

    The formats have no lines: a row is named by its number, from 1.
    """
    rows = [BadRow(first_row + position + 1, reason) for position, reason in sorted(bad.items())]
    if source.options.on_bad_rows == "fail":
        raise bad_rows_error(rows[:MAX_DETAILS], len(bad), unit="Row")
    source.findings.reject(rows, len(bad))
    keep = np.ones(len(arrays[0]), bool)
    keep[list(bad)] = False
    return [array.filter(pa.array(keep)) for array in arrays]
