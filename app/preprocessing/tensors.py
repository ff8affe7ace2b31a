"""Plain tensors as the inputs of somebody else's network: an instance's columns are the inputs, by name.

Shapes: N rows; an input whose rows have a free axis (−1) is an object array of N arrays.
"""

from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

from app.preprocessing.columns import ColumnArrays
from app.preprocessing.fitted import TensorSpec
from app.preprocessing.images import InputScale

FORMAT: Final = 1
ChannelOrder = Literal["rgb", "bgr"]


class TensorsPreprocessing:
    """Each value of a float input · multiply + add; whole numbers and truth values as they are."""

    def __init__(
        self,
        inputs: list[TensorSpec],
        outputs: list[TensorSpec],
        scale: InputScale | None,
        channel_order: ChannelOrder = "rgb",
    ) -> None:
        """`channel_order`: in which order the colours of image files are given to the network."""
        self.inputs = inputs
        self.outputs = outputs
        self.scale = scale
        self.channel_order = channel_order

    @property
    def instance_columns(self) -> list[dict[str, Any]]:
        """The inputs as columns of an instance: `dtype`, and `shape` of one row with −1 for a free axis."""
        return [
            {
                "name": spec.name,
                "type": "tensor",
                "dtype": spec.dtype,
                "shape": list(spec.shape),
                "channel_order": self.channel_order,
                "ignored": False,
            }
            for spec in self.inputs
        ]

    @property
    def bare(self) -> bool:
        """Whether an instance may be the bare value of the only input."""
        return len(self.inputs) == 1

    def transform(self, columns: ColumnArrays) -> dict[str, NDArray[Any]]:
        """Return the inputs in their types, scaled: (N, …), or (N,) objects where rows may differ in shape."""
        return {spec.name: self._input(spec, columns[spec.name]) for spec in self.inputs}

    def unscale_target(self, values: NDArray[Any]) -> NDArray[Any]:
        """Return outputs as they are: nothing is known of their unit."""
        return values

    def to_json(self) -> dict[str, Any]:
        """Return everything as plain data; `from_json` gives back the same."""
        return {
            "kind": "tensors",
            "format": FORMAT,
            "inputs": [_spec_to_json(spec) for spec in self.inputs],
            "outputs": [_spec_to_json(spec) for spec in self.outputs],
            "input_scale": None if self.scale is None else self.scale._asdict(),
            "channel_order": self.channel_order,
        }

    @classmethod
    def from_json(cls, document: dict[str, Any]) -> "TensorsPreprocessing":
        """Return what `to_json`, or the intake, wrote. Raises ValueError for another kind or a later format."""
        if document.get("kind") != "tensors" or document.get("format") != FORMAT:
            raise ValueError(f"not preprocessing of tensors of format {FORMAT}")
        scale = document.get("input_scale")
        return cls(
            [_spec_from_json(spec) for spec in document["inputs"]],
            [_spec_from_json(spec) for spec in document["outputs"]],
            None if scale is None else InputScale(**scale),
            document.get("channel_order") or "rgb",
        )

    def _input(self, spec: TensorSpec, column: NDArray[Any]) -> NDArray[Any]:
        if column.dtype != object:
            return self._scaled(column, spec.dtype)
        found = np.empty(len(column), dtype=object)
        for index, row in enumerate(column):
            found[index] = self._scaled(row, spec.dtype)
        return found

    def _scaled(self, values: NDArray[Any], dtype: str) -> NDArray[Any]:
        if self.scale is None or not dtype.startswith("float"):
            return values.astype(dtype, copy=False)
        scaled = values.astype(np.float32) * np.float32(self.scale.multiply) + np.float32(self.scale.add)
        return scaled.astype(dtype, copy=False)


def _spec_to_json(spec: TensorSpec) -> dict[str, Any]:
    return {"name": spec.name, "dtype": spec.dtype, "shape": [-1, *spec.shape]}


def _spec_from_json(document: dict[str, Any]) -> TensorSpec:
    return TensorSpec(document["name"], document["dtype"], tuple(int(length) for length in document["shape"][1:]))
