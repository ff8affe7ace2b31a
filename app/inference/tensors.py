"""Predictions of an uploaded model as it is: tensors in, its outputs as they come, or classes where labels were given.

Rows of one batch may differ in shape where an input has a free axis: those of one shape run together.

Shapes: N rows.
"""

from typing import Any

import numpy as np
import orjson

from app.inference.answers import ClassAnswers, nested_lists, probabilities
from app.inference.predictor import Predictor
from app.inference.runtime import Arrays, ModelUnusable
from app.models.bundle import Bundle
from app.preprocessing.tensors import TensorsPreprocessing


class TensorAnswers:
    """A row's output as nested lists; of several outputs an object of them by name."""

    def __call__(self, values: np.ndarray) -> list[Any]:
        if values.dtype != object:
            return nested_lists(values)
        return [orjson.loads(row) for row in self.encode(values)]

    def encode(self, values: np.ndarray) -> list[bytes]:
        """Return the answer of each row as JSON; a number that is not finite is null."""
        rows = values if values.dtype == object else np.ascontiguousarray(values)
        return [orjson.dumps(row, option=orjson.OPT_SERIALIZE_NUMPY) for row in rows]


class TensorPredictor(Predictor):
    """A predictor whose instances are the model's own inputs.

    `run` gives (N, …), or (N,) objects: one array a row where its shape is free, an object of arrays by name where
    the model has several outputs.
    """

    preprocessing: TensorsPreprocessing

    def __init__(self, bundle: Bundle, preprocessing: TensorsPreprocessing) -> None:
        """Raises as `Predictor` does."""
        super().__init__(bundle, preprocessing)
        self._output_names = [spec.name for spec in self.model.outputs]
        self._is_plain = len(self.model.outputs) == 1 and -1 not in self.model.outputs[0].shape[1:]
        self.is_classifier = bool(self.labels) and self.has_scores
        self._answers = ClassAnswers(self.labels) if self.is_classifier else TensorAnswers()

    @property
    def has_scores(self) -> bool:
        """Whether the model has one output, of some numbers a row."""
        return self._is_plain and len(self.model.outputs[0].shape) == 2

    @property
    def is_even(self) -> bool:
        """Whether every row is of one shape, and costs the same."""
        return all(-1 not in spec.shape for spec in self.preprocessing.inputs)

    def run(self, inputs: Arrays) -> np.ndarray:
        """Return the outputs; rows out are rows in. ModelUnusable when the graph fails or gives another number."""
        names = self._input_names
        rows = len(inputs[names[0]])
        if all(inputs[name].dtype != object for name in names):
            return self._join(self._run_alike({name: inputs[name] for name in names}, rows))
        groups: dict[Any, list[int]] = {}
        for row in range(rows):
            groups.setdefault(tuple(inputs[name][row].shape for name in names), []).append(row)
        parts = []
        for index in groups.values():
            alike = {name: _stack(inputs[name], index) for name in names}
            parts.append(self._join(self._run_alike(alike, len(index))))
        joined = np.concatenate(parts)
        ordered = np.empty_like(joined)
        ordered[np.concatenate([np.array(index) for index in groups.values()])] = joined
        return ordered

    def values(self, outputs: np.ndarray) -> np.ndarray:
        """Return probabilities where the answer is a class; else outputs as they are."""
        return probabilities(outputs, self.labels) if self.is_classifier else outputs

    def encode_rows(self, values: np.ndarray) -> bytes:
        """Return values as TensorFlow Serving's row form has them."""
        if values.dtype != object:
            return super().encode_rows(values)
        return orjson.dumps(values.tolist(), option=orjson.OPT_SERIALIZE_NUMPY)

    def encode_columns(self, values: np.ndarray) -> bytes:
        """Return values as TensorFlow Serving's column form has them: by output name where there are several."""
        if len(self._output_names) == 1:
            return self.encode_rows(values)
        columns = {name: [row[name] for row in values] for name in self._output_names}
        return orjson.dumps(columns, option=orjson.OPT_SERIALIZE_NUMPY)

    def _run_alike(self, inputs: Arrays, rows: int) -> list[np.ndarray]:
        outputs = self.model.run(inputs)
        for output in outputs:
            if output.shape[:1] != (rows,):
                raise ModelUnusable(f"the model gave an output of shape {output.shape} for {rows} rows")
        return outputs

    def _join(self, outputs: list[np.ndarray]) -> np.ndarray:
        if self._is_plain:
            return outputs[0]
        joined = np.empty(len(outputs[0]), dtype=object)
        if len(outputs) == 1:
            for row, output in enumerate(np.ascontiguousarray(outputs[0])):
                joined[row] = output
            return joined
        named = list(zip(self._output_names, map(np.ascontiguousarray, outputs), strict=True))
        for row in range(len(joined)):
            joined[row] = {name: output[row] for name, output in named}
        return joined


def _stack(column: np.ndarray, index: list[int]) -> np.ndarray:
    return np.stack([column[row] for row in index])
