"""What a column holds, counted while it is written: the profile that the API shows."""

from abc import ABC, abstractmethod
from collections import Counter
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from app.datasets.findings import refuse
from app.datasets.stored import ColumnInfo, to_rfc3339
from app.datasets.words import add_counts

QUANTILES: Final = (0.05, 0.25, 0.5, 0.75, 0.95)
TOP: Final = 10
TOP_CHARS: Final = 255
MAX_UNIQUE_COUNTED: Final = 10_000
# A client may declare a category that inference would not: as many as memory holds, a dictionary's worth.
MAX_CATEGORIES_DECLARED: Final = 1_000_000
_SAMPLE_BYTES: Final = 64 << 20  # of all columns together, for quantiles


class ColumnProfile(ABC):
    """Counts of one column; `update` takes its stored values, batch after batch."""

    def __init__(self) -> None:
        self.missing = 0

    def update(self, array: Any) -> None:
        """Count a batch."""
        self.missing += array.null_count
        self.count(array)

    @abstractmethod
    def count(self, array: Any) -> None:
        """Count what is not missing in a batch."""

    @abstractmethod
    def facts(self) -> dict[str, Any]:
        """Return the counts as plain JSON."""


class Moments:
    """Number, extremes, mean and standard deviation over batches.

    The pairwise update of Chan, Golub, LeVeque 1979, "Updating formulae and a pairwise algorithm
    for computing sample variances": no cancellation where the mean is large.
    """

    def __init__(self) -> None:
        self.n = 0
        self.mean = 0.0
        self.squares = 0.0
        self.low = np.inf
        self.high = -np.inf

    def update(self, values: NDArray[Any]) -> None:
        """Add finite numbers."""
        if values.size == 0:
            return
        with np.errstate(over="ignore", invalid="ignore"):  # 1e308 squared: shown as null
            numbers = values.astype(np.float64, copy=False)
            mean = float(numbers.mean())
            squares = float(np.square(numbers - mean).sum())
            delta, total = mean - self.mean, self.n + values.size
            self.squares += squares + delta * delta * self.n * values.size / total
            self.mean += delta * values.size / total
        self.n = total
        self.low = min(self.low, values.min())
        self.high = max(self.high, values.max())

    def facts(self) -> dict[str, Any]:
        """Return min, max, mean and (sample) std; None where there are too few numbers."""
        if self.n == 0:
            return {"min": None, "max": None, "mean": None, "std": None}
        std = float(np.sqrt(self.squares / (self.n - 1))) if self.n > 1 else None
        return {"min": self.low, "max": self.high, "mean": _json(self.mean), "std": None if std is None else _json(std)}


class Sample:
    """At most `size` numbers of a stream, evenly spaced over it: all of them while they fit."""

    def __init__(self, size: int) -> None:
        self._size = max(size, 1024)
        self._stride = 1
        self._skip = 0
        self._parts: list[NDArray[Any]] = []
        self._kept = 0

    def update(self, values: NDArray[Any]) -> None:
        """Add numbers, in the order of the stream."""
        taken = values[self._skip :: self._stride]
        self._skip = (self._skip - values.size) % self._stride
        self._parts.append(taken.astype(np.float64))
        self._kept += taken.size
        while self._kept > self._size:
            merged = np.concatenate(self._parts)
            # The next number to be kept is the one that keeps the doubled stride even.
            if merged.size % 2:
                self._skip += self._stride
            self._parts, self._stride = [merged[::2]], self._stride * 2
            self._kept = self._parts[0].size

    def quantiles(self) -> dict[str, float | None]:
        """Return the quantiles (linear between neighbours)."""
        values = np.concatenate(self._parts) if self._parts else np.empty(0)
        if values.size == 0:
            return {str(q): None for q in QUANTILES}
        return {str(q): _json(float(v)) for q, v in zip(QUANTILES, np.quantile(values, QUANTILES), strict=True)}


class NumberProfile(ColumnProfile):
    """number, integer."""

    def __init__(self, sample_size: int) -> None:
        super().__init__()
        self._moments = Moments()
        self._sample = Sample(sample_size)
        self._different: set[float] | None = set()

    def count(self, array: Any) -> None:
        values = array.drop_null().to_numpy(zero_copy_only=False)
        self._moments.update(values)
        self._sample.update(values)
        if self._different is not None:
            self._different.update(pc.unique(array.drop_null()).to_pylist())
            if len(self._different) > MAX_UNIQUE_COUNTED:
                self._different = None

    def facts(self) -> dict[str, Any]:
        unique = len(self._different) if self._different is not None else None
        moments = {key: _plain(value) for key, value in self._moments.facts().items()}
        return {"unique": unique, **moments, "quantiles": self._sample.quantiles()}


class BooleanProfile(ColumnProfile):
    """boolean."""

    def __init__(self) -> None:
        super().__init__()
        self._counts: Counter[bool] = Counter()

    def count(self, array: Any) -> None:
        true = pc.sum(array).as_py() or 0
        self._counts[True] += true
        self._counts[False] += len(array) - array.null_count - true

    def facts(self) -> dict[str, Any]:
        top = [[value, n] for value, n in self._counts.most_common() if n]
        return {"unique": len(top), "top": top}


class CategoryProfile(ColumnProfile):
    """category: every different value is counted."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self._name = name
        self._counts: Counter[str] = Counter()

    def count(self, array: Any) -> None:
        add_counts(self._counts, array.drop_null())
        if len(self._counts) > MAX_CATEGORIES_DECLARED:
            raise refuse(
                f"Column {self._name!r} has more than {MAX_CATEGORIES_DECLARED} different values: too many for a "
                "category. Send its type as text.",
                param="types",
            )

    def facts(self) -> dict[str, Any]:
        ranked = sorted(self._counts.items(), key=lambda item: (-item[1], item[0]))
        return {"unique": len(ranked), "top": [[_shortened(value), n] for value, n in ranked[:TOP]]}


class TextProfile(ColumnProfile):
    """text: characters of a value."""

    def __init__(self) -> None:
        super().__init__()
        self._lengths = Moments()

    def count(self, array: Any) -> None:
        self._lengths.update(pc.utf8_length(array.drop_null()).to_numpy(zero_copy_only=False))

    def facts(self) -> dict[str, Any]:
        moments = self._lengths.facts()
        return {"length": {key: _plain(moments[key]) for key in ("min", "mean", "max")}}


class DatetimeProfile(ColumnProfile):
    """datetime: first and last."""

    def __init__(self) -> None:
        super().__init__()
        self._low: int | None = None
        self._high: int | None = None

    def count(self, array: Any) -> None:
        bounds = pc.min_max(pc.cast(array, pa.int64())).as_py()
        if bounds["min"] is not None:
            self._low = bounds["min"] if self._low is None else min(self._low, bounds["min"])
            self._high = bounds["max"] if self._high is None else max(self._high, bounds["max"])

    def facts(self) -> dict[str, Any]:
        if self._low is None or self._high is None:
            return {"min": None, "max": None}
        return {"min": to_rfc3339(self._low), "max": to_rfc3339(self._high)}


class ArrayProfile(ColumnProfile):
    """array: figures over all elements of all rows; elements that are not finite are counted apart."""

    def __init__(self, dtype: str) -> None:
        super().__init__()
        self._dtype = np.dtype(dtype).newbyteorder("<")
        self._moments = Moments()
        self.not_finite = 0

    def count(self, array: Any) -> None:
        width = array.type.byte_width
        raw = np.frombuffer(array.buffers()[1], np.uint8)[array.offset * width : (array.offset + len(array)) * width]
        values = raw.view(self._dtype)
        if self._dtype.kind == "f":
            finite = np.isfinite(values)
            self.not_finite += int(values.size - finite.sum())
            values = values[finite]
        self._moments.update(values.view(np.uint8) if self._dtype.kind == "b" else values)

    def facts(self) -> dict[str, Any]:
        return {key: _plain(value) for key, value in self._moments.facts().items()}


class ImageProfile(ColumnProfile):
    """image: what its reader found while it decoded them."""

    def __init__(self, facts: dict[str, Any]) -> None:
        super().__init__()
        self._facts = facts

    def count(self, array: Any) -> None:
        """Nothing: the reader has counted."""

    def facts(self) -> dict[str, Any]:
        return dict(self._facts)


def profile_for(column: ColumnInfo, columns: int) -> ColumnProfile:
    """Return an empty profile for one of `columns` columns."""
    if column.type == "array":
        return ArrayProfile(column.dtype or "float64")
    if column.type == "image":
        return ImageProfile(column.profile)
    if column.type in ("number", "integer"):
        return NumberProfile(_SAMPLE_BYTES // 8 // max(columns, 1))
    if column.type == "category":
        return CategoryProfile(column.name)
    kinds: dict[str, type[BooleanProfile | TextProfile | DatetimeProfile]] = {
        "boolean": BooleanProfile,
        "text": TextProfile,
        "datetime": DatetimeProfile,
    }
    return kinds[column.type]()


def _shortened(value: str) -> str:
    """Return a value as the profile shows it: a declared category may hold whole texts."""
    return value if len(value) <= TOP_CHARS else f"{value[: TOP_CHARS - 1]}…"


def _plain(value: Any) -> Any:
    """Return a NumPy scalar as int or float; a float that JSON cannot hold as None."""
    if isinstance(value, np.generic):
        value = value.item()
    return _json(value) if isinstance(value, float) else value


def _json(value: float) -> float | None:
    return value if np.isfinite(value) else None
