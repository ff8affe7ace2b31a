"""From the strings of a column to its stored form, counting whatever is not taken as it stands."""

from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from app.datasets.findings import Findings
from app.datasets.infer import UTC_MICROSECONDS, clean, parse_datetimes, parse_integers, parse_numbers, parse_truth
from app.datasets.spelling import (
    DECLARED_INTEGER_RE2,
    DECLARED_NUMBER_RE2,
    FALSE_DECLARED,
    MAX_SAFE_INTEGER,
    TRUE_DECLARED,
)
from app.datasets.stored import ColumnType

STORED_TYPES = {
    "number": pa.float64(),
    "integer": pa.int64(),
    "boolean": pa.bool_(),
    "category": pa.string(),
    "text": pa.string(),
    "datetime": UTC_MICROSECONDS,
}


@dataclass
class Conversion:
    """How one column of strings becomes its type; `findings` afterwards says what it did.

    `missing` are spellings that become null. `strip` is "both" (typed columns, categories),
    "leading" (a text column in a file with a space after every delimiter) or "none". `declared`:
    the client named the type, so a value that does not fit makes its row bad.
    """

    name: str
    type: ColumnType
    missing: frozenset[str] = frozenset()
    strip: str = "none"
    declared: bool = False
    dialect_spaces: bool = False
    found_missing: Counter[str] = field(default_factory=Counter)
    padded: int = 0
    infinite: int = 0
    _spellings: Any = None

    def apply(self, array: Any) -> tuple[Any, NDArray[np.bool_] | None]:
        """Return the stored form of a batch, and which rows do not fit (None: all fit)."""
        values = self._cleaned(array)
        if self.type in ("category", "text"):
            return values, None
        return self._declared(values) if self.declared else (self._inferred(values), None)

    def _cleaned(self, array: Any) -> Any:
        if self.strip == "both" or (self.strip == "none" and self.missing):
            self._spellings = pa.array(sorted(self.missing)) if self._spellings is None else self._spellings
            if self.strip == "both":
                spelled = clean(array, self._spellings)
                self.found_missing.update(spelled.missing)
                self.padded += spelled.padded
                return spelled.values
            return self._without_missing(array)
        if self.strip == "leading":
            trimmed = pc.utf8_ltrim(array, characters=" ")
            self.padded += pc.sum(pc.not_equal(array, trimmed)).as_py() or 0
            return self._without_missing(trimmed)
        return array

    def _without_missing(self, array: Any) -> Any:
        """Turn exact spellings of a missing value into null; a text keeps its spaces."""
        spellings = pa.array(sorted(self.missing | {""}))
        is_missing = pc.is_in(array, value_set=spellings, skip_nulls=True)
        if not pc.any(is_missing).as_py():
            return array
        for entry in pc.value_counts(array.filter(is_missing)).to_pylist():
            self.found_missing[entry["values"]] += entry["counts"]
        return pc.if_else(is_missing, pa.scalar(None, pa.string()), array)

    def _inferred(self, values: Any) -> Any:
        parse = {"integer": parse_integers, "boolean": parse_truth, "datetime": parse_datetimes}.get(self.type)
        parsed = parse(values) if parse else self._finite(parse_numbers(values))
        if parsed is None:
            raise AssertionError(f"a batch of column {self.name!r} is not what the pass before found")
        return parsed

    def _finite(self, numbers: Any) -> Any:
        """Turn infinities (inf, 1e400) into null, counted: no model can be trained on them."""
        if numbers is None:
            return None
        finite = pc.is_finite(numbers)
        if pc.all(finite).as_py() is not False:
            return numbers
        self.infinite += pc.sum(pc.invert(finite)).as_py()
        return pc.if_else(finite, numbers, pa.scalar(None, pa.float64()))

    def _declared(self, values: Any) -> tuple[Any, NDArray[np.bool_] | None]:
        typed, fits = _parse_declared(values, self.type)
        if self.type == "number":
            typed = self._finite(typed)
        bad = ~fits
        return typed, bad if bad.any() else None

    def say(self, findings: Findings) -> None:
        """Write down what was done to the column."""
        words = Counter({word: n for word, n in self.found_missing.items() if word})
        blank = self.found_missing.get("", 0)
        if words:
            shown = ", ".join(f"{word!r} ({n})" for word, n in words.most_common(5))
            message = f"Column {self.name!r}: {shown} taken as missing."
            findings.note("missing_spelling", message, column=self.name, count=sum(words.values()))
        if blank:
            message = f"Column {self.name!r}: {blank} values of spaces only taken as missing."
            findings.note("blank_missing", message, column=self.name, count=blank)
        if self.padded and not self.dialect_spaces:
            message = f"Column {self.name!r}: spaces around {self.padded} values left out."
            findings.note("spaces_stripped", message, column=self.name, count=self.padded)
        if self.infinite:
            message = f"Column {self.name!r}: {self.infinite} infinite or overflowing numbers taken as missing."
            findings.note("infinite_missing", message, column=self.name, count=self.infinite)


def _parse_declared(values: Any, column_type: str) -> tuple[Any, NDArray[np.bool_]]:
    """Return (values as the type the client named, which of them fit it)."""
    if column_type == "datetime":
        return _declared_datetimes(values)
    if column_type == "boolean":
        lower = pc.utf8_lower(values)
        true = pc.is_in(lower, value_set=pa.array(TRUE_DECLARED))
        false = pc.is_in(lower, value_set=pa.array(FALSE_DECLARED))
        fits = _mask(pc.or_(pc.or_(true, false), pc.is_null(values)))
        return pc.if_else(pc.is_null(values), pa.scalar(None, pa.bool_()), true), fits
    pattern = DECLARED_NUMBER_RE2 if column_type == "number" else DECLARED_INTEGER_RE2
    matches = pc.match_substring_regex(values, pattern)
    text = pc.utf8_ltrim(pc.if_else(matches, values, pa.scalar(None, pa.string())), characters="+")
    numbers = pc.cast(text, pa.float64())
    fits = _mask(pc.or_(pc.fill_null(matches, fill_value=False), pc.is_null(values)))
    if column_type == "number":
        return numbers, fits
    exact = pc.fill_null(pc.less_equal(pc.abs(numbers), float(MAX_SAFE_INTEGER)), fill_value=True)
    fits &= _mask(exact)
    whole = pc.if_else(exact, numbers, pa.scalar(None, pa.float64()))
    return pc.cast(whole, pa.int64()), fits


def _declared_datetimes(values: Any) -> tuple[Any, NDArray[np.bool_]]:
    parsed = parse_datetimes(values)
    if parsed is not None:
        return parsed, np.ones(len(values), bool)
    times: list[datetime | None] = []
    fits = np.ones(len(values), bool)
    for i, value in enumerate(values.to_pylist()):
        moment = None if value is None else _one_datetime(value)
        fits[i] = value is None or moment is not None
        times.append(moment)
    return pa.array(times, UTC_MICROSECONDS), fits


def _one_datetime(value: str) -> datetime | None:
    try:
        moment = datetime.fromisoformat(value)
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def _mask(array: Any) -> NDArray[np.bool_]:
    mask: NDArray[np.bool_] = array.to_numpy(zero_copy_only=False).astype(bool)
    return mask
