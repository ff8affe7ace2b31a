"""From what a graph put out to what a client reads (API.md §6).

Shapes: B rows, C classes or labels, V values.
"""

from typing import Any, Protocol

import numpy as np
import orjson

# A label of a multi-label answer is given from this probability up.
THRESHOLD = 0.5


class Answers(Protocol):
    """Writes the answers of one kind of model."""

    def __call__(self, values: np.ndarray) -> list[dict[str, Any]]:
        """Return one answer a row."""

    def encode(self, values: np.ndarray) -> list[bytes]:
        """Return the answer of each row as JSON."""


class ClassAnswers:
    """`{"label", "score", "scores"}` from (B, C) probabilities; a label has its type of the data set."""

    def __init__(self, labels: list[Any]) -> None:
        self.labels = labels
        self.keys = [label_key(label) for label in labels]
        # An answer of C classes is the pieces [label, score, key 0, score 0, key 1, score 1, …, end].
        self._heads = [b'{"label":' + orjson.dumps(label) + b',"score":' for label in labels]
        keys = [orjson.dumps(key) + b":" for key in self.keys]
        self._pieces = [b"", b""]
        for index, key in enumerate(keys):
            self._pieces += [(b"," if index else b',"scores":{') + key, b""]
        self._pieces.append(b"}}")

    def __call__(self, values: np.ndarray) -> list[dict[str, Any]]:
        labels, keys = self.labels, self.keys
        rows = values.tolist()
        answers = [
            {"label": labels[best], "score": row[best], "scores": dict(zip(keys, row, strict=True))}
            for best, row in zip(values.argmax(axis=1).tolist(), rows, strict=True)
        ]
        if not np.isfinite(values).all():
            for row, answer in zip(rows, answers, strict=True):
                _blank_undefined(answer, row)
        return answers

    def encode(self, values: np.ndarray) -> list[bytes]:
        """Return what `__call__` gives, as JSON: numbers all at once, 1 µs a row instead of 3.

        Single precision is written with the digits that it has, nine at most.
        """
        text = orjson.dumps(np.ascontiguousarray(values), option=orjson.OPT_SERIALIZE_NUMPY)
        if b"null" in text:  # what orjson writes for a number that is not finite
            return [orjson.dumps(answer) for answer in self(values)]
        heads, pattern = self._heads, self._pieces
        encoded = []
        for best, row in zip(values.argmax(axis=1).tolist(), text[2:-2].split(b"],["), strict=True):
            scores = row.split(b",")
            pieces = pattern.copy()
            pieces[0], pieces[1] = heads[best], scores[best]
            pieces[3::2] = scores
            encoded.append(b"".join(pieces))
        return encoded


class MultiLabelAnswers:
    """`{"labels", "scores"}` from (B, C) independent probabilities."""

    def __init__(self, labels: list[Any]) -> None:
        self.labels = labels
        self.keys = [label_key(label) for label in labels]

    def __call__(self, values: np.ndarray) -> list[dict[str, Any]]:
        labels, keys = self.labels, self.keys
        return [
            {
                "labels": [label for label, score in zip(labels, row, strict=True) if score >= THRESHOLD],
                "scores": {key: _finite(score) for key, score in zip(keys, row, strict=True)},
            }
            for row in values.tolist()
        ]

    def encode(self, values: np.ndarray) -> list[bytes]:
        """Return what `__call__` gives, as JSON."""
        return [orjson.dumps(answer) for answer in self(values)]


class ValueAnswers:
    """`{"value"}` from (B, 1) values, or `{"value": [...]}` from (B, V)."""

    def __call__(self, values: np.ndarray) -> list[dict[str, Any]]:
        if values.ndim == 2 and values.shape[1] == 1:
            return [{"value": _finite(value)} for value in values[:, 0].tolist()]
        return [{"value": nested} for nested in nested_lists(values)]

    def encode(self, values: np.ndarray) -> list[bytes]:
        """Return what `__call__` gives, as JSON."""
        return [orjson.dumps(answer) for answer in self(values)]


def label_key(label: object) -> str:
    """Return the JSON object key that stands for a label: a text as it is, others as JSON writes them."""
    return label if isinstance(label, str) else orjson.dumps(label).decode()


def probabilities(outputs: np.ndarray, labels: list[Any]) -> np.ndarray:
    """Return (B, C) probabilities; one sigmoid output for two classes becomes both of them."""
    if outputs.ndim == 2 and outputs.shape[1] == 1 and len(labels) == 2:
        return np.concatenate([1.0 - outputs, outputs], axis=1)
    return outputs


def nested_lists(outputs: np.ndarray) -> list[Any]:
    """Return an array as nested lists, one a row, with None where a number is not finite."""
    if outputs.dtype.kind == "f" and not np.isfinite(outputs).all():
        blanked = outputs.astype(object)
        blanked[~np.isfinite(outputs)] = None
        outputs = blanked
    rows: list[Any] = outputs.tolist()
    return rows


def _finite(value: float) -> float | None:
    # JSON has no NaN and no infinity (API.md §8).
    return value if value - value == 0.0 else None


def _blank_undefined(answer: dict[str, Any], row: list[float]) -> None:
    if any(_finite(score) is None for score in row):
        # No best among numbers that cannot be compared.
        answer["label"] = answer["score"] = None
        answer["scores"] = {key: _finite(score) for key, score in answer["scores"].items()}
