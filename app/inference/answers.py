"""From what a graph put out to what a client reads (API.md §6).

Shapes: B rows, C classes or labels, V values.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import orjson

# A label of a multi-label answer is given from this probability up.
THRESHOLD = 0.5

Answers = Callable[[np.ndarray], list[dict[str, Any]]]


def label_key(label: object) -> str:
    """Return the JSON object key that stands for a label: a text as it is, others as JSON writes them."""
    return label if isinstance(label, str) else orjson.dumps(label).decode()


def probabilities(outputs: np.ndarray, labels: list[Any]) -> np.ndarray:
    """Return (B, C) probabilities; one sigmoid output for two classes becomes both of them."""
    if outputs.ndim == 2 and outputs.shape[1] == 1 and len(labels) == 2:
        return np.concatenate([1.0 - outputs, outputs], axis=1)
    return outputs


class ClassAnswers:
    """`{"label", "score", "scores"}` from (B, C) probabilities; a label has its type of the data set."""

    def __init__(self, labels: list[Any]) -> None:
        self.labels = labels
        self.keys = [label_key(label) for label in labels]

    def __call__(self, outputs: np.ndarray) -> list[dict[str, Any]]:
        scores_bc = probabilities(outputs, self.labels)
        labels, keys = self.labels, self.keys
        rows = scores_bc.tolist()
        answers = [
            {"label": labels[best], "score": row[best], "scores": dict(zip(keys, row, strict=True))}
            for best, row in zip(scores_bc.argmax(axis=1).tolist(), rows, strict=True)
        ]
        if not np.isfinite(scores_bc).all():
            for row, answer in zip(rows, answers, strict=True):
                _blank_undefined(answer, row)
        return answers


class MultiLabelAnswers:
    """`{"labels", "scores"}` from (B, C) independent probabilities."""

    def __init__(self, labels: list[Any]) -> None:
        self.labels = labels
        self.keys = [label_key(label) for label in labels]

    def __call__(self, outputs: np.ndarray) -> list[dict[str, Any]]:
        labels, keys = self.labels, self.keys
        return [
            {
                "labels": [label for label, score in zip(labels, row, strict=True) if score >= THRESHOLD],
                "scores": {key: _finite(score) for key, score in zip(keys, row, strict=True)},
            }
            for row in outputs.tolist()
        ]


class ValueAnswers:
    """`{"value"}` from (B, 1) values, or `{"value": [...]}` from (B, V)."""

    def __call__(self, outputs: np.ndarray) -> list[dict[str, Any]]:
        if outputs.ndim == 2 and outputs.shape[1] == 1:
            return [{"value": _finite(value)} for value in outputs[:, 0].tolist()]
        return [{"value": nested} for nested in nested_lists(outputs)]


def nested_lists(outputs: np.ndarray) -> list[Any]:
    """Return an array as nested lists, one a row, with None where a number is not finite."""
    if outputs.dtype.kind == "f" and not np.isfinite(outputs).all():
        blanked = outputs.astype(object)
        blanked[~np.isfinite(outputs)] = None
        return blanked.tolist()
    return outputs.tolist()


def _finite(value: float) -> float | None:
    # JSON has no NaN and no infinity (API.md §8).
    return value if value - value == 0.0 else None


def _blank_undefined(answer: dict[str, Any], row: list[float]) -> None:
    if any(_finite(score) is None for score in row):
        # No best among numbers that cannot be compared.
        answer["label"] = answer["score"] = None
        answer["scores"] = {key: _finite(score) for key, score in answer["scores"].items()}
