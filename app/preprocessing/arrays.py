"""Columns as the arrays that somebody else's network takes: no scale of ours, but the one its model was made for.

Each input of the network reads one array column, or as many number columns as it has elements, in their order.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from math import prod
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from app.preprocessing.columns import Column, ColumnArrays
from app.preprocessing.fitted import FittedRows, InstanceColumn, TensorSpec, tell_columns
from app.preprocessing.images import InputScale
from app.preprocessing.labels import Target, target_from_json, target_to_json

FORMAT: Final = 1


@dataclass(frozen=True)
class ArrayInput:
    """One input: `shape` is of a row; `fills` stand for missing values, one a column."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    columns: tuple[str, ...]
    fills: tuple[float, ...]


class ArraysPreprocessing(FittedRows):
    """What turns rows into the inputs of a network by name, each value · multiply + add; whole numbers as they are."""

    def __init__(
        self,
        columns: Sequence[InstanceColumn],
        target: Target,
        arrays: Sequence[ArrayInput],
        scale: InputScale,
        strip: bool,
    ) -> None:
        super().__init__(columns, target, strip)
        self.arrays = tuple(arrays)
        self.scale = scale

    @classmethod
    def fit(
        cls,
        train: ColumnArrays,
        read: Sequence[Column],
        ignored: Sequence[Column],
        target: Target,
        plan: dict[str, Any],
        strip: bool,
    ) -> "ArraysPreprocessing":
        """`plan`: `inputs` (name, dtype, shape, columns) and `input_scale`; missing numbers become their median."""
        arrays = [
            ArrayInput(
                one["name"],
                one["dtype"],
                tuple(one["shape"]),
                tuple(one["columns"]),
                tuple(_median(train[name]) for name in one["columns"]),
            )
            for one in plan["inputs"]
        ]
        return cls(tell_columns(read, ignored), target, arrays, InputScale(**plan["input_scale"]), strip)

    @property
    def inputs(self) -> list[TensorSpec]:
        """The network's inputs, in order."""
        return [TensorSpec(one.name, one.dtype, one.shape) for one in self.arrays]

    def transform(self, columns: ColumnArrays) -> dict[str, NDArray[Any]]:
        """Return the network's inputs for rows. A column that is not there counts as missing in every row."""
        rows = len(next(iter(columns.values())))
        return {one.name: self._input(one, columns, rows) for one in self.arrays}

    def to_json(self) -> dict[str, Any]:
        """Return everything as plain data; `from_json` gives back the same."""
        return {
            "kind": "arrays",
            "format": FORMAT,
            "columns": self.instance_columns,
            "inputs": [asdict(one) for one in self.arrays],
            "input_scale": self.scale._asdict(),
            "target": target_to_json(self.target),
            "strip": self.strip,
        }

    @classmethod
    def from_json(cls, document: dict[str, Any]) -> "ArraysPreprocessing":
        """Return what `to_json` wrote. Raises ValueError for another kind or a later format."""
        if document.get("kind") != "arrays" or document.get("format") != FORMAT:
            raise ValueError(f"not preprocessing of arrays of format {FORMAT}")
        return cls(
            columns=[InstanceColumn.from_json(column) for column in document["columns"]],
            target=target_from_json(document["target"]),
            arrays=[
                ArrayInput(one["name"], one["dtype"], tuple(one["shape"]), tuple(one["columns"]), tuple(one["fills"]))
                for one in document["inputs"]
            ],
            scale=InputScale(**document["input_scale"]),
            strip=document["strip"],
        )

    def _input(self, one: ArrayInput, columns: ColumnArrays, rows: int) -> NDArray[Any]:
        size = prod(one.shape) // len(one.columns)
        parts = []
        for name, fill in zip(one.columns, one.fills, strict=True):
            values = columns[name] if name in columns else np.full(rows, np.nan)
            flat = np.broadcast_to(values.reshape(rows, -1).astype(np.float32), (rows, size))
            parts.append(np.where(np.isfinite(flat), flat, np.float32(fill)))
        whole = np.concatenate(parts, axis=1).reshape(rows, *one.shape)
        if not one.dtype.startswith("float"):
            return np.asarray(np.rint(whole), dtype=np.dtype(one.dtype))
        scaled = whole * np.float32(self.scale.multiply) + np.float32(self.scale.add)
        return np.asarray(scaled, dtype=np.dtype(one.dtype))


def _median(values: NDArray[Any]) -> float:
    if values.ndim > 1:
        return 0.0
    known = values[np.isfinite(values)]
    return float(np.median(known)) if len(known) else 0.0
