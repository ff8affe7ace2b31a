"""Categories as ids: 0 is missing, 1 is unknown or rare, and from 2 on each value that training knew."""

from collections import Counter
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.preprocessing.columns import clean_value, factorize

MISSING, UNKNOWN, FIRST = 0, 1, 2


@dataclass(frozen=True)
class Vocabulary:
    """The values of one category column that training saw often enough, commonest first."""

    column: str
    values: tuple[str, ...]
    strip: bool
    lowercase: bool

    @classmethod
    def fit(
        cls, name: str, column: NDArray[Any], min_count: int, max_size: int, strip: bool, lowercase: bool
    ) -> "Vocabulary":
        """Keep the values that at least `min_count` training rows have, at most `max_size` of them."""
        codes, distinct = factorize(column, strip, lowercase)
        counts = np.bincount(codes[codes >= 0], minlength=len(distinct))
        counted = Counter({value: int(count) for value, count in zip(distinct, counts, strict=True)})
        # By count, then by value: the order of the rows must not change the ids.
        common = sorted(counted, key=lambda value: (-counted[value], value))
        kept = [value for value in common if counted[value] >= min_count][:max_size]
        return cls(name, tuple(kept), strip, lowercase)

    @property
    def size(self) -> int:
        """How many ids there are, with missing and unknown."""
        return len(self.values) + FIRST

    @cached_property
    def _ids(self) -> dict[str | None, int]:
        return {None: MISSING, **{value: index for index, value in enumerate(self.values, FIRST)}}

    def encode(self, column: NDArray[Any]) -> NDArray[np.int32]:
        """Return the id of each row, (N,)."""
        raw = column.tolist()
        table = {value: self.id_of(value) for value in dict.fromkeys(raw)}
        return np.fromiter(map(table.__getitem__, raw), dtype=np.int32, count=len(raw))

    def id_of(self, value: str | None) -> int:
        """Return the id of one value, as it came."""
        found = self._ids.get(value)
        if found is None:
            # Known values are clean: only others are worth cleaning.
            found = self._ids.get(clean_value(value or "", self.strip, self.lowercase), UNKNOWN)
        return found


def vocabulary_to_json(vocabulary: Vocabulary) -> dict[str, Any]:
    """Return a vocabulary as plain data."""
    return {
        "column": vocabulary.column,
        "values": list(vocabulary.values),
        "strip": vocabulary.strip,
        "lowercase": vocabulary.lowercase,
    }


def vocabulary_from_json(document: dict[str, Any]) -> Vocabulary:
    """Return the vocabulary that `vocabulary_to_json` wrote."""
    return Vocabulary(document["column"], tuple(document["values"]), document["strip"], document["lowercase"])
