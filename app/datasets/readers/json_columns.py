"""What a column of JSON values is: seen over all rows, then decided."""

from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import orjson
import pyarrow as pa

from app.core.errors import Unprocessable
from app.datasets.convert import Conversion
from app.datasets.findings import Findings
from app.datasets.infer import parse_datetimes
from app.datasets.plan import words_conversion
from app.datasets.spelling import MAX_SAFE_INTEGER, MISSING
from app.datasets.stored import ColumnInfo, ColumnType
from app.datasets.words import WordStats

_NONE: Final = type(None)

_JSON_NAMES: Final = {int: "integer", float: "number", bool: "boolean", str: "string", np.ndarray: "list"}


@dataclass
class Seen:
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
    counts: WordStats | None = None  # since the first text
    counts_all: bool = True  # there was no value before it
    words: WordStats | None = None  # of a column that is one of words


def look(seen: Seen, values: list[Any], cap: int) -> None:
    """Add the values of a batch (None: missing) to what was seen; words are counted up to `cap`."""
    types = set(map(type, values))
    if seen.counts is None and str in types:
        seen.counts_all = not seen.types - {_NONE}
        seen.counts = WordStats(cap)
    if seen.counts is not None:
        seen.counts.update(spelled(values))
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


def spelled(values: list[Any]) -> Any:
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


def is_words(seen: Seen, said: ColumnType | None) -> bool:
    """Tell whether a column is stored as words: its types differ, or are text, or the client says so."""
    types = seen.types - {_NONE}
    if seen.shape is not None or said in ("number", "integer", "boolean", "datetime"):
        return False
    if said in ("category", "text"):
        return True
    if str in types:
        numbers_with_missing = seen.only_missing and types - {str} and types <= {str, int, float}
        return not (numbers_with_missing or (types == {str} and seen.datetimes and seen.dated))
    return (bool not in types and types == {int} and not seen.exact) or (bool in types and types != {bool})


def decide(
    name: str, seen: Seen, said: ColumnType | None, missing: frozenset[str], findings: Findings
) -> tuple[ColumnInfo, Conversion | None]:
    """Return the column, and how its spelled values are converted where they go through strings."""
    types = seen.types - {_NONE}
    if seen.shape is not None:
        if said is not None:
            raise Unprocessable(f"types.{name}: a column of lists is an array.", param=f"types.{name}")
        return ColumnInfo(name, "array", seen.shape, _array_dtype(seen.array_kinds)), None
    if seen.words is not None:
        if said is None and types != {str}:
            found = ", ".join(sorted(_JSON_NAMES[t] for t in types))
            message = f"Column {name!r} is kept as words: it has values of several types or beyond 64 bits ({found})."
            findings.note("kept_as_words", message, column=name)
        conversion = words_conversion(name, seen.words, said, missing, frozenset(), findings)
    elif said is not None:
        conversion = Conversion(name, said, MISSING | missing, "both", declared=True)
    elif not types:
        return ColumnInfo(name, "category"), None
    elif types == {bool}:
        return ColumnInfo(name, "boolean"), None
    elif types == {str}:
        conversion = Conversion(name, "datetime", MISSING | missing, "both")
    elif types <= {int, float}:
        if not seen.exact:
            message = f"Column {name!r}: whole numbers beyond 2^53 are rounded to the nearest 64-bit number."
            findings.note("rounded", message, column=name)
        return ColumnInfo(name, "integer" if types == {int} else "number"), None
    else:
        conversion = Conversion(name, "number" if float in types else "integer", MISSING | missing, "both")
    return ColumnInfo(name, conversion.type), conversion
