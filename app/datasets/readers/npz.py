"""npz: named arrays with a common first axis; `x_train`, `x_test` are official splits of one column."""

import math
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from app.core.errors import TooLarge, Unprocessable
from app.datasets.findings import refuse
from app.datasets.infer import UTC_MICROSECONDS
from app.datasets.names import checked_names
from app.datasets.options import MAX_COLUMNS
from app.datasets.plan import check_types
from app.datasets.readers.npz_archive import BROKEN_ARCHIVE, Entry, arrange, read_header, rows_of
from app.datasets.readers.typed import drop_bad, plan_strings
from app.datasets.spelling import MAX_SAFE_INTEGER
from app.datasets.stored import ColumnInfo, ColumnType
from app.datasets.table import Source
from app.datasets.text_scan import CHUNK_BYTES, open_upload

_BATCH_BYTES: Final = 16 << 20


class NpzTable:
    """The arrays of an archive as columns."""

    def __init__(self, path: Path, source: Source) -> None:
        self._source = source
        self._path = path
        entries = self._entries()
        self.splits, self._arrays = arrange(entries)
        names = checked_names(list(next(iter(self._arrays.values()))), source.findings)
        declared = check_types(source.options.types, names)
        self._types = {name: self._type(name) for name in names}
        strings = [name for name in names if self._types[name][0] == "text" or name in declared]
        for name in strings:
            if self._types[name][0] in ("array", "datetime"):
                said = f"types.{name}: a column of this kind keeps its type."
                raise Unprocessable(said, param=f"types.{name}")
        self._conversions = plan_strings(strings, self._string_batches, source, declared, len(names))
        self.columns = [self._column(name) for name in names]

    def batches(self, split: str | None) -> Iterator[list[Any]]:
        """Yield typed batches of a split."""
        entries = self._arrays[split]
        names = [column.name for column in self.columns]
        step = max(1, _BATCH_BYTES // max(1, sum(entries[name].row_bytes for name in names)))
        first_row = 0
        for values in self._read([entries[name] for name in names], step):
            bad: dict[int, str] = {}
            arrays = [self._convert(column, v, bad) for column, v in zip(self.columns, values, strict=True)]
            yield drop_bad(arrays, bad, first_row, self._source) if bad else arrays
            first_row += len(values[0])

    def finish(self) -> None:
        """Say what was cleaned."""
        for conversion in self._conversions.values():
            conversion.say(self._source.findings)

    def _entries(self) -> dict[str, Entry]:
        """Read the directory and the headers only; refuse what does not fit together."""
        limit = self._source.limits.max_upload_bytes
        try:
            with zipfile.ZipFile(self._path) as archive:
                members = archive.infolist()
                if not members:
                    raise refuse("The archive has no arrays.", param="file")
                if len(members) > MAX_COLUMNS:
                    raise refuse(f"The archive has {len(members)} members; a table has at most {MAX_COLUMNS} columns.")
                if sum(member.file_size for member in members) > limit:
                    raise TooLarge(f"Unpacked, the arrays have more than max_upload_bytes = {limit} bytes.")
                names = [member.filename for member in members]
                if len(set(names)) != len(names):
                    raise refuse("The archive has two members of one name.", param="file")
                return {name.removesuffix(".npy"): read_header(archive, name) for name in names}
        except BROKEN_ARCHIVE as error:
            raise refuse("The file is no whole npz archive.", param="file") from error

    def _type(self, name: str) -> tuple[ColumnType, tuple[int, ...] | None, str | None]:
        """Return (type, shape, dtype) of a column, the same in every split."""
        found = [entries[name] for entries in self._arrays.values()]
        first = found[0]
        for entry in found[1:]:
            if entry.shape[1:] != first.shape[1:] or entry.dtype.kind != first.dtype.kind:
                raise refuse(f"Column {name!r} has not the same shape and type in every split.", param="file")
        kind = first.dtype.kind
        if len(first.shape) == 1:
            column_type = _SCALAR_TYPES.get(kind)
            if column_type is None:
                raise refuse(
                    f"Array {first.member!r} has the type {first.dtype}, which is not supported.", param="file"
                )
            return column_type, None, None
        if kind not in "iufb":
            message = f"Array {first.member!r} has the type {first.dtype}; one with several axes holds numbers only."
            raise refuse(message, param="file")
        if kind in "iu" and first.shape[1:] == (1,):
            message = f"Array {name!r} of shape (N, 1) is kept as a column of integers."
            self._source.findings.note("axis_dropped", message, column=name)
            return "integer", None, None
        widest = np.result_type(*(entry.dtype for entry in found))
        return "array", first.shape[1:], "float64" if widest.itemsize > 8 else widest.newbyteorder("=").name

    def _column(self, name: str) -> ColumnInfo:
        column_type, shape, dtype = self._types[name]
        conversion = self._conversions.get(name)
        return ColumnInfo(name, conversion.type if conversion else column_type, shape, dtype)

    def _string_batches(self, names: list[str]) -> Iterator[list[Any]]:
        for entries in self._arrays.values():
            for values in self._read([entries[name] for name in names], 1 << 15):
                yield [_strings(v) for v in values]

    def _read(self, entries: list[Entry], step: int) -> Iterator[list[NDArray[Any]]]:
        """Yield `step` rows of every entry at a time."""
        try:
            with zipfile.ZipFile(self._path) as archive:
                readers = [rows_of(archive, entry, step, self._source.limits.memory_bytes) for entry in entries]
                yield from (list(values) for values in zip(*readers, strict=True))
        except BROKEN_ARCHIVE as error:
            raise refuse("The npz archive is damaged.", param="file") from error

    def _convert(self, column: ColumnInfo, values: NDArray[Any], bad: dict[int, str]) -> Any:
        conversion = self._conversions.get(column.name)
        if conversion is not None:
            strings = _strings(values)
            typed, misfits = conversion.apply(strings)
            if misfits is not None:
                for i in np.flatnonzero(misfits):
                    value = strings[int(i)].as_py()
                    bad.setdefault(int(i), f"{column.name} is {value[:40]!r}, which is no {column.type}")
            return typed
        if column.type == "array":
            block = np.ascontiguousarray(values, np.dtype(column.dtype).newbyteorder("<"))
            width = block[:1].nbytes
            return pa.FixedSizeBinaryArray.from_buffers(pa.binary(width), len(block), [None, pa.py_buffer(block)])
        if column.type == "integer":
            flat = values.reshape(-1)
            _check_safe(column.name, flat)
            return pa.array(flat.astype(np.int64))
        if column.type == "number":
            numbers = values.astype(np.float64)
            return pa.array(numbers, mask=~np.isfinite(numbers))
        if column.type == "datetime":
            moments = values.astype("datetime64[us]")
            return pa.array(moments.astype(np.int64), mask=np.isnat(moments)).cast(UTC_MICROSECONDS)
        return pa.array(values.astype(bool))


_SCALAR_TYPES: Final[dict[str, ColumnType]] = {
    "i": "integer",
    "u": "integer",
    "f": "number",
    "b": "boolean",
    "U": "text",
    "S": "text",
    "M": "datetime",
}


def _strings(values: NDArray[Any]) -> Any:
    flat = values.reshape(-1)
    if flat.dtype.kind == "S":
        try:
            return pa.array([item.decode() for item in flat.tolist()], pa.string())
        except UnicodeDecodeError:
            raise refuse("An array of bytes is not UTF-8 text.", param="file") from None
    if flat.dtype.kind == "b":
        return pa.array(["true" if item else "false" for item in flat.tolist()], pa.string())
    if flat.dtype.kind == "f":
        return pa.array([None if math.isnan(item) else repr(item) for item in flat.tolist()], pa.string())
    return pa.array([str(item) for item in flat.tolist()], pa.string())


def _check_safe(name: str, values: NDArray[Any]) -> None:
    if values.size and (int(values.max()) > MAX_SAFE_INTEGER or int(values.min()) < -MAX_SAFE_INTEGER):
        message = f"Column {name!r} has integers beyond ±2^53, which are not exact as numbers."
        raise refuse(f"{message} Send types to make a category of it.", param="file")


def read_npz(source: Source) -> NpzTable:
    """Read an npz archive."""
    path = source.upload
    with open_upload(source.upload, source.limits.max_upload_bytes) as reader:
        if reader.packed:
            path = source.work_dir / "unpacked"
            with path.open("wb") as sink:
                while chunk := reader.read(CHUNK_BYTES):
                    sink.write(chunk)
    return NpzTable(path, source)
