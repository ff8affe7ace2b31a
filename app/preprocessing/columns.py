"""Columns of rows in memory: what they are, and the few operations that every step needs.

A column is an array whose first axis is the rows (N): float64 with NaN for a missing number, integer, boolean (0, 1) or
datetime (seconds since 1970, UTC); an object array of str with None for a missing category or text; (N, *shape) for
arrays.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

ColumnArrays = dict[str, NDArray[Any]]
Codes = NDArray[np.int64]

NUMERIC_TYPES = frozenset({"number", "integer", "boolean"})
TEXTUAL_TYPES = frozenset({"category", "text"})


class Column(Protocol):
    """Name, type and, for arrays, shape of one row's value of a stored column."""

    @property
    def name(self) -> str: ...
    @property
    def type(self) -> str: ...
    @property
    def shape(self) -> tuple[int, ...] | None: ...


class RowSource(Protocol):
    """A data set that can be read column by column; `app.datasets.stored.StoredDataset` is one."""

    @property
    def columns(self) -> Sequence[Column]: ...
    @property
    def splits(self) -> Mapping[str, int] | None: ...
    @property
    def rows(self) -> int: ...
    def read(self, names: Sequence[str], split: str | None = None) -> ColumnArrays: ...


@dataclass(frozen=True)
class Table:
    """Some rows of a data set: their columns, the number each row had where it came from, and perhaps their hashes."""

    columns: ColumnArrays
    rows: NDArray[np.int64]
    hashes: NDArray[np.uint64] | None = None

    def take(self, index: NDArray[Any]) -> "Table":
        """Return the rows that `index` names (positions, or a mask)."""
        hashes = None if self.hashes is None else self.hashes[index]
        return Table({name: column[index] for name, column in self.columns.items()}, self.rows[index], hashes)

    def __len__(self) -> int:
        return len(self.rows)


def is_picture(column: Column) -> bool:
    """Tell whether an array column has the shape of an image: [height, width], or that with 1 or 3 channels."""
    shape = column.shape or ()
    return len(shape) == 2 or (len(shape) == 3 and shape[2] in (1, 3))


def present(column: NDArray[Any]) -> NDArray[np.bool_]:
    """Return which rows of a column have a value, (N,); a row of an array counts when all of it is finite."""
    if column.dtype == object:
        return np.fromiter((value is not None for value in column.tolist()), dtype=np.bool_, count=len(column))
    if column.dtype.kind != "f":
        return np.ones(len(column), dtype=np.bool_)
    finite: NDArray[np.bool_] = np.isfinite(column)
    return np.asarray(finite.reshape(len(column), -1).all(axis=1)) if column.ndim > 1 else finite


def thin(column: NDArray[Any], most: int) -> NDArray[Any]:
    """Return evenly spaced rows of many, all of few."""
    return column[:: -(-len(column) // most)] if len(column) > most else column


def clean_value(value: str, strip: bool, lowercase: bool) -> str | None:
    """Return a text value as preprocessing sees it; None when nothing is left of it."""
    if strip:
        value = value.strip()
    if lowercase:
        value = value.lower()
    return value or None


def factorize(column: NDArray[Any], strip: bool = False, lowercase: bool = False) -> tuple[Codes, list[str]]:
    """Return the code of each row (−1: missing) and the distinct values, by first appearance, after cleaning."""
    values = column.tolist()
    cleaned = {raw: clean_value(raw, strip, lowercase) for raw in dict.fromkeys(values) if raw is not None}
    distinct = dict.fromkeys(value for value in cleaned.values() if value is not None)
    index: dict[str | None, int] = {value: code for code, value in enumerate(distinct)}
    index[None] = -1
    of_raw: dict[str | None, int] = {raw: index[value] for raw, value in cleaned.items()}
    of_raw[None] = -1
    return np.fromiter(map(of_raw.__getitem__, values), dtype=np.int64, count=len(values)), list(distinct)


def hash_rows(columns: Sequence[NDArray[Any]], rows: int, strip: bool = False, lowercase: bool = False) -> NDArray[Any]:
    """Return a 64-bit hash of each row over `columns`, (N,) uint64: equal rows have equal hashes in every data set.

    Two different rows of 10 million meet with a probability of 3 in a million (birthday bound of 64 bits).
    """
    hashes = np.full(rows, 0x9E3779B97F4A7C15, dtype=np.uint64)
    for column in columns:
        for lane in _lanes(column, strip, lowercase):
            hashes = _mix(hashes * np.uint64(0x100000001B3) ^ lane)
    return hashes


def _lanes(column: NDArray[Any], strip: bool, lowercase: bool) -> list[NDArray[np.uint64]]:
    """The values of a column as one or more arrays of 64 bits a row."""
    if column.dtype == object and len(column) and isinstance(column[0], bytes):  # a file in each row
        digests = [hashlib.blake2b(value, digest_size=8).digest() for value in column.tolist()]
        return [np.frombuffer(b"".join(digests), dtype=np.uint64)]
    if column.dtype == object:
        codes, values = factorize(column, strip, lowercase)
        digests = [hashlib.blake2b(value.encode("utf-8", "surrogatepass"), digest_size=8).digest() for value in values]
        table = np.frombuffer(b"".join([*digests, b"\xff" * 8]), dtype=np.uint64)  # −1, missing, is the last
        return [table[codes]]
    flat = column.reshape(len(column), -1)
    lanes = []
    for index in range(flat.shape[1]):
        numbers = flat[:, index].astype(np.float64) + 0.0  # −0.0 and 0.0 are one value
        numbers[np.isnan(numbers)] = np.nan  # and so are all bit patterns of NaN
        lanes.append(numbers.view(np.uint64))
    return lanes


def _mix(values: NDArray[np.uint64]) -> NDArray[np.uint64]:
    # The finaliser of SplitMix64 (Steele, Lea, Flood 2014, figure 19): every input bit reaches every output bit.
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))
