"""Rows of a delimited text one by one, with the line each begins on: to sniff, and to name what is bad.

pyarrow reads the bulk; it counts rows, not lines, and takes an unclosed quote at the end of a file
for a value. So whatever has to be named is looked up here, with the standard library's reader.
"""

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from app.datasets.findings import BadRow, refuse
from app.datasets.options import MAX_DETAILS, MAX_FIELD_BYTES, MAX_REJECTED_LISTED, MAX_ROW_BYTES

DELIMITERS: Final = (",", "\t", ";", "|")
_SNIFF_ROWS = 100
_SNIFF_CHARS = 1 << 20
_SCAN_BYTES = 4 << 20
_QUOTE, _NEWLINE, _RETURN = ord('"'), ord("\n"), ord("\r")


@dataclass(frozen=True)
class Dialect:
    """How a delimited text is cut into fields: a delimiter, and whether `"` quotes."""

    delimiter: str
    quoting: bool

    def reader(self, lines: Iterator[str], *, strict: bool = False) -> Any:
        """Return a `csv.reader` that works alike pyarrow's (empty lines are no rows)."""
        csv.field_size_limit(MAX_FIELD_BYTES)
        if self.quoting:
            return csv.reader(lines, delimiter=self.delimiter, strict=strict)
        return csv.reader(lines, delimiter=self.delimiter, quoting=csv.QUOTE_NONE, strict=strict)


@dataclass(frozen=True)
class Row:
    """A row and the line (from 1) on which it begins."""

    line: int
    fields: list[str]


def read_lines(path: Path) -> Iterator[str]:
    """Yield lines with their ends; 422 for one that is longer than a row may be."""
    with path.open(encoding="utf-8", newline="") as text:
        number = 0
        while line := text.readline(MAX_ROW_BYTES + 1):
            number += 1
            if len(line) > MAX_ROW_BYTES:
                raise refuse(f"Line {number} is longer than {MAX_ROW_BYTES} characters.", param="file")
            yield line


def walk(path: Path, dialect: Dialect, *, strict: bool = False) -> Iterator[Row]:
    """Yield every row that is no empty line; 422 for a field or row beyond its limit."""
    reader = dialect.reader(read_lines(path), strict=strict)
    while True:
        line = reader.line_num + 1
        try:
            fields = next(reader, None)
        except csv.Error as error:
            raise _csv_error(error, line) from error
        if fields is None:
            return
        if fields:
            yield Row(line, fields)


def _csv_error(error: csv.Error, line: int) -> Exception:
    text = str(error)
    if "field larger" in text:
        reason = f"a field is longer than {MAX_FIELD_BYTES} characters, or its quote is never closed"
    elif "unexpected end" in text:
        reason = "a quote that is opened here is never closed"
    else:
        reason = "a quoted field goes on after its closing quote"
    return refuse(
        f"Line {line}: {reason}. Send quoting=false where a quote is a plain character.",
        param="file",
        details=[{"param": "file", "line": line, "message": reason}],
    )


def header_bytes(path: Path, dialect: Dialect) -> int:
    """Return how many bytes of the file lie before the row that follows the header."""
    size = 0

    def counted() -> Iterator[str]:
        nonlocal size
        for line in read_lines(path):
            size += len(line.encode())
            yield line

    next((fields for fields in dialect.reader(counted()) if fields), None)
    return size


def sniff_delimiter(path: Path) -> str:
    """Return the delimiter of `,` tab `;` `|` under which the first rows have the same number of fields."""
    with path.open(encoding="utf-8", newline="") as text:
        lines = text.read(_SNIFF_CHARS).splitlines(keepends=True)[: 4 * _SNIFF_ROWS]
    if len(lines) > 1 and not lines[-1].endswith(("\n", "\r")):
        lines.pop()  # cut off by the size of the sample
    best, best_score = ",", (0.0, 0)
    for delimiter in DELIMITERS:
        for quoting in (True, False):
            score = _evenness(lines, Dialect(delimiter, quoting))
            if score > best_score:
                best, best_score = delimiter, score
    return best


def _evenness(lines: list[str], dialect: Dialect) -> tuple[float, int]:
    """Return (share of rows as wide as the first, that width); zero where the first has one field."""
    try:
        widths = [len(fields) for fields in islice(dialect.reader(iter(lines), strict=True), _SNIFF_ROWS) if fields]
    except csv.Error:
        return (0.0, 0)
    if not widths or widths[0] < 2:
        return (0.0, 0)
    return (sum(width == widths[0] for width in widths) / len(widths), widths[0])


@dataclass
class QuoteScan:
    """What a pass over the bytes found: quotes, whether all are regular, line ends inside, empty lines."""

    quotes: bool = False
    regular: bool = True
    newlines_inside: bool = False
    empty_lines: int = 0


def scan_quotes(path: Path, dialect: Dialect) -> QuoteScan:
    """Look at every quote: regular ones open after a delimiter or line end and close before one.

    Vectorised, because it runs over every file: an opening quote is one with an even number of
    quotes before it. Where one is irregular the parity means nothing any more, and the caller
    asks the slow reader.
    """
    found = QuoteScan()
    edges = np.zeros(256, bool)
    edges[[ord(dialect.delimiter), _NEWLINE, _RETURN, _QUOTE]] = True
    inside = 0
    # Two bytes before and one after what is looked at; the file begins and ends like a line.
    window = b"\n\n"
    with path.open("rb") as source:
        while True:
            chunk = source.read(_SCAN_BYTES)
            window += chunk or b"\n"
            inside = _scan_window(window, dialect.quoting, edges, inside, found)
            if not chunk:
                found.regular &= inside == 0
            if not chunk or not found.regular:
                return found
            window = window[-3:]


def _scan_window(window: bytes, quoting: bool, edges: NDArray[np.bool_], inside: int, found: QuoteScan) -> int:
    """Look at `window[2:-1]`, which begins within quotes if `inside`; return the same of its end."""
    has_quotes = quoting and b'"' in window
    has_empty = b"\n\n" in window or b"\n\r\n" in window
    if not (has_quotes or has_empty or inside):
        return inside
    body = np.frombuffer(window, np.uint8)
    marks = np.flatnonzero(body[2:-1] == _QUOTE) + 2 if has_quotes else np.empty(0, np.int64)
    if marks.size:
        found.quotes = True
        opens, closes = marks[inside::2], marks[1 - inside :: 2]
        found.regular = bool(edges[body[opens - 1]].all() and edges[body[closes + 1]].all())
    ends = np.flatnonzero(body[2:-1] == _NEWLINE) + 2
    within = (np.searchsorted(marks, ends) + inside) % 2 == 1
    found.newlines_inside |= bool(within.any())
    outside = ends[~within]
    before, second = body[outside - 1], body[outside - 2]
    found.empty_lines += int(((before == _NEWLINE) | ((before == _RETURN) & (second == _NEWLINE))).sum())
    return (inside + int(marks.size)) % 2


def ragged_rows(path: Path, dialect: Dialect, width: int, has_header: bool) -> Iterator[BadRow]:
    """Yield the rows that have not `width` fields."""
    for row in islice(walk(path, dialect), int(has_header), None):
        if len(row.fields) != width:
            yield BadRow(row.line, f"it has {len(row.fields)} fields where {width} are expected")


def lines_of(path: Path, dialect: Dialect, width: int, has_header: bool, ordinals: list[int]) -> list[int]:
    """Return the lines of rows that are `width` wide, by their numbers (from 0, ascending)."""
    wanted = iter(ordinals[: max(MAX_DETAILS, MAX_REJECTED_LISTED)])
    found: list[int] = []
    target = next(wanted, None)
    good = 0
    for row in islice(walk(path, dialect), int(has_header), None):
        if target is None:
            break
        if len(row.fields) == width:
            if good == target:
                found.append(row.line)
                target = next(wanted, None)
            good += 1
    return found
