"""jsonl and json: values keep their JSON type; a column whose types differ is one of words, and said so."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa

from app.datasets.convert import Conversion
from app.datasets.findings import BadRow, bad_rows_error, refuse
from app.datasets.names import checked_names
from app.datasets.options import MAX_COLUMNS, MAX_DETAILS, MAX_REJECTED_LISTED
from app.datasets.plan import check_types
from app.datasets.readers.json_columns import Seen, decide, is_words, look, spelled
from app.datasets.readers.json_rows import (
    BadValueError,
    RawRow,
    exact_integers,
    parse_array,
    parse_row,
    read_elements,
    read_lines,
)
from app.datasets.stored import ColumnInfo
from app.datasets.table import Source
from app.datasets.text_scan import scan_text
from app.datasets.words import WordStats, counting_cap

_BATCH_ROWS: Final = 1 << 14
_BATCH_BYTES: Final = 8 << 20
_NONE: Final = type(None)

Place = tuple[int, int]  # a row's line, and its number from 1


class JsonTable:
    """Rows of JSON, read twice: to find columns and types, and to convert."""

    splits: tuple[str, ...] | None = None

    def __init__(self, path: Path, elements: Callable[[Path], Iterator[RawRow]], source: Source) -> None:
        self._path = path
        self._elements = elements
        self._source = source
        header = source.options.header
        self._header = header if isinstance(header, list) else None
        self._seen: dict[str, Seen] = {}
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
        keys = self._keys.items()
        self._count_words([key for name, key in keys if is_words(self._seen[key], declared.get(name))])
        missing = frozenset(word.strip() for word in source.options.missing)
        self.columns: list[ColumnInfo] = []
        for name, key in keys:
            column, conversion = decide(name, self._seen[key], declared.get(name), missing, source.findings)
            self.columns.append(column)
            if conversion is not None:
                self._conversions[name] = conversion

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
                    types = set(map(type, row.values()))
                    if not types <= _FLAT:
                        self._take_lists(row)
                    if float in types:
                        exact_integers(row, raw)
                except BadValueError as error:
                    self._bad_count += 1
                    if len(self._bad) < MAX_REJECTED_LISTED:
                        self._bad.append(self._bad_row((line, number), str(error)))
                    continue
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
            known = self._seen.get(key)
            if known is not None and known.scalars > known.lists:
                raise BadValueError(f"{key[:40]!r} is a list where most rows have a single value")
            if known is not None and known.shape not in (None, array.shape):
                shape = list(known.shape or ())
                raise BadValueError(f"{key[:40]!r} has shape {list(array.shape)} where {shape} is expected")
            arrays[key] = array
        row.update(arrays)
        for key, array in arrays.items():
            if key not in self._seen:
                self._seen[key] = Seen()
            self._seen[key].shape = array.shape
            self._seen[key].array_kinds.add(array.dtype.kind)

    def _reject(self, rows: list[BadRow], count: int) -> None:
        if self._source.options.on_bad_rows == "fail":
            raise bad_rows_error(rows[:MAX_DETAILS], count)
        self._source.findings.reject(rows, count)

    def _find_columns(self) -> None:
        for places, rows in self._good_rows():
            for key in dict.fromkeys(key for row in rows for key in row):
                self._seen.setdefault(key, Seen())
            if len(self._seen) > MAX_COLUMNS:
                message = (
                    f"By line {places[-1][0]} there are {len(self._seen)} columns; a table has at most {MAX_COLUMNS}."
                )
                raise refuse(message, param="file")
            cap = counting_cap(len(self._seen))
            for key, seen in self._seen.items():
                look(seen, [row.get(key) for row in rows], cap)
        if self._bad and self._source.options.on_bad_rows == "fail":
            raise bad_rows_error(self._bad[:MAX_DETAILS], self._bad_count)
        for seen in self._seen.values():
            if seen.scalars > seen.lists:
                seen.shape = None
                seen.types.discard(np.ndarray)
        if not self._seen:
            raise refuse("The file has no rows with columns.", param="file")

    def _count_words(self, keys: list[str]) -> None:
        for key in keys:
            seen = self._seen[key]
            seen.words = seen.counts if seen.counts_all else None
        keys = [key for key in keys if self._seen[key].words is None]
        if not keys:
            return
        cap = counting_cap(len(self._seen))
        stats = {key: WordStats(cap) for key in keys}
        for _, rows in self._good_rows():
            for key, words in stats.items():
                words.update(spelled([row.get(key) for row in rows]))
        for key, words in stats.items():
            self._seen[key].words = words

    def _scalars(self, column: ColumnInfo, values: list[Any], bad: dict[int, str]) -> Any:
        conversion = self._conversions.get(column.name)
        if conversion is None:
            if column.type == "number":
                values = [value if value is None else float(value) for value in values]
            return pa.array(values, _PLAIN[column.type])
        typed, misfits = conversion.apply(spelled(values))
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
_PLAIN: Final = {"number": pa.float64(), "integer": pa.int64(), "boolean": pa.bool_(), "category": pa.string()}


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
