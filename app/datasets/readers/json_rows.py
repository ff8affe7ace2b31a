"""Rows of JSON lines, and of a JSON document that is a list: one at a time, each with its line.

A broken line costs that line only. Of a document only one element is in memory.
"""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np
import orjson
from numpy.typing import NDArray

from app.datasets.findings import refuse
from app.datasets.options import MAX_COLUMNS, MAX_FIELD_BYTES, MAX_ROW_BYTES

_READ_CHARS: Final = 1 << 20
_SPACE: Final = re.compile(r"[ \t\r\n]*")
_MAX_DIMENSIONS: Final = 8
# orjson takes a whole number beyond 64 bits for a float.
_HUGE: Final = 2.0**63

RawRow = tuple[int, bytes]


class BadValueError(Exception):
    """Why a row cannot be taken in."""


def read_lines(path: Path) -> Iterator[RawRow]:
    """Yield (line number, line) of every line that is not blank."""
    with path.open("rb") as source:
        number = 0
        while line := source.readline(MAX_ROW_BYTES + 1):
            number += 1
            if len(line) > MAX_ROW_BYTES:
                raise refuse(f"Line {number} is longer than {MAX_ROW_BYTES} bytes.", param="file")
            if not line.isspace():
                yield number, line


def read_elements(path: Path) -> Iterator[RawRow]:
    """Yield (line number, JSON text) of every element of the list that the document is."""
    with path.open(encoding="utf-8", newline="") as source:
        scanner = _Scanner(source)
        if scanner.peek() != "[":
            raise refuse("The JSON document is no list. For one object a line the format is jsonl.", param="file")
        scanner.skip()
        if scanner.peek() == "]":
            scanner.skip()
        else:
            while True:
                yield scanner.element()
                char = scanner.peek()
                scanner.skip()
                if char == "]":
                    break
                if char != ",":
                    raise scanner.error("',' or ']' is missing")
        if scanner.peek():
            raise scanner.error("there is more after the end of the list")


class _Scanner:
    """A window onto a JSON text that grows only as far as one element needs."""

    def __init__(self, source: Any) -> None:
        self._source = source
        self._text = ""
        self._at = 0
        self._line = 1
        self._ended = False
        self._decoder = json.JSONDecoder()

    def peek(self) -> str:
        """Return the next character that is no space, "" at the end."""
        while True:
            end = _SPACE.match(self._text, self._at).end()  # type: ignore[union-attr]  # matches always
            self._line += self._text.count("\n", self._at, end)
            self._at = end
            if end < len(self._text):
                return self._text[end]
            if not self._read(_READ_CHARS):
                return ""

    def skip(self) -> None:
        """Pass one character."""
        self._at += 1

    def element(self) -> RawRow:
        """Return the next element with its line."""
        self.peek()
        size = _READ_CHARS
        while True:
            try:
                _, end = self._decoder.raw_decode(self._text, self._at)
            except json.JSONDecodeError as error:
                if len(self._text) - self._at > MAX_ROW_BYTES:
                    raise self.error(f"an element is broken, or longer than {MAX_ROW_BYTES} characters") from error
                if self._read(size):
                    size *= 2
                    continue
                raise self.error(error.msg) from error
            except RecursionError as error:
                raise self.error("an element nests too deep") from error
            if end == len(self._text) and self._read(size):
                continue  # a number may go on
            line, text = self._line, self._text[self._at : end]
            self._line += text.count("\n")
            self._at = end
            return line, text.encode()

    def error(self, what: str) -> Exception:
        """Return the 422 for a document that is broken here."""
        message = f"Line {self._line}: the JSON document is broken: {what}."
        return refuse(message, param="file", details=[{"param": "file", "line": self._line, "message": what}])

    def _read(self, size: int) -> bool:
        if self._ended:
            return False
        more = self._source.read(size)
        self._ended = not more
        self._text = self._text[self._at :] + more
        self._at = 0
        return bool(more)


def parse_row(raw: bytes, names: list[str] | None) -> dict[str, Any]:
    """Return the object that `raw` is, or a list under the names of `header`; BadValueError."""
    try:
        row = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        raise BadValueError(f"it is not valid JSON: {str(error).partition(':')[0]}") from None
    if type(row) is list:
        if names is None:
            raise BadValueError("it is a list; name its columns in header")
        if len(row) != len(names):
            raise BadValueError(f"it has {len(row)} values where header names {len(names)} columns")
        row = dict(zip(names, row, strict=True))
    elif type(row) is not dict:
        raise BadValueError("it is neither an object nor a list")
    elif raw.count(b'":') != len(row):
        # Most keys are followed by a colon: only where the count differs can one be doubled.
        _check_unique(raw)
    if len(row) > MAX_COLUMNS:
        raise BadValueError(f"it has {len(row)} fields; a table has at most {MAX_COLUMNS} columns")
    if b"\\u0000" in raw or len(raw) > MAX_FIELD_BYTES:
        _check_texts(row)
    return row


def _check_unique(raw: bytes) -> None:
    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) != len(pairs):
            names = [name for name, _ in pairs]
            doubled = next(name for name in names if names.count(name) > 1)
            raise BadValueError(f"it has the key {doubled[:40]!r} twice")
        return found

    json.loads(raw, object_pairs_hook=unique)


def _check_texts(row: dict[str, Any]) -> None:
    for name, value in row.items():
        if "\0" in name or (type(value) is str and "\0" in value):
            raise BadValueError(f"{name[:40]!r} has a NUL character")
        if type(value) is str and len(value) > MAX_FIELD_BYTES:
            raise BadValueError(f"{name[:40]!r} is longer than {MAX_FIELD_BYTES} characters")


def exact_integers(row: dict[str, Any], raw: bytes) -> None:
    """Put the exact whole numbers into a row where orjson made floats of them."""
    for value in row.values():
        if type(value) is float and not -_HUGE < value < _HUGE:
            break
    else:
        return
    exact = json.loads(raw)
    if isinstance(exact, dict):
        row.update({name: exact[name] for name, value in row.items() if type(value) is float})


def parse_array(value: list[Any]) -> NDArray[Any]:
    """Return a list of numbers (nested: of one shape) as an array of int64, float64 or bool."""
    try:
        array = np.array(value)
    except ValueError:
        raise BadValueError("its lists differ in length") from None
    if array.dtype.kind not in "iufb" or array.dtype == np.uint64:
        raise BadValueError("a list may hold numbers only, here")
    if array.size == 0 or array.ndim > _MAX_DIMENSIONS:
        raise BadValueError("a list is empty, or nests too deep")
    return array
