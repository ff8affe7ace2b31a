"""What type a column of spelled values has: looked at over the whole file, batch by batch.

A column is the narrowest of integer ⊂ number, boolean, datetime that *every* value fits; else it
is a category or text. Nothing is guessed from the first rows: an integer column that turns to
words in its last row is a column of words from its first row on, and the findings say so.
"""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any, Final, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from app.datasets.spelling import INTEGER_RE2, MAX_SAFE_INTEGER, NUMBER_RE2, TRUTH, ZONED_RE2

Kind = Literal["integer", "number", "boolean", "datetime", "string"]

UTC_MICROSECONDS: Final = pa.timestamp("us", "UTC")
_PROBE_ROWS: Final = 64
_TRUTH_WORDS: Final = pa.array(list(TRUTH))


@dataclass(frozen=True)
class Misfit:
    """The first value that made a column of numbers (or dates …) one of words: where, what, why."""

    ordinal: int
    value: str
    was: Kind
    reason: str


@dataclass
class Spelled:
    """A batch after cleaning: stripped, with missing values as null, and what was done to it."""

    values: Any
    missing: Counter[str]
    padded: int
    led_by_space: int


def clean(array: Any, spellings: Any) -> Spelled:
    """Strip white space and turn `spellings` (a pyarrow array of strings) into null."""
    trimmed = pc.utf8_trim_whitespace(array)
    padded = pc.sum(pc.not_equal(array, trimmed)).as_py() or 0
    led = (pc.sum(pc.starts_with(array, " ")).as_py() or 0) if padded else 0
    is_missing = pc.is_in(trimmed, value_set=spellings, skip_nulls=True)
    found: Counter[str] = Counter()
    if pc.any(is_missing).as_py():
        for entry in pc.value_counts(trimmed.filter(is_missing)).to_pylist():
            found[entry["values"]] += entry["counts"]
        trimmed = pc.if_else(is_missing, pa.scalar(None, pa.string()), trimmed)
    return Spelled(trimmed, found, padded, led)


def parse_integers(array: Any) -> Any | None:
    """Return int64 values, or None where one is not spelled as an integer within ±2^53."""
    try:
        values = pc.cast(array, pa.int64())
    except pa.ArrowInvalid:
        return None
    # Arrow takes 001 for 1 and 0x10 for 16: what is written back must be what was read.
    if not _all(pc.equal(pc.cast(values, pa.string()), array)) and not _all(
        pc.match_substring_regex(array, INTEGER_RE2)
    ):
        return None
    bounds = pc.min_max(values).as_py()
    if bounds["min"] is not None and (bounds["min"] < -MAX_SAFE_INTEGER or bounds["max"] > MAX_SAFE_INTEGER):
        return None
    return values


def parse_numbers(array: Any) -> Any | None:
    """Return float64 values (infinite where one overflows), or None where one is not a number.

    A number with leading zeros (`001`) is none, nor is a long one with a plus (a telephone number),
    nor a whole number beyond ±2^53: it would be altered by becoming one.
    """
    try:
        values = pc.cast(array, pa.float64())
    except pa.ArrowInvalid:
        return None
    suspects = leading_zeros(array)
    if suspects.any():
        doubtful = array.filter(pa.array(suspects))
        if not _all(pc.match_substring_regex(doubtful, NUMBER_RE2)):
            return None
    plus = pc.starts_with(array, "+")
    if pc.any(plus).as_py() and pc.any(pc.match_substring_regex(array.filter(plus), r"^\+\d{7,}$")).as_py():
        return None
    large = pc.greater_equal(pc.abs(values), float(MAX_SAFE_INTEGER))
    if pc.any(large).as_py() and pc.any(pc.match_substring_regex(array.filter(large), r"^[+-]?\d+$")).as_py():
        return None
    return values


def parse_datetimes(array: Any) -> Any | None:
    """Return UTC microseconds of ISO 8601 dates and times (no zone: UTC), or None where one is none."""
    first = next((value for value in array if value.is_valid), None)
    if first is not None and len(first.as_py()) < 10:
        return None  # a bare year, a month
    for target in (pa.timestamp("us"), UTC_MICROSECONDS):
        try:
            return pc.cast(pc.cast(array, target), UTC_MICROSECONDS)
        except pa.ArrowInvalid:
            continue
    zoned = pc.match_substring_regex(array, ZONED_RE2)
    if not pc.any(zoned).as_py() or pc.all(zoned).as_py():
        return None
    null = pa.scalar(None, pa.string())
    parts = [parse_datetimes(pc.if_else(mask, array, null)) for mask in (zoned, pc.invert(zoned))]
    return None if None in parts else pc.coalesce(*parts)


def parse_truth(array: Any) -> Any | None:
    """Return booleans of true/false in small, capital or initial letters; None where one is neither."""
    if not _all(pc.is_in(array.drop_null(), value_set=_TRUTH_WORDS)):
        return None
    return pc.cast(array, pa.bool_())


def leading_zeros(array: Any) -> NDArray[np.bool_]:
    """Tell of each string whether it is spelled 0d… (or -0d…, +0d…), d a digit.

    Works on the buffers, 6 ns a value: a regular expression takes 31, on every number of a file.
    """
    if array.null_count == len(array):
        return np.zeros(len(array), bool)
    offsets = np.frombuffer(array.buffers()[1], np.int32)[array.offset : array.offset + len(array) + 1]
    data = np.frombuffer(array.buffers()[2], np.uint8) if array.buffers()[2] is not None else np.empty(0, np.uint8)
    if data.size < 2:
        return np.zeros(len(array), bool)
    last = data.size - 1
    start, length = offsets[:-1], np.diff(offsets)
    first = data[np.minimum(start, last)]
    signed = (first == ord("-")) | (first == ord("+"))
    start, length = start + signed, length - signed
    zero = (data[np.minimum(start, last)] == ord("0")) & (length > 1)
    follows = data[np.minimum(start + 1, last)]
    found: NDArray[np.bool_] = zero & (follows >= ord("0")) & (follows <= ord("9"))
    return found


def _all(mask: Any) -> bool:
    return pc.all(mask).as_py() is not False


_PARSERS: Final[dict[Kind, Any]] = {
    "integer": parse_integers,
    "number": parse_numbers,
    "boolean": parse_truth,
    "datetime": parse_datetimes,
}
_NEXT: Final[dict[Kind, tuple[Kind, ...]]] = {
    "integer": ("integer", "number"),
    "number": ("number",),
    "boolean": ("boolean",),
    "datetime": ("datetime",),
    "string": (),
}


@dataclass
class ColumnTracker:
    """The kind of one column so far. `update` takes its strings, batch after batch."""

    spellings: Any  # a pyarrow array of strings
    always_clean: bool = False  # the client named further spellings: 999 may be one
    kind: Kind | None = None
    missing: Counter[str] = field(default_factory=Counter)
    values: int = 0  # that are not null
    padded: int = 0
    led_by_space: int = 0
    plain: bool = True  # the values can be parsed as they stand
    smallest: float | None = None
    misfit: Misfit | None = None

    def update(self, array: Any, ordinal: int) -> None:
        """Look at a batch whose first row has the number `ordinal`."""
        if self.kind == "string" or array.null_count == len(array):
            return
        self.values += len(array) - array.null_count
        if self.plain and not self.always_clean and self._fits(array, plain=True):
            return
        spelled = clean(array, self.spellings)
        self.missing.update(spelled.missing)
        self.padded += spelled.padded
        self.led_by_space += spelled.led_by_space
        self.plain = False
        if spelled.values.null_count == len(array) or self._fits(spelled.values, plain=False):
            return
        if self.kind is not None:
            self.misfit = _first_misfit(spelled.values, self.kind, ordinal)
        else:
            self.misfit = _mostly_numbers(spelled.values, ordinal)
        self.kind = "string"

    def _fits(self, array: Any, *, plain: bool) -> bool:
        kinds: tuple[Kind, ...] = _NEXT[self.kind] if self.kind else ("integer", "number", "boolean", "datetime")
        probe = array.drop_null().slice(0, _PROBE_ROWS) if self.kind != kinds[-1] else None
        for kind in kinds:
            # Arrow takes 280 ns a value to say that it is no number, 10 to read one: ask a few first.
            if probe is not None and _PARSERS[kind](probe) is None:
                continue
            parsed = _PARSERS[kind](array)
            if parsed is None:
                continue
            if kind == "number" and not _all(pc.is_finite(parsed)) and plain:
                return False  # nan and inf are counted on the way through `clean`
            if kind == "integer":
                low = pc.min(parsed).as_py()
                self.smallest = low if self.smallest is None else min(self.smallest, low)
            self.kind = kind
            return True
        return False


def _first_misfit(array: Any, was: Kind, ordinal: int) -> Misfit | None:
    """Find the first value that is no `was`, by halving: each look is one vectorised parse."""
    parse = _PARSERS["number" if was == "integer" else was]
    low, high = 0, len(array)
    while high - low > 1:
        middle = (low + high) // 2
        if parse(array.slice(low, middle - low)) is None:
            high = middle
        else:
            low = middle
    value = array[low].as_py()
    return None if value is None else Misfit(ordinal + low, value, was, _reason(value, was))


def _mostly_numbers(array: Any, ordinal: int) -> Misfit | None:
    """Return the first value that is no number where nine in ten are."""
    numeric = pc.match_substring_regex(array, NUMBER_RE2)
    known = len(array) - array.null_count
    if (pc.sum(numeric).as_py() or 0) < 0.9 * known:
        return None
    odd = np.flatnonzero(pc.fill_null(pc.invert(numeric), fill_value=False).to_numpy(zero_copy_only=False))
    position = int(odd[0]) if odd.size else 0
    value = array[position].as_py()
    return None if value is None else Misfit(ordinal + position, value, "number", _reason(value, "number"))


def _reason(value: str, was: Kind) -> str:
    digits = value.lstrip("+-")
    if digits.isdigit() and digits.startswith("0"):
        return "it begins with a zero"
    if digits.isdigit():
        return "it is too long for an exact number"
    return f"it is no {was}"
