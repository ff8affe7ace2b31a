"""Targets as numbers: class labels, several yes-or-no labels, and standardised values; and back."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.preprocessing.columns import ColumnArrays, factorize

Label = str | int | float | bool


@dataclass(frozen=True)
class ClassTarget:
    """One of `labels`, each of the type that it has in the data set; class i is the i-th in ascending order."""

    column: str
    type: str
    labels: tuple[Label, ...]

    @classmethod
    def fit(cls, columns: ColumnArrays, column: str, type_: str, strip: bool) -> "ClassTarget":
        """Take the distinct values of the training rows as labels."""
        return cls(column, type_, tuple(distinct_labels(columns[column], type_, strip)))

    @property
    def width(self) -> int:
        """How many numbers the model gives for a row."""
        return len(self.labels)

    def encode(self, columns: ColumnArrays, strip: bool) -> NDArray[np.int32]:
        """Return the class of each row, (N,) int32; −1 for a label that is missing or that training had not."""
        codes, found = label_codes(columns[self.column], self.type, strip)
        index = {label: number for number, label in enumerate(self.labels)}
        table = np.array([*(index.get(label, -1) for label in found), -1], dtype=np.int32)
        return table[codes]


@dataclass(frozen=True)
class LabelsTarget:
    """Several yes-or-no columns, predicted independently; the labels are the names of the columns."""

    columns: tuple[str, ...]

    @property
    def labels(self) -> tuple[Label, ...]:
        """The labels in output order."""
        return self.columns

    @property
    def width(self) -> int:
        """How many numbers the model gives for a row."""
        return len(self.columns)

    def encode(self, columns: ColumnArrays, strip: bool) -> NDArray[np.float32]:
        """Return (N, L) float32 of 0 and 1."""
        del strip
        return np.stack([columns[name] for name in self.columns], axis=1).astype(np.float32)


@dataclass(frozen=True)
class ValueTarget:
    """Numbers, less their mean and over their standard deviation on the training rows."""

    columns: tuple[str, ...]
    mean: tuple[float, ...]
    deviation: tuple[float, ...]

    @classmethod
    def fit(cls, columns: ColumnArrays, names: Sequence[str]) -> "ValueTarget":
        """Take mean and standard deviation of the training rows; a constant has the deviation 1."""
        means, deviations = [], []
        for name in names:
            values = columns[name].astype(np.float64)
            largest = float(np.abs(values).max()) or 1.0
            scaled = values / largest  # squares of 1e300 overflow, squares of 1 do not
            deviation = float(scaled.std()) * largest
            means.append(float(scaled.mean()) * largest)
            deviations.append(deviation if deviation > 1e-12 * largest else 1.0)
        return cls(tuple(names), tuple(means), tuple(deviations))

    @property
    def labels(self) -> None:
        """A value has no labels."""
        return None

    @property
    def width(self) -> int:
        """How many numbers the model gives for a row."""
        return len(self.columns)

    def encode(self, columns: ColumnArrays, strip: bool) -> NDArray[np.float32]:
        """Return (N, V) float32, standardised."""
        del strip
        values = np.stack([columns[name] for name in self.columns], axis=1).astype(np.float64)
        return np.asarray((values - np.array(self.mean)) / np.array(self.deviation), dtype=np.float32)

    def unscale(self, outputs: NDArray[Any]) -> NDArray[np.float64]:
        """Return values in the unit of the data, float64, of the shape of `outputs`: (…, V)."""
        return np.asarray(outputs.astype(np.float64) * np.array(self.deviation) + np.array(self.mean))


Target = ClassTarget | LabelsTarget | ValueTarget


def label_codes(column: NDArray[Any], type_: str, strip: bool) -> tuple[NDArray[np.int64], list[Label]]:
    """Return the code of each row (−1: missing) and the labels, in their type of the data set, in ascending order."""
    if column.dtype == object:
        codes, values = factorize(column, strip)
        order = sorted(range(len(values)), key=values.__getitem__)
        rank = np.empty(len(values) + 1, dtype=np.int64)
        rank[order] = np.arange(len(values))
        rank[-1] = -1
        return rank[codes], [values[code] for code in order]
    distinct, codes = np.unique(column.astype(np.float64), return_inverse=True)
    known = ~np.isnan(distinct)  # NaN sorts last, and is one value
    codes = np.where(known[codes], codes, -1) if len(distinct) else codes
    return codes.astype(np.int64), [_typed(value, type_) for value in distinct[known].tolist()]


def distinct_labels(column: NDArray[Any], type_: str, strip: bool) -> list[Label]:
    """Return the labels that occur in a column, in ascending order."""
    return label_codes(column, type_, strip)[1]


def label_key(label: object) -> str:
    """Return the JSON object key that stands for a label: a text as it is, true and false, and numbers as JSON."""
    if isinstance(label, bool):
        return "true" if label else "false"
    return str(label)


def target_to_json(target: Target) -> dict[str, Any]:
    """Return a target as plain data."""
    if isinstance(target, ClassTarget):
        return {"kind": "class", "column": target.column, "type": target.type, "labels": list(target.labels)}
    if isinstance(target, LabelsTarget):
        return {"kind": "labels", "columns": list(target.columns)}
    return {
        "kind": "value",
        "columns": list(target.columns),
        "mean": list(target.mean),
        "deviation": list(target.deviation),
    }


def target_from_json(document: dict[str, Any]) -> Target:
    """Return the target that `target_to_json` wrote."""
    if document["kind"] == "class":
        return ClassTarget(document["column"], document["type"], tuple(document["labels"]))
    if document["kind"] == "labels":
        return LabelsTarget(tuple(document["columns"]))
    return ValueTarget(tuple(document["columns"]), tuple(document["mean"]), tuple(document["deviation"]))


def _typed(value: float, type_: str) -> Label:
    if type_ == "boolean":
        return bool(value)
    if type_ == "integer" and value.is_integer():
        return int(value)
    return value
