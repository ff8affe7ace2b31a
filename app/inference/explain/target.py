# ruff: noqa: N803 — names end in their shape (see the key below)
"""Which number of a prediction is explained: the score of a label, or a value.

Shapes: N rows, C outputs of `Predictor.values`, O outputs of the graph.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.core.errors import Unprocessable
from app.inference.predictor import Predictor


@dataclass(frozen=True)
class Target:
    """One of a model's values: `shown` to the client, and how much it changes with each output of the graph, (O,)."""

    shown: Any
    index: int
    weights: NDArray[np.float64]

    def answer(self, values_NC: NDArray[Any]) -> NDArray[np.float64]:
        """Return the value of each row, (N,)."""
        return np.asarray(values_NC.reshape(len(values_NC), -1)[:, self.index], np.float64)


def choose_target(predictor: Predictor, asked: Any, values_C: NDArray[np.float64]) -> Target:
    """Return what `asked` names, or, for None, the label of the highest score, or the first value.

    `values_C` are the instance's. Unprocessable for a label or number that the model does not give.
    """
    labels = predictor.labels
    flat = values_C.ravel()
    if labels and len(labels) == len(flat):
        index = int(flat.argmax()) if asked is None else _find_label(asked, labels)
        return Target(labels[index], index, _weights(predictor, index))
    if asked is None:
        index = 0 if predictor.manifest["task"] == "regression" else int(flat.argmax())
    elif type(asked) is int and 0 <= asked < len(flat):
        index = asked
    else:
        raise Unprocessable(f"target: expected the number of an output, from 0 to {len(flat) - 1}.", param="target")
    return Target(index, index, _weights(predictor, index))


def _find_label(asked: Any, labels: list[Any]) -> int:
    for index, label in enumerate(labels):
        # True is 1 in Python; as labels they are two.
        if label == asked and isinstance(label, bool) == isinstance(asked, bool):
            return index
    shown = ", ".join(map(repr, labels[:20]))
    raise Unprocessable(f"target: {str(asked)[:60]!r} is no label of the model. Its labels: {shown}.", param="target")


def _weights(predictor: Predictor, index: int) -> NDArray[np.float64]:
    """∂value/∂output: `Predictor.values` is linear, so it is told by its values at 0 and at each unit."""
    outputs = abs(predictor.model.outputs[0].shape[-1])
    ends = np.concatenate([np.zeros((1, outputs)), np.eye(outputs)]).astype(np.float32)
    values = np.asarray(predictor.values(ends), np.float64).reshape(outputs + 1, -1)[:, index]
    return np.asarray(values[1:] - values[0])
