"""Words of a column as the values that a model reads; a word that is none is told, with its row."""

import math
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

_SHOWN = 60
_TRUTHS = {"true": 1.0, "false": 0.0, "yes": 1.0, "no": 0.0, "1": 1.0, "0": 0.0}
_EXPECTED = {
    "number": "a number",
    "integer": "a number",
    "boolean": "true or false",
    "datetime": "an instant such as 2026-01-31T08:00:00Z",
}


def values_from_words(name: str, words: NDArray[Any], type_: str) -> tuple[NDArray[np.float64], dict[int, str]]:
    """Return (N,) values, NaN where there is none, and what is wrong by row number.

    `words` are (N,) texts or None; `type_` is number, integer, boolean or datetime.
    """
    parse = _PARSERS[type_]
    distinct = {word: parse(word.strip()) if word is not None else math.nan for word in dict.fromkeys(words.tolist())}
    strange = {word for word, value in distinct.items() if value is None}
    values = np.array([distinct[word] for word in words.tolist()], dtype=np.float64)  # None becomes NaN
    wrong: dict[int, str] = {}
    if strange:
        wrong = {
            row: f"{name}: expected {_EXPECTED[type_]}, got {_show(word)}"
            for row, word in enumerate(words.tolist())
            if word in strange
        }
    return values, wrong


def _number(word: str) -> float | None:
    if not word:
        return math.nan
    try:
        value = float(word)
    except ValueError:
        return None
    # Python also takes "nan", "inf" and "1_000": words, where a data set is read.
    return value if math.isfinite(value) and "_" not in word else None


def _truth(word: str) -> float | None:
    return _TRUTHS.get(word.lower()) if word else math.nan


def _instant(word: str) -> float | None:
    if not word:
        return math.nan
    try:
        instant = datetime.fromisoformat(word)
    except ValueError:
        return None
    return (instant if instant.tzinfo else instant.replace(tzinfo=UTC)).timestamp()


def _show(word: object) -> str:
    shown = repr(word)
    return shown if len(shown) <= _SHOWN else f"{shown[:_SHOWN]}…"


_PARSERS: dict[str, Callable[[str], float | None]] = {
    "number": _number,
    "integer": _number,
    "boolean": _truth,
    "datetime": _instant,
}
