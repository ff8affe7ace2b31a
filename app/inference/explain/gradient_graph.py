# ruff: noqa: N803 — names end in their shape (see the key below)
"""The graph `explain.onnx` of a bundle: what changes in a model's output with each element of its inputs.

Its batch is fixed, because a graph of gradients is made for one size (see `workers.trainer.explain_graph`).

Shapes: K rows, C outputs, D elements of all inputs.
"""

from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from app.inference.runtime import Arrays, ModelUnusable, OnnxModel

FILE: Final = "explain.onnx"
WEIGHTS: Final = "weights_of_outputs"
PREFIX: Final = "gradient_of_"


class GradientGraph:
    """Gradients of a weighted sum of the outputs. May be called from several threads."""

    def __init__(self, path: Path, input_names: list[str]) -> None:
        """ModelUnusable for a graph that is not of a model with these inputs."""
        self._model = OnnxModel(path)
        given = {spec.name: spec for spec in self._model.inputs}
        self._outputs = {spec.name: index for index, spec in enumerate(self._model.outputs)}
        if set(given) != {*input_names, WEIGHTS} or not set(self._outputs) >= {PREFIX + name for name in input_names}:
            raise ModelUnusable("the graph of gradients is not of this model")
        self._names = input_names
        self.rows = given[WEIGHTS].shape[0]
        """Rows of one run."""
        self.memory_bytes = self._model.memory_bytes

    def run(self, inputs: Arrays, weights_KC: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return (K, D) gradients, the inputs' elements one after another in the order of the names."""
        rows = len(weights_KC)
        found = []
        for start in range(0, rows, self.rows):
            piece = {name: _filled_up(inputs[name][start : start + self.rows], self.rows) for name in self._names}
            weights = _filled_up(weights_KC[start : start + self.rows].astype(np.float32), self.rows)
            outputs = self._model.run({**piece, WEIGHTS: weights})
            flat = [outputs[self._outputs[PREFIX + name]].reshape(self.rows, -1) for name in self._names]
            found.append(np.concatenate(flat, axis=1)[: rows - start].astype(np.float64))
        return np.concatenate(found)


def _filled_up(rows: NDArray[np.float32], count: int) -> NDArray[np.float32]:
    """Repeat the last row until there are `count`."""
    if len(rows) == count:
        return rows
    return np.concatenate([rows, np.repeat(rows[-1:], count - len(rows), axis=0)])
