"""csv and tsv: two passes of pyarrow's streaming reader, one to find the types, one to convert.

Every field is read as a string first, so that no rule of pyarrow's decides what a value is. What
pyarrow cannot name (lines, unclosed quotes) is looked up in `csv_rows`.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv as arrow_csv

from app.core.errors import Unprocessable
from app.datasets.convert import STORED_TYPES, Conversion
from app.datasets.findings import BadRow, bad_rows_error, refuse
from app.datasets.names import checked_names
from app.datasets.options import MAX_COLUMNS, MAX_DETAILS, MAX_FIELD_BYTES, MAX_REJECTED_LISTED
from app.datasets.plan import TypePlan, plan_types
from app.datasets.readers import csv_rows
from app.datasets.readers.csv_rows import Dialect
from app.datasets.stored import ColumnInfo
from app.datasets.table import Source
from app.datasets.text_scan import TextFile, scan_text

_BLOCK_BYTES: Final = 4 << 20  # also the longest row: pyarrow gives up on one that spans three blocks


@dataclass
class DelimitedText:
    """A delimited text with its dialect and header known; `batches` yields its fields as strings."""

    path: Path
    dialect: Dialect
    names: list[str]
    has_header: bool
    header_bytes: int
    newlines_inside: bool
    bad_rows: int = 0
    lengths_checked: bool = False

    def batches(self, include: list[int] | None = None, types: dict[int, Any] | None = None) -> Iterator[list[Any]]:
        """Yield batches as one array a column (of `include`); an empty field is null.

        `types` gives columns that pyarrow may convert itself. Counts ragged rows in `bad_rows`.
        """
        wanted = range(len(self.names)) if include is None else include
        self.bad_rows = 0
        names = [f"c{i}" for i in range(len(self.names))]
        column_types = {f"c{i}": (types or {}).get(i, pa.string()) for i in wanted}
        with pa.OSFile(str(self.path)) as raw:
            raw.seek(self.header_bytes)
            try:
                yield from self._read(raw, names, column_types, [f"c{i}" for i in wanted])
            except pa.ArrowInvalid as error:
                if "Empty CSV" in str(error):
                    return
                raise self._diagnosed(error) from error

    def _read(self, raw: Any, names: list[str], types: dict[str, Any], include: list[str]) -> Iterator[list[Any]]:
        reader = arrow_csv.open_csv(
            raw,
            read_options=arrow_csv.ReadOptions(column_names=names, block_size=_BLOCK_BYTES, use_threads=False),
            parse_options=arrow_csv.ParseOptions(
                delimiter=self.dialect.delimiter,
                quote_char='"' if self.dialect.quoting else False,
                newlines_in_values=self.newlines_inside,
                invalid_row_handler=self._skip,
            ),
            convert_options=arrow_csv.ConvertOptions(
                check_utf8=False,  # `scan_text` has
                column_types=types,
                include_columns=include,
                null_values=[""],
                strings_can_be_null=True,
            ),
        )
        for batch in reader:
            if batch.num_rows:
                self._check_lengths(batch.columns)
                yield batch.columns

    def _check_lengths(self, arrays: list[Any]) -> None:
        """Raise for a field beyond the limit; only columns that could hold one are looked at."""
        for array in arrays:
            data = array.buffers()[-1] if array.type == pa.string() else None
            if data is None or data.size <= MAX_FIELD_BYTES or self.lengths_checked:
                continue
            if (pc.max(pc.binary_length(array)).as_py() or 0) > MAX_FIELD_BYTES:
                for _ in csv_rows.walk(self.path, self.dialect):  # it knows the line, and counts characters
                    pass
                self.lengths_checked = True

    def _skip(self, _row: Any) -> str:
        self.bad_rows += 1
        return "skip"

    def _diagnosed(self, error: Exception) -> Unprocessable:
        """Walk the file slowly to say what pyarrow stumbled over."""
        for _ in csv_rows.walk(self.path, self.dialect):
            pass
        if "straddling" in str(error):
            return refuse(f"A row is longer than {_BLOCK_BYTES} bytes.", param="file")
        return refuse("The file cannot be read as a table.", param="file")

    def ragged(self) -> list[BadRow]:
        """Return the first ragged rows."""
        rows = csv_rows.ragged_rows(self.path, self.dialect, len(self.names), self.has_header)
        return list(islice(rows, min(self.bad_rows, MAX_REJECTED_LISTED)))

    def lines(self, ordinals: list[int]) -> list[int]:
        """Return the lines of rows by their numbers among the good ones."""
        return csv_rows.lines_of(self.path, self.dialect, len(self.names), self.has_header, ordinals)


def read_csv(source: Source) -> "DelimitedTable":
    """Read comma-separated text; the delimiter is the client's, or found in the first rows."""
    return _read_delimited(source, None)


def read_tsv(source: Source) -> "DelimitedTable":
    """Read tab-separated text."""
    return _read_delimited(source, "\t")


def _read_delimited(source: Source, default_delimiter: str | None) -> "DelimitedTable":
    options, findings = source.options, source.findings
    text = scan_text(source.upload, source.work_dir, options.encoding, source.limits.max_upload_bytes, findings)
    if text.bytes == 0:
        raise refuse("The file is empty.", param="file")
    table = _open_delimited(text, source, default_delimiter)
    plan = plan_types(table, source)
    if table.bad_rows:
        ragged = table.ragged()
        if options.on_bad_rows == "fail":
            raise bad_rows_error(ragged[:MAX_DETAILS], table.bad_rows)
        findings.reject(ragged, table.bad_rows)
    return DelimitedTable(table, plan, source)


def _open_delimited(text: TextFile, source: Source, default_delimiter: str | None) -> DelimitedText:
    options, findings = source.options, source.findings
    delimiter = options.delimiter or default_delimiter or csv_rows.sniff_delimiter(text.path)
    dialect, newlines_inside = _find_quoting(text, source, Dialect(delimiter, options.quoting is not False))
    first = next(csv_rows.walk(text.path, dialect), None)
    if first is None:
        raise refuse("The file has no rows, only empty lines.", param="file")
    if len(first.fields) > MAX_COLUMNS:
        raise refuse(f"Line {first.line} has {len(first.fields)} fields; a table has at most {MAX_COLUMNS} columns.")
    has_header = options.header in (None, True)
    if isinstance(options.header, list):
        names = list(options.header)
        if len(names) != len(first.fields):
            message = f"header names {len(names)} columns, but line {first.line} has {len(first.fields)} fields."
            raise Unprocessable(message, code="dataset_invalid", param="header")
    else:
        names = first.fields if has_header else [f"column_{i}" for i in range(1, len(first.fields) + 1)]
    names = checked_names(names, findings)
    header_bytes = csv_rows.header_bytes(text.path, dialect) if has_header else 0
    return DelimitedText(text.path, dialect, names, has_header, header_bytes, newlines_inside)


def _find_quoting(text: TextFile, source: Source, dialect: Dialect) -> tuple[Dialect, bool]:
    """Decide whether `"` quotes, say so where it is a surprise; return also whether values span lines."""
    scan = csv_rows.scan_quotes(text.path, dialect)
    newlines_inside = scan.newlines_inside
    if not scan.regular:
        newlines_inside = True
        try:
            for _ in csv_rows.walk(text.path, dialect, strict=True):
                pass
        except Unprocessable as error:
            if source.options.quoting is not None:
                raise
            dialect, newlines_inside = Dialect(dialect.delimiter, quoting=False), False
            _check_unquoted(text, dialect, error)
            line = error.details[0]["line"]
            message = f'The character " is read as a plain one: as a quote it does not fit on line {line}.'
            source.findings.note("quoting_off", message)
        scan = csv_rows.scan_quotes(text.path, Dialect(dialect.delimiter, quoting=False))
    if scan.empty_lines:
        message = f"{scan.empty_lines} empty lines left out."
        source.findings.note("empty_lines_skipped", message, count=scan.empty_lines)
    return dialect, newlines_inside


def _check_unquoted(text: TextFile, dialect: Dialect, error: Unprocessable) -> None:
    """Raise what reading with quotes raised, unless every row has the same width without them."""
    width = None
    for row in csv_rows.walk(text.path, dialect):
        width = width or len(row.fields)
        if len(row.fields) != width:
            raise error


class DelimitedTable:
    """A delimited text with its types found: converts in the second pass."""

    splits: tuple[str, ...] | None = None

    def __init__(self, text: DelimitedText, plan: TypePlan, source: Source) -> None:
        self._text = text
        self._plan = plan
        self._source = source
        self.columns = [ColumnInfo(c.name, c.type) for c in plan.conversions]
        self._bad: list[BadRow] = []

    def batches(self, split: str | None) -> Iterator[list[Any]]:
        """Yield typed batches without the rows that do not fit a type the client named."""
        del split
        conversions = self._plan.conversions
        direct = {i: STORED_TYPES[conversions[i].type] for i in self._plan.plain}
        ordinal = 0
        for arrays in self._text.batches(types=direct):
            rows = len(arrays[0])
            typed: list[Any] = []
            bad: dict[int, str] = {}
            for i, array in enumerate(arrays):
                if i in direct:
                    typed.append(array)
                    continue
                values, misfits = conversions[i].apply(array)
                typed.append(values)
                if misfits is not None:
                    for position in np.flatnonzero(misfits):
                        bad.setdefault(int(position), _misfit(conversions[i], array[int(position)].as_py()))
            yield self._without(typed, bad, ordinal, rows) if bad else typed
            ordinal += rows

    def _without(self, arrays: list[Any], bad: dict[int, str], ordinal: int, rows: int) -> list[Any]:
        positions = sorted(bad)
        lines = self._text.lines([ordinal + p for p in positions[:MAX_REJECTED_LISTED]])
        named = [BadRow(line, bad[p]) for line, p in zip(lines, positions, strict=False)]
        if self._source.options.on_bad_rows == "fail":
            raise bad_rows_error(named[:MAX_DETAILS], len(bad))
        self._source.findings.reject(named, len(bad))
        keep = np.ones(rows, bool)
        keep[positions] = False
        return [array.filter(pa.array(keep)) for array in arrays]

    def finish(self) -> None:
        """Say what was cleaned."""
        for conversion in self._plan.conversions:
            conversion.say(self._source.findings)


def _misfit(conversion: Conversion, value: str) -> str:
    return f"{conversion.name} is {value[:40]!r}, which is no {conversion.type}"
