"""A stored data set: typed columns in Parquet files beside a `schema.json`; read as NumPy arrays.

Layout of the folder (also of the blob tree `datasets/<id>/`)::

    schema.json     {"format": 1, "columns": [{name, type, …profile}], "splits": {...} | null, "rows": n}
    rows.parquet    or rows-train.parquet, rows-validation.parquet, rows-test.parquet
    manifest.json   {"files": {name: {"bytes", "sha256"}}}, written last

Rows that were written part by part lie in `rows-000000.parquet`, `rows-000001.parquet` …: then the schema has
`"parts": [[file, rows], …]`, in order.

Inside the Parquet files column i is called `c<i>`: names come from a client, and Parquet gives
dots in a name a meaning. An `array` column is fixed-size binary, little endian, row-major; an `image`
column is the files as they came.
"""

import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

from app.datasets.shown_image import show_image

ColumnType = Literal["number", "integer", "boolean", "category", "text", "datetime", "array", "image"]
ColumnArrays = dict[str, NDArray[Any]]

SPLITS: Final = ("train", "validation", "test")
SCHEMA_FILE: Final = "schema.json"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class ColumnInfo:
    """One column: its name and type, for arrays the shape of one row's value and the NumPy dtype.

    `profile` is the column as `GET /v1/datasets/{id}` shows it (missing, unique, top, min …).
    """

    name: str
    type: ColumnType
    shape: tuple[int, ...] | None = None
    dtype: str | None = None
    profile: dict[str, Any] = field(default_factory=dict, compare=False, repr=False)


def rows_file(split: str | None) -> str:
    """Return the name of the file that holds the rows of `split`."""
    return "rows.parquet" if split is None else f"rows-{split}.parquet"


class StoredDataset:
    """A data set folder, opened. Arrays come back as the column type says (see `read`)."""

    def __init__(
        self,
        folder: Path,
        columns: Sequence[ColumnInfo],
        splits: dict[str, int] | None,
        rows: int,
        parts: Sequence[tuple[str, int]] = (),
    ) -> None:
        self.folder = folder
        self.parts = tuple(parts)
        self.columns = list(columns)
        self.splits = splits
        self.rows = rows
        self._index = {column.name: i for i, column in enumerate(self.columns)}

    @classmethod
    def open(cls, folder: Path) -> "StoredDataset":
        """Open the data set in `folder`; FileNotFoundError when there is none."""
        schema = json.loads((folder / SCHEMA_FILE).read_bytes())
        parts = [(str(name), int(rows)) for name, rows in schema.get("parts") or ()]
        return cls(folder, [_column(entry) for entry in schema["columns"]], schema["splits"], schema["rows"], parts)

    def column(self, name: str) -> ColumnInfo:
        """Return the column called `name`; KeyError when there is none."""
        return self.columns[self._index[name]]

    def read(self, names: Sequence[str] | None = None, split: str | None = None) -> ColumnArrays:
        """Return columns as arrays with first axis N, the rows in stored order.

        Without `split`: all rows; of a data set with official splits train, validation, test
        in this order. number, integer: float64, NaN = missing. boolean: float64 0/1/NaN.
        category, text: objects, str or None. datetime: float64 seconds since 1970 UTC, NaN.
        array: (N, *shape) in the stored dtype. image: objects, bytes of a PNG or JPEG file.
        KeyError for an unknown column or split.
        """
        chosen = [self.column(name) for name in names] if names is not None else self.columns
        fields = [f"c{self._index[column.name]}" for column in chosen]
        if not fields:
            return {}
        tables = [_open_parquet(path).read(columns=fields, use_threads=True) for path in self._paths(split)]
        return {
            column.name: np.concatenate([_to_array(table.column(f), column) for table in tables])
            if len(tables) > 1
            else _to_array(tables[0].column(f), column)
            for column, f in zip(chosen, fields, strict=True)
        }

    def batches(
        self, names: Sequence[str], size: int, *, split: str | None = None, skip: int = 0, kept: Sequence[str] = ()
    ) -> Iterator[tuple[ColumnArrays, Any]]:
        """Yield the rows of `split` from number `skip` on, `size` at a time, fewer only at the end.

        The columns `names` as arrays (see `read`), and a pyarrow table of all of them and of those `kept`, as they are
        stored, under the names that they have in the data set. Memory holds a row group. KeyError for an unknown
        column or split.
        """
        import pyarrow as pa

        both = list(dict.fromkeys([*names, *kept]))
        fields = [f"c{self._index[name]}" for name in both]
        rest = None
        for table in self._groups(fields, split, skip):
            waiting = table if rest is None else pa.concat_tables([rest, table])
            whole = len(waiting) // size * size
            for start in range(0, whole, size):
                yield self._batch(waiting.slice(start, size), names, both)
            rest = waiting.slice(whole)
        if rest is not None and len(rest):
            yield self._batch(rest, names, both)

    def _batch(self, table: Any, names: Sequence[str], both: list[str]) -> tuple[ColumnArrays, Any]:
        named = table.rename_columns(both)
        return {name: _to_array(named.column(name), self.column(name)) for name in names}, named

    def _groups(self, fields: list[str], split: str | None, skip: int) -> Iterator[Any]:
        known = dict(self.parts)
        for path in self._paths(split):
            if skip >= known.get(path.name, skip + 1):
                skip -= known[path.name]
                continue
            parquet = _open_parquet(path)
            for group in range(parquet.metadata.num_row_groups):
                rows = parquet.metadata.row_group(group).num_rows
                if skip >= rows:
                    skip -= rows
                    continue
                yield parquet.read_row_group(group, columns=fields, use_threads=True).select(fields).slice(skip)
                skip = 0

    def page(self, offset: int, limit: int, split: str | None = None) -> list[dict[str, Any]]:
        """Return rows `offset` … `offset + limit - 1` as JSON values; reads only their row groups."""
        found: list[dict[str, Any]] = []
        known = dict(self.parts)
        for path in self._paths(split):
            if len(found) >= limit:
                break
            if offset >= known.get(path.name, offset + 1):
                offset -= known[path.name]
                continue
            parquet = _open_parquet(path)
            for group in range(parquet.metadata.num_row_groups):
                rows = parquet.metadata.row_group(group).num_rows
                if offset >= rows:
                    offset -= rows
                    continue
                if len(found) >= limit:
                    break
                table = parquet.read_row_group(group).slice(offset, limit - len(found))
                offset = 0
                found.extend(self._json_rows(table))
        return found

    def _json_rows(self, table: Any) -> Iterator[dict[str, Any]]:
        values = [_to_json(table.column(f"c{i}"), column) for i, column in enumerate(self.columns)]
        names = [column.name for column in self.columns]
        for row in zip(*values, strict=True):
            yield dict(zip(names, row, strict=True))

    def _paths(self, split: str | None) -> list[Path]:
        if self.splits is None:
            if split is not None:
                raise KeyError(split)
            if self.parts:
                return [self.folder / name for name, _ in self.parts]
            return [self.folder / rows_file(None)]
        if split is not None and split not in self.splits:
            raise KeyError(split)
        return [self.folder / rows_file(name) for name in SPLITS if name in self.splits and split in (None, name)]


def _column(entry: dict[str, Any]) -> ColumnInfo:
    shape = tuple(entry["shape"]) if entry.get("shape") is not None else None
    return ColumnInfo(entry["name"], entry["type"], shape, entry.get("dtype"), entry)


def _open_parquet(path: Path) -> Any:
    # Imported here: the api process starts without pyarrow (0.2 s) and needs it for rows only.
    from pyarrow import parquet

    return parquet.ParquetFile(path, memory_map=False, pre_buffer=True)


def _to_array(column: Any, info: ColumnInfo) -> NDArray[Any]:
    """Turn a stored column (pyarrow ChunkedArray) into its in-memory form."""
    import pyarrow as pa

    if info.type == "array":
        return _array_values(column, info)
    if info.type in ("category", "text", "image"):
        objects: NDArray[Any] = column.to_numpy(zero_copy_only=False)
        return objects
    if info.type == "boolean":
        column = column.cast(pa.uint8()).cast(pa.float64())
    elif info.type == "datetime":
        column = column.cast(pa.int64())
    numbers: NDArray[Any] = column.to_numpy(zero_copy_only=False).astype(np.float64, copy=False)
    return numbers / 1e6 if info.type == "datetime" else numbers


def array_bytes(info: ColumnInfo) -> int:
    """Return the bytes of one row's value of an array column."""
    return np.dtype(info.dtype or "float64").itemsize * math.prod(info.shape or ())


def _array_values(column: Any, info: ColumnInfo) -> NDArray[Any]:
    shape = info.shape or ()
    dtype = np.dtype(info.dtype or "float64").newbyteorder("<")
    row_bytes = array_bytes(info)
    parts = []
    for chunk in column.chunks:
        raw = np.frombuffer(chunk.buffers()[1], np.uint8)
        start = chunk.offset * row_bytes
        parts.append(raw[start : start + len(chunk) * row_bytes].view(dtype).reshape(len(chunk), *shape))
    return np.concatenate(parts) if parts else np.empty((0, *shape), dtype)


def _to_json(column: Any, info: ColumnInfo) -> list[Any]:
    """Turn a stored column into values that JSON can hold: NaN and infinities become null."""
    if info.type == "array":
        return [_finite(row) for row in _array_values(column, info).tolist()]
    if info.type == "image":
        return [show_image(content) for content in column.to_pylist()]
    if info.type == "datetime":
        import pyarrow as pa

        return [None if us is None else to_rfc3339(us) for us in column.cast(pa.int64()).to_pylist()]
    values: list[Any] = column.to_pylist()
    return [_finite(value) for value in values] if info.type == "number" else values


def _finite(value: Any) -> Any:
    if isinstance(value, list):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def to_rfc3339(microseconds: int) -> str:
    """Return microseconds since 1970 UTC as `2020-01-31T08:00:00Z`."""
    return (_EPOCH + timedelta(microseconds=microseconds)).isoformat().replace("+00:00", "Z")
