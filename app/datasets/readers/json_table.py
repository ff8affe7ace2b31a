"""jsonl and json: values keep their JSON type; a column whose types differ is one of words, and said so."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
import orjson
import pyarrow as pa

from app.core.errors import Unprocessable
from app.datasets.convert import Conversion
from app.datasets.findings import BadRow, bad_rows_error, refuse
from app.datasets.infer import parse_datetimes
from app.datasets.names import checked_names
from app.datasets.options import MAX_COLUMNS, MAX_DETAILS, MAX_REJECTED_LISTED
from app.datasets.plan import check_types, words_conversion
from app.datasets.readers.json_rows import (
    BadValueError,
    RawRow,
    exact_integers,
    parse_array,
    parse_row,
    read_elements,
    read_lines,
)
from app.datasets.spelling import MAX_SAFE_INTEGER, MISSING
from app.datasets.stored import ColumnInfo, ColumnType
from app.datasets.table import Source
from app.datasets.text_scan import scan_text
from app.datasets.words import WordStats, counting_cap

_BATCH_ROWS: Final = 1 << 14
_BATCH_BYTES: Final = 8 << 20
_NONE: Final = type(None)

Place = tuple[int, int]  # a row's line, and its number from 1


@dataclass
class _Seen:
    """What the first pass saw in one column."""

    types: set[type] = field(default_factory=set)
    shape: tuple[int, ...] | None = None  # of a column of lists
    array_kinds: set[str] = field(default_factory=set)
    exact: bool = True  # whole numbers within ±2^53
    lists: int = 0
    scalars: int = 0
    datetimes: bool = True  # every text but a missing value is a date or time
    dated: bool = False
    only_missing: bool = True  # every text is a spelling of a missing value
    words: WordStats | None = None


class JsonTable:
    """Rows of JSON, read twice: to find columns and types, and to convert."""

    splits: tuple[str, ...] | None = None

    def __init__(self, path: Path, elements: Callable[[Path], Iterator[RawRow]], source: Source) -> None:
        self._path = path
        self._elements = elements
        self._source = source
        header = source.options.header
        self._header = header if isinstance(header, list) else None
        self._seen: dict[str, _Seen] = {}
        self._bad: list[BadRow] = []
        self._bad_count = 0
        _, first = next(elements(path), (0, b""))
        if self._header is None and first.lstrip().startswith(b"["):
            raise refuse("The rows are lists: name their columns in header.", param="header")
        self._find_columns()
        names = checked_names(list(self._seen), source.findings)
        self._keys = dict(zip(names, self._seen, strict=True))
        self._conversions: dict[str, Conversion] = {}
        declared = check_types(source.options.types, names)
        self._count_words([key for name, key in self._keys.items() if self._is_words(key, declared.get(name))])
        self.columns = [self._typed(name, key, declared.get(name)) for name, key in self._keys.items()]

    def batches(self, split: str | None) -> Iterator[list[Any]]:
        """Yield typed batches without the rows that do not fit."""
        del split
        for places, rows in self._good_rows():
            arrays: list[Any] = []
            bad: dict[int, str] = {}
            for column in self.columns:
                values = [row.get(self._keys[column.name]) for row in rows]
                if column.type == "array":
                    arrays.append(self._array(column, values, bad))
                else:
                    arrays.append(self._scalars(column, values, bad))
            if bad:
                self._reject([self._bad_row(places[i], reason) for i, reason in bad.items()], len(bad))
                keep = np.ones(len(rows), bool)
                keep[list(bad)] = False
                arrays = [array.filter(pa.array(keep)) for array in arrays]
            yield arrays
        self._source.findings.reject(self._bad, self._bad_count)

    def finish(self) -> None:
        """Say what was cleaned."""
        for conversion in self._conversions.values():
            conversion.say(self._source.findings)

    def _raw_batches(self) -> Iterator[list[RawRow]]:
        batch: list[RawRow] = []
        size = 0
        for raw in self._elements(self._path):
            batch.append(raw)
            size += len(raw[1])
            if len(batch) >= _BATCH_ROWS or size >= _BATCH_BYTES:
                yield batch
                batch, size = [], 0
        if batch:
            yield batch

    def _bad_row(self, place: Place, reason: str) -> BadRow:
        line, number = place
        # A whole document may be one line.
        return BadRow(line, f"element {number}: {reason}" if self._elements is read_elements else reason)

    def _good_rows(self) -> Iterator[tuple[list[Place], list[dict[str, Any]]]]:
        """Yield (places, rows) of what parses and nests no further than lists of numbers."""
        self._bad, self._bad_count = [], 0
        number = 0
        for batch in self._raw_batches():
            places: list[Place] = []
            rows: list[dict[str, Any]] = []
            for line, raw in batch:
                number += 1
                try:
                    row = parse_row(raw, self._header)
                    if not _FLAT.issuperset(map(type, row.values())):
                        self._take_lists(row)
                except BadValueError as error:
                    self._bad_count += 1
                    if len(self._bad) < MAX_REJECTED_LISTED:
                        self._bad.append(self._bad_row((line, number), str(error)))
                    continue
                exact_integers(row, raw)
                places.append((line, number))
                rows.append(row)
            if rows:
                yield places, rows

    def _take_lists(self, row: dict[str, Any]) -> None:
        """Turn the lists of a row into arrays; BadValueError for objects and for lists of another shape."""
        arrays = {}
        for key, value in row.items():
            if type(value) is dict:
                raise BadValueError(f"{key[:40]!r} is an object; nested objects are not supported")
            if type(value) is not list:
                continue
            try:
                array = parse_array(value)
            except BadValueError as error:
                raise BadValueError(f"{key[:40]!r}: {error}") from None
            known = self._seen.get(key, _Seen())
            if known.scalars > known.lists:
                raise BadValueError(f"{key[:40]!r} is a list where most rows have a single value")
            if known.shape not in (None, array.shape):
                shape = list(known.shape or ())
                raise BadValueError(f"{key[:40]!r} has shape {list(array.shape)} where {shape} is expected")
            arrays[key] = array
        row.update(arrays)
        for key, array in arrays.items():
            seen = self._seen.setdefault(key, _Seen())
            seen.shape = array.shape
            seen.array_kinds.add(array.dtype.kind)

    def _reject(self, rows: list[BadRow], count: int) -> None:
        if self._source.options.on_bad_rows == "fail":
            raise bad_rows_error(rows[:MAX_DETAILS], count)
        self._source.findings.reject(rows, count)

    def _find_columns(self) -> None:
        for places, rows in self._good_rows():
            for key in dict.fromkeys(key for row in rows for key in row):
                self._seen.setdefault(key, _Seen())
            if len(self._seen) > MAX_COLUMNS:
                message = (
                    f"By line {places[-1][0]} there are {len(self._seen)} columns; a table has at most {MAX_COLUMNS}."
                )
                raise refuse(message, param="file")
            for key, seen in self._seen.items():
                _look(seen, [row.get(key) for row in rows])
        if self._bad and self._source.options.on_bad_rows == "fail":
            raise bad_rows_error(self._bad[:MAX_DETAILS], self._bad_count)
        for seen in self._seen.values():
            if seen.scalars > seen.lists:
                seen.shape = None
                seen.types.discard(np.ndarray)
        if not self._seen:
            raise refuse("The file has no rows with columns.", param="file")

    def _is_words(self, key: str, said: ColumnType | None) -> bool:
        seen = self._seen[key]
        types = seen.types - {_NONE}
        if seen.shape is not None or said in ("number", "integer", "boolean", "datetime"):
            return False
        if said in ("category", "text"):
            return True
        if str in types:
            numbers_with_missing = seen.only_missing and types - {str} and types <= {str, int, float}
            return not (numbers_with_missing or (types == {str} and seen.datetimes and seen.dated))
        return (bool not in types and types == {int} and not seen.exact) or (bool in types and types != {bool})

    def _count_words(self, keys: list[str]) -> None:
        if not keys:
            return
        cap = counting_cap(len(self._seen))
        stats = {key: WordStats(cap) for key in keys}
        for _, rows in self._good_rows():
            for key, words in stats.items():
                words.update(_spelled([row.get(key) for row in rows]))
        for key, words in stats.items():
            self._seen[key].words = words

    def _typed(self, name: str, key: str, said: ColumnType | None) -> ColumnInfo:
        """Decide the type of a column."""
        seen, findings = self._seen[key], self._source.findings
        missing = frozenset(word.strip() for word in self._source.options.missing)
        types = seen.types - {_NONE}
        if seen.shape is not None:
            if said is not None:
                raise Unprocessable(f"types.{name}: a column of lists is an array.", param=f"types.{name}")
            return ColumnInfo(name, "array", seen.shape, _array_dtype(seen.array_kinds))
        if seen.words is not None:
            if said is None and types != {str}:
                found = ", ".join(sorted(_JSON_NAMES[t] for t in types))
                message = (
                    f"Column {name!r} is kept as words: it has values of several types or beyond 64 bits ({found})."
                )
                findings.note("kept_as_words", message, column=name)
            conversion = words_conversion(name, seen.words, said, missing, frozenset(), findings)
        elif said is not None:
            conversion = Conversion(name, said, MISSING | missing, "both", declared=True)
        elif not types:
            return ColumnInfo(name, "category")
        elif types == {bool}:
            return ColumnInfo(name, "boolean")
        elif types == {str}:
            conversion = Conversion(name, "datetime", MISSING | missing, "both")
        elif types <= {int, float}:
            if not seen.exact:
                message = f"Column {name!r}: whole numbers beyond 2^53 are rounded to the nearest 64-bit number."
                findings.note("rounded", message, column=name)
            return ColumnInfo(name, "integer" if types == {int} else "number")
        else:
            conversion = Conversion(name, "number" if float in types else "integer", MISSING | missing, "both")
        self._conversions[name] = conversion
        return ColumnInfo(name, conversion.type)

    def _scalars(self, column: ColumnInfo, values: list[Any], bad: dict[int, str]) -> Any:
        conversion = self._conversions.get(column.name)
        if conversion is None:
            if column.type == "number":
                values = [value if value is None else float(value) for value in values]
            return pa.array(values, _PLAIN[column.type])
        typed, misfits = conversion.apply(_spelled(values))
        if misfits is not None:
            for i in np.flatnonzero(misfits):
                reason = f"{column.name} is {str(values[int(i)])[:40]!r}, which is no {column.type}"
                bad.setdefault(int(i), reason)
        return typed

    def _array(self, column: ColumnInfo, values: list[Any], bad: dict[int, str]) -> Any:
        """Return fixed-size binary values; rows without a fitting list are bad, and zero here."""
        dtype = np.dtype(column.dtype)
        stacked = np.zeros((len(values), *(column.shape or ())), dtype)
        for i, value in enumerate(values):
            if isinstance(value, np.ndarray):
                stacked[i] = value
            else:
                bad.setdefault(i, f"{column.name} is missing or no list; an array column has a value in every row")
        width = stacked[:1].nbytes
        return pa.FixedSizeBinaryArray.from_buffers(pa.binary(width), len(values), [None, pa.py_buffer(stacked)])


_FLAT: Final = frozenset({int, float, bool, str, _NONE})
_JSON_NAMES: Final = {int: "integer", float: "number", bool: "boolean", str: "string", np.ndarray: "list"}
_PLAIN: Final = {"number": pa.float64(), "integer": pa.int64(), "boolean": pa.bool_(), "category": pa.string()}


def _look(seen: _Seen, values: list[Any]) -> None:
    types = set(map(type, values))
    seen.types |= types
    lists = sum(type(value) is np.ndarray for value in values) if np.ndarray in types else 0
    seen.lists += lists
    seen.scalars += len(values) - lists - sum(value is None for value in values)
    if int in types and seen.exact:
        whole = [value for value in values if type(value) is int]
        seen.exact = min(whole) >= -MAX_SAFE_INTEGER and max(whole) <= MAX_SAFE_INTEGER
    if str in types and (seen.datetimes or seen.only_missing):
        texts = [value.strip() for value in values if type(value) is str]
        seen.only_missing = seen.only_missing and MISSING.issuperset(texts)
        known = [text for text in texts if text not in MISSING]
        seen.datetimes = seen.datetimes and (not known or parse_datetimes(pa.array(known, pa.string())) is not None)
        seen.dated = seen.dated or (seen.datetimes and bool(known))


def _spelled(values: list[Any]) -> Any:
    """Return values as strings: texts as they are, others as JSON spells them."""
    return pa.array([v if v is None or type(v) is str else _spell(v) for v in values], pa.string())


def _spell(value: Any) -> str:
    if type(value) is int:
        return str(value)
    return orjson.dumps(value, option=orjson.OPT_SERIALIZE_NUMPY).decode()


def _array_dtype(kinds: set[str]) -> str:
    if kinds == {"b"}:
        return "bool"
    return "int64" if kinds <= {"i", "b"} else "float64"


def read_jsonl(source: Source) -> JsonTable:
    """Read one JSON object a line."""
    return _read_json(source, read_lines)


def read_json(source: Source) -> JsonTable:
    """Read a JSON document: a list of objects, or of lists with `header` names."""
    return _read_json(source, read_elements)


def _read_json(source: Source, elements: Callable[[Path], Iterator[RawRow]]) -> JsonTable:
    limit = source.limits.max_upload_bytes
    text = scan_text(source.upload, source.work_dir, source.options.encoding, limit, source.findings)
    return JsonTable(text.path, elements, source)
