"""Columns of words: counted, then told apart as category or text, and cleaned accordingly."""

import re
from collections import Counter
from dataclasses import dataclass, field
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from app.datasets.spelling import MISSING, MISSING_CATEGORY

# Entries kept over all columns of a file; beyond its share a column has too many values for a category.
_ENTRIES: Final = 1_000_000
_MOST_PER_COLUMN: Final = 50_000
_LEAST_PER_COLUMN: Final = 256

_SAMPLE: Final = 50
# Spellings that are numbers or dates to a reader, but could be read in more than one way: not converted.
_LOOKS_LIKE: Final = {
    "numbers with a decimal comma; with a point they are numbers": r"[+-]?\d+(\.\d{3})*,\d+|[+-]?\d+",
    "numbers with thousands separators; without them they are numbers": r"[+-]?\d{1,3}(,\d{3})*(\.\d+)?",
    "amounts with a sign; without it they are numbers": r"[$€£¥]\s?[+-]?[\d.,]+|[+-]?[\d.,]+\s?[$€£¥%]",
    "dates; spelled as ISO 8601 (2024-01-31) they are dates": (
        r"\d{1,2}[./-]\d{1,2}[./-]\d{2,4}.{0,12}|\d{4}[./]\d{1,2}[./]\d{1,2}.{0,12}"
    ),
}

MAX_CATEGORIES: Final = 10_000
_FEW: Final = 20  # so few different values are categories even where each occurs once or twice
_LABEL_CHARS: Final = 60.0  # on average; longer values are sentences, unless very few are repeated very often
_LONGEST_LABEL: Final = 1000
_ALL_SPELLINGS: Final = pa.array(sorted(MISSING))


def add_counts(counts: Counter[str], array: Any) -> None:
    """Add how often each value of a string array occurs."""
    found = pc.value_counts(array)
    for value, n in zip(found.field("values").to_pylist(), found.field("counts").to_pylist(), strict=True):
        counts[value] += n


def counting_cap(columns: int) -> int:
    """Return how many different values are counted for each of `columns` columns."""
    return max(_LEAST_PER_COLUMN, min(_MOST_PER_COLUMN, _ENTRIES // max(columns, 1)))


@dataclass
class WordStats:
    """Counts of a column of strings: different values up to `cap`, characters, spaces."""

    cap: int
    counts: Counter[str] = field(default_factory=Counter)
    overflow: bool = False
    values: int = 0
    characters: int = 0
    spaces: int = 0
    led_by_space: int = 0
    longest: int = 0
    multiline: bool = False
    spelled: Counter[str] = field(default_factory=Counter)  # as missing values are, after stripping
    sample: list[str] = field(default_factory=list)  # the first values

    def update(self, array: Any) -> None:
        """Count a batch of strings (null: missing)."""
        self.values += len(array) - array.null_count
        if len(self.sample) < _SAMPLE:
            self.sample += array.drop_null().slice(0, _SAMPLE - len(self.sample)).to_pylist()
        self.led_by_space += pc.sum(pc.starts_with(array, " ")).as_py() or 0
        trimmed = pc.utf8_trim_whitespace(array)
        spelled = trimmed.filter(pc.is_in(trimmed, value_set=_ALL_SPELLINGS, skip_nulls=True))
        add_counts(self.spelled, spelled)
        if self.overflow:
            return  # it is text: the other figures decide nothing any more
        add_counts(self.counts, array.drop_null())
        if len(self.counts) > self.cap:
            self.overflow = True
            self.counts.clear()
        lengths = pc.utf8_length(array)
        self.characters += pc.sum(lengths).as_py() or 0
        self.longest = max(self.longest, pc.max(lengths).as_py() or 0)
        self.spaces += pc.sum(pc.count_substring(array, " ")).as_py() or 0
        self.multiline |= bool(pc.any(pc.match_substring(array, "\n")).as_py())


def is_category(stats: WordStats) -> bool:
    """Tell a column of names from one of sentences, by how often values repeat and how long they are."""
    if stats.overflow or stats.multiline or stats.longest > _LONGEST_LABEL:
        return False
    different = len({value.strip() for value in stats.counts} - MISSING_CATEGORY)
    values = stats.values - sum(n for word, n in stats.spelled.items() if word in MISSING_CATEGORY)
    if values == 0:
        return True
    ratio = different / values
    if stats.characters / stats.values > _LABEL_CHARS:
        return different <= 100 and ratio <= 0.05
    wordy = stats.spaces / stats.values >= 1.5
    if different <= _FEW and not (wordy and ratio > 0.5):
        return True
    return different <= MAX_CATEGORIES and ratio <= 0.5


def looks_like(stats: WordStats) -> str | None:
    """Return what a column of words would be if it were spelled otherwise, for a hint."""
    values = [value.strip() for value in stats.sample if value.strip() not in MISSING]
    if not values or all(value.isdigit() for value in values):
        return None
    found = (what for what, like in _LOOKS_LIKE.items() if all(re.fullmatch(like, value) for value in values))
    return next(found, None)


def category_spellings(stats: WordStats, proven: frozenset[str]) -> tuple[frozenset[str], Counter[str]]:
    """Return the spellings that mean "missing" in a category column, and the look-alikes that stay values."""
    missing = MISSING_CATEGORY | proven
    kept = Counter({word: n for word, n in stats.spelled.items() if word not in missing})
    return missing, kept
