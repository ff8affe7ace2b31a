"""What every kind of fitted preprocessing has: the columns of an instance, and the target's coding."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from app.preprocessing.columns import Column, ColumnArrays
from app.preprocessing.labels import Label, LabelsTarget, Target, ValueTarget
from app.preprocessing.ragged import Kept


class TensorSpec(NamedTuple):
    """One input of the network: `shape` is that of a row, without the batch axis."""

    name: str
    dtype: str
    shape: tuple[int, ...]


@dataclass(frozen=True)
class InstanceColumn:
    """A column that an instance may have; `ignored` ones are accepted and not looked at."""

    name: str
    type: str
    shape: tuple[int, ...] | None = None
    ignored: bool = False

    def to_json(self) -> dict[str, Any]:
        """Return the column as plain data; `shape` where it is an array."""
        document: dict[str, Any] = {"name": self.name, "type": self.type, "ignored": self.ignored}
        if self.shape is not None:
            document["shape"] = list(self.shape)
        return document

    @classmethod
    def from_json(cls, document: dict[str, Any]) -> "InstanceColumn":
        """Return what `to_json` wrote."""
        shape = document.get("shape")
        return cls(document["name"], document["type"], None if shape is None else tuple(shape), document["ignored"])


def tell_columns(read: Sequence[Column], ignored: Sequence[Column]) -> list[InstanceColumn]:
    """Return the columns of an instance: those that are read, then those that are only known."""
    told = [InstanceColumn(column.name, column.type, column.shape) for column in read]
    return told + [InstanceColumn(column.name, column.type, column.shape, ignored=True) for column in ignored]


class FittedRows(ABC):
    """Fitted on training rows, kept as JSON, applied by the same code in trainer and API."""

    def __init__(self, columns: Sequence[InstanceColumn], target: Target, strip: bool) -> None:
        self.columns = tuple(columns)
        self.target = target
        self.strip = strip

    @property
    @abstractmethod
    def inputs(self) -> list[TensorSpec]:
        """The network's inputs, in order."""

    @abstractmethod
    def transform(self, columns: ColumnArrays) -> dict[str, NDArray[Any]]:
        """Return the network's inputs for rows. A column that is not there counts as missing in every row."""

    @abstractmethod
    def to_json(self) -> dict[str, Any]:
        """Return everything as plain data, with its `kind`; `from_json` gives back the same."""

    def keep(self, columns: ColumnArrays) -> Mapping[str, Kept]:
        """Return what a trainer keeps of rows in memory: the network's inputs, or what it makes them of batch by batch.

        Where the two differ, the recipe's builder says how one becomes the other (`Built.enter`).
        """
        return self.transform(columns)

    @property
    def instance_columns(self) -> list[dict[str, Any]]:
        """The columns of an instance, as plain data: name, type, shape of arrays, whether it is ignored."""
        return [column.to_json() for column in self.columns]

    @property
    def bare(self) -> bool:
        """Whether an instance may be the bare value of the only column that is read."""
        return sum(not column.ignored for column in self.columns) == 1

    @property
    def labels(self) -> list[Label] | None:
        """The labels in output order; None for values."""
        labels = self.target.labels
        return None if labels is None else list(labels)

    @property
    def multilabel(self) -> bool:
        """Whether a row may have several labels."""
        return isinstance(self.target, LabelsTarget)

    @property
    def outputs(self) -> int:
        """How many numbers the network gives for a row."""
        return self.target.width

    def encode_target(self, columns: ColumnArrays) -> NDArray[Any]:
        """Return classes (N,) int32 (−1: unknown to training), or float32: (N, L) 0 and 1, or (N, V) standardised."""
        return self.target.encode(columns, self.strip)

    def unscale_target(self, outputs: NDArray[Any]) -> NDArray[np.float64]:
        """Return values in the unit of the data, (…, V) float64, from standardised ones; others unchanged."""
        if isinstance(self.target, ValueTarget):
            return self.target.unscale(outputs)
        return outputs.astype(np.float64)
