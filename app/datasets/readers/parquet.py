"""parquet: columns keep the type they have in the file; nested ones are refused by name."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import parquet

from app.core.errors import TooLarge, Unprocessable
from app.datasets.convert import Conversion
from app.datasets.findings import refuse
from app.datasets.infer import UTC_MICROSECONDS
from app.datasets.names import checked_names
from app.datasets.options import MAX_COLUMNS, Limits
from app.datasets.plan import check_types
from app.datasets.readers.typed import drop_bad, plan_strings
from app.datasets.spelling import MAX_SAFE_INTEGER
from app.datasets.stored import ColumnInfo, ColumnType
from app.datasets.table import Source
from app.datasets.text_scan import CHUNK_BYTES, open_upload

_BATCH_ROWS: Final = 1 << 15
_FIRST_MICROSECOND: Final = -62_135_596_800_000_000  # of year 1
_LAST_MICROSECOND: Final = 253_402_300_799_999_999  # of year 9999


@dataclass(frozen=True)
class _Field:
    """A column of the file: its place, its name there, and what it becomes."""

    name: str
    key: str
    type: ColumnType
    arrow: Any
    as_strings: bool  # it goes through a `Conversion`
    shape: tuple[int, ...] | None = None


class ParquetTable:
    """A Parquet file, read in batches of rows."""

    splits: tuple[str, ...] | None = None

    def __init__(self, path: Path, source: Source) -> None:
        self._source = source
        self._path = path
        file = self._open()
        schema = file.schema_arrow
        _check_size(file.metadata, source.limits)
        if len(schema.names) > MAX_COLUMNS:
            raise refuse(f"There are {len(schema.names)} columns; a table has at most {MAX_COLUMNS}.", param="file")
        names = checked_names(list(schema.names), source.findings)
        declared = check_types(source.options.types, names)
        self._fields = [_field(name, field, declared.get(name)) for name, field in zip(names, schema, strict=True)]
        self._fields = self._with_exact_integers()
        self._keys = {field.name: field.key for field in self._fields}
        strings = [field.name for field in self._fields if field.as_strings]
        self._conversions: dict[str, Conversion] = plan_strings(
            strings, self._string_batches, source, declared, len(self._fields)
        )
        self._not_finite: dict[str, int] = {}
        self.columns = [self._column(field) for field in self._fields]

    def batches(self, split: str | None) -> Iterator[list[Any]]:
        """Yield typed batches without the rows that do not fit."""
        del split
        first_row = 0
        for batch in self._read([field.key for field in self._fields]):
            arrays: list[Any] = []
            bad: dict[int, str] = {}
            for field, array in zip(self._fields, batch, strict=True):
                arrays.append(self._convert(field, array, bad))
            rows = len(arrays[0])
            yield drop_bad(arrays, bad, first_row, self._source) if bad else arrays
            first_row += rows

    def finish(self) -> None:
        """Say what was cleaned."""
        for conversion in self._conversions.values():
            conversion.say(self._source.findings)
        for name, count in self._not_finite.items():
            message = f"Column {name!r}: {count} values that are infinite taken as missing."
            self._source.findings.note("infinite_missing", message, column=name, count=count)
        for field in self._fields:
            if pa.types.is_decimal(field.arrow) and field.type == "number":
                message = f"Column {field.name!r}: decimals are kept as 64-bit numbers."
                self._source.findings.note("decimal_rounded", message, column=field.name)

    def _open(self) -> Any:
        try:
            return parquet.ParquetFile(self._path, memory_map=False, pre_buffer=False, page_checksum_verification=True)
        except (pa.ArrowException, OSError) as error:
            raise refuse("The file is no whole parquet file.", param="file") from error

    def _read(self, keys: list[str]) -> Iterator[list[Any]]:
        try:
            for batch in self._open().iter_batches(_BATCH_ROWS, columns=keys, use_threads=False):
                if batch.num_rows:
                    # By name: a column `a` also selects one called `a.b`.
                    yield [batch.column(batch.schema.get_field_index(key)) for key in keys]
        except pa.ArrowMemoryError:
            raise
        except (pa.ArrowException, OSError) as error:
            raise refuse("The parquet file is damaged.", param="file") from error

    def _string_batches(self, names: list[str]) -> Iterator[list[Any]]:
        for batch in self._read([self._keys[name] for name in names]):
            yield [_strings(array) for array in batch]

    def _with_exact_integers(self) -> list[_Field]:
        """Make words of integer columns that have values beyond ±2^53: no float64 keeps them apart."""
        doubtful = [f for f in self._fields if f.type == "integer" and f.arrow in (pa.int64(), pa.uint64())]
        beyond: set[str] = set()
        if doubtful:
            for batch in self._read([field.key for field in doubtful]):
                for field, array in zip(doubtful, batch, strict=True):
                    bounds = pc.min_max(array).as_py()
                    if bounds["min"] is not None and max(-bounds["min"], bounds["max"]) > MAX_SAFE_INTEGER:
                        beyond.add(field.name)
        for name in sorted(beyond):
            message = f"Column {name!r} is kept as words: its whole numbers are too long to be exact."
            self._source.findings.note("kept_as_words", message, column=name)
        return [_Field(f.name, f.key, "text", f.arrow, True) if f.name in beyond else f for f in self._fields]

    def _column(self, field: _Field) -> ColumnInfo:
        if field.type == "array":
            return ColumnInfo(field.name, "array", field.shape, _numpy_dtype(field.arrow.value_type))
        conversion = self._conversions.get(field.name)
        return ColumnInfo(field.name, conversion.type if conversion else field.type)

    def _convert(self, field: _Field, array: Any, bad: dict[int, str]) -> Any:
        if field.type == "array":
            return _lists(field, array, bad)
        if field.as_strings:
            strings = _strings(array)
            typed, misfits = self._conversions[field.name].apply(strings)
            if misfits is not None:
                for i in np.flatnonzero(misfits):
                    value = strings[int(i)].as_py()
                    bad.setdefault(int(i), f"{field.name} is {value[:40]!r}, which is no {field.type}")
            return typed
        if field.type == "datetime":
            return _datetimes(field, array, bad)
        if field.type == "number":
            return self._numbers(field, array)
        return pc.cast(array, {"integer": pa.int64(), "boolean": pa.bool_(), "category": pa.string()}[field.type])

    def _numbers(self, field: _Field, array: Any) -> Any:
        numbers = pc.cast(array, pa.float64(), safe=False)
        infinite = pc.sum(pc.is_inf(numbers)).as_py()
        if infinite:
            self._not_finite[field.name] = self._not_finite.get(field.name, 0) + infinite
        return pc.if_else(pc.is_finite(numbers), numbers, pa.scalar(None, pa.float64()))


def _field(name: str, field: Any, said: ColumnType | None) -> _Field:
    """Decide what a column becomes; 422 by name for a type that has no place here."""
    kind = field.type.value_type if pa.types.is_dictionary(field.type) else field.type
    if pa.types.is_fixed_size_list(kind) and _numpy_dtype(kind.value_type) and kind.list_size and said is None:
        return _Field(name, field.name, "array", kind, False, (kind.list_size,))
    natural = _natural_type(kind)
    if natural is None:
        message = f"Column {name!r} has the parquet type {str(field.type)[:80]}, which is not supported."
        raise refuse(message, param="file", details=[{"param": name, "message": f"type {str(field.type)[:80]}"}])
    if natural == "text" or (said is not None and said != natural):
        if natural == "datetime" and said not in ("category", "text"):
            raise Unprocessable(f"types.{name}: a datetime column cannot be {said}.", param=f"types.{name}")
        return _Field(name, field.name, said or "text", kind, True)
    return _Field(name, field.name, natural, kind, False)


def _natural_type(kind: Any) -> ColumnType | None:
    types = pa.types
    if types.is_boolean(kind):
        return "boolean"
    if types.is_integer(kind):
        return "integer"
    if types.is_floating(kind) or types.is_decimal(kind):
        return "number"
    if types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind):
        return "text"
    if types.is_date(kind) or types.is_timestamp(kind):
        return "datetime"
    return "category" if types.is_null(kind) else None


def _numpy_dtype(kind: Any) -> str | None:
    is_number = pa.types.is_integer(kind) or pa.types.is_floating(kind)
    return np.dtype(kind.to_pandas_dtype()).name if is_number else None


def _strings(array: Any) -> Any:
    if pa.types.is_dictionary(array.type):
        array = array.dictionary_decode()
    if pa.types.is_boolean(array.type):
        array = pc.if_else(array, "true", "false")
    return pc.cast(array, pa.string())


def _datetimes(field: _Field, array: Any, bad: dict[int, str]) -> Any:
    if pa.types.is_dictionary(array.type):
        array = array.dictionary_decode()
    if pa.types.is_timestamp(array.type) and array.type.tz is not None:
        array = pc.cast(array, pa.timestamp(array.type.unit, "UTC"))
    moments = pc.cast(
        pc.cast(array, pa.timestamp("us", array.type.tz if pa.types.is_timestamp(array.type) else None), safe=False),
        UTC_MICROSECONDS,
    )
    numbers = pc.cast(moments, pa.int64())
    outside = pc.or_(pc.less(numbers, _FIRST_MICROSECOND), pc.greater(numbers, _LAST_MICROSECOND))
    if pc.any(outside).as_py():
        for i in np.flatnonzero(pc.fill_null(outside, fill_value=False).to_numpy(zero_copy_only=False)):
            bad.setdefault(int(i), f"{field.name} is a time outside of the years 1 to 9999")
    return moments


def _lists(field: _Field, array: Any, bad: dict[int, str]) -> Any:
    """Turn fixed-size lists of numbers into fixed-size binary; a row without one is bad."""
    width = field.shape[0] if field.shape else 0
    flat = array.values.slice(array.offset * width, len(array) * width)
    if array.null_count or flat.null_count:
        broken = ~array.is_valid().to_numpy(zero_copy_only=False)
        broken |= ~flat.is_valid().to_numpy(zero_copy_only=False).reshape(-1, width).all(axis=1)
        for i in np.flatnonzero(broken):
            bad.setdefault(int(i), f"{field.name} is missing or has a missing element")
        flat = pc.fill_null(flat, fill_value=0)
    values = np.ascontiguousarray(flat.to_numpy(zero_copy_only=False))
    return pa.FixedSizeBinaryArray.from_buffers(
        pa.binary(width * values.itemsize), len(array), [None, pa.py_buffer(values)]
    )


def _check_size(metadata: Any, limits: Limits) -> None:
    """Refuse what would unpack to more than an upload may have: the footer says it."""
    unpacked = sum(metadata.row_group(i).total_byte_size for i in range(metadata.num_row_groups))
    if unpacked > limits.max_upload_bytes:
        limit = f"max_upload_bytes = {limits.max_upload_bytes}"
        raise TooLarge(f"Unpacked, the file has more than {limit} bytes.", param="file")


def _plain_file(source: Source) -> Path:
    """Return the file itself, unpacked where it was gzipped (Parquet is read from its end)."""
    with open_upload(source.upload, source.limits.max_upload_bytes) as reader:
        if not reader.packed:
            return source.upload
        target = source.work_dir / "unpacked"
        with target.open("wb") as sink:
            while chunk := reader.read(CHUNK_BYTES):
                sink.write(chunk)
    return target


def read_parquet(source: Source) -> ParquetTable:
    """Read a Parquet file."""
    return ParquetTable(_plain_file(source), source)
