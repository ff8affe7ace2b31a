# ruff: noqa: N803 — names end in their shape (see the key below)
"""Figures of quality, each a pure function of truth and answer; the definitions are scikit-learn's.

Shapes: N rows, C classes or labels, V values.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from workers.trainer.task import EPSILON, Task

Floats = NDArray[Any]
Figure = Callable[[NDArray[Any], Floats], float]
# From this probability up a label is given; the same as in answers to clients.
THRESHOLD = 0.5


def confusion_matrix(truth_N: NDArray[Any], answer_N: NDArray[Any], classes: int) -> NDArray[np.int64]:
    """Return (C, C) counts, a row for each true class."""
    cells = truth_N.astype(np.int64) * classes + answer_N.astype(np.int64)
    return np.bincount(cells, minlength=classes * classes).reshape(classes, classes)


def precision_recall_f1(hits: Floats, predicted: Floats, actual: Floats) -> tuple[Floats, Floats, Floats]:
    """Return precision, recall and F1 from counts of any shape; 0 where undefined."""
    precision = np.divide(hits, predicted, out=np.zeros(hits.shape), where=predicted > 0)
    recall = np.divide(hits, actual, out=np.zeros(hits.shape), where=actual > 0)
    total = precision + recall
    f1 = np.divide(2.0 * precision * recall, total, out=np.zeros(hits.shape), where=total > 0)
    return precision, recall, f1


def class_counts(truth: NDArray[Any], chances_NC: Floats, task: Task) -> tuple[Floats, Floats, Floats]:
    """Return (hits, predicted, actual), each (C,) float64."""
    if task == "multilabel":
        given, true = chances_NC >= THRESHOLD, truth >= THRESHOLD
        hits, predicted, actual = (given & true).sum(axis=0), given.sum(axis=0), true.sum(axis=0)
    else:
        matrix = confusion_matrix(truth, chances_NC.argmax(axis=1), chances_NC.shape[1])
        hits, predicted, actual = np.diag(matrix), matrix.sum(axis=0), matrix.sum(axis=1)
    return hits.astype(np.float64), predicted.astype(np.float64), actual.astype(np.float64)


def row_hits(truth: NDArray[Any], chances_NC: Floats, task: Task) -> Floats:
    """Return (N,) 1 where the answer is right (for several labels: all of them), else 0."""
    if task == "multilabel":
        right = ((chances_NC >= THRESHOLD) == (truth >= THRESHOLD)).all(axis=1)
    else:
        right = chances_NC.argmax(axis=1) == truth
    return np.asarray(right, np.float64)


def row_log_losses(truth: NDArray[Any], chances_NC: Floats, task: Task) -> Floats:
    """Return (N,) −log of the probability of the truth, natural; for several labels their mean."""
    chances = np.clip(chances_NC.astype(np.float64), EPSILON, 1.0 - EPSILON)
    if task == "multilabel":
        true = truth >= THRESHOLD
        return np.asarray(-np.log(np.where(true, chances, 1.0 - chances)).mean(axis=1))
    return np.asarray(-np.log(chances[np.arange(len(truth)), truth.astype(np.int64)]))


def area_under_curve(positive_N: NDArray[Any], score_N: Floats) -> float:
    """Return the area under the ROC curve of one class, ties counted half; NaN where one side is missing."""
    positives = int(positive_N.sum())
    negatives = len(positive_N) - positives
    if not positives or not negatives:
        return float("nan")
    _, inverse, counts = np.unique(score_N, return_inverse=True, return_counts=True)
    # Mann & Whitney's U from mean ranks.
    mean_rank = np.cumsum(counts) - (counts - 1) / 2.0
    ranks = mean_rank[inverse][positive_N.astype(bool)].sum()
    return float((ranks - positives * (positives + 1) / 2.0) / (positives * negatives))


def macro_area(truth: NDArray[Any], chances_NC: Floats, task: Task) -> float:
    """Return the mean area over classes, each against the rest; classes that cannot be ranked are left out."""
    areas = [area_under_curve(is_class(truth, c, task), chances_NC[:, c]) for c in ranked_classes(chances_NC, task)]
    defined = [area for area in areas if area == area]
    return float(np.mean(defined)) if defined else float("nan")


def ranked_classes(chances_NC: Floats, task: Task) -> range:
    """Of two classes the second alone: the other's curve has the same area."""
    classes = chances_NC.shape[1]
    return range(1, 2) if task == "classification" and classes == 2 else range(classes)


def is_class(truth: NDArray[Any], index: int, task: Task) -> NDArray[np.bool_]:
    """Return (N,) whether a row is of a class, or has a label."""
    return np.asarray(truth[:, index] >= THRESHOLD if task == "multilabel" else truth == index)


def _macro(which: int, task: Task) -> Figure:
    def figure(truth: NDArray[Any], chances_NC: Floats) -> float:
        hits, predicted, actual = class_counts(truth, chances_NC, task)
        seen = (predicted > 0) | (actual > 0)
        return float(precision_recall_f1(hits, predicted, actual)[which][seen].mean())

    return figure


def _top(most: int) -> Figure:
    def figure(truth: NDArray[Any], chances_NC: Floats) -> float:
        own = chances_NC[np.arange(len(truth)), truth]
        return float(((chances_NC > own[:, None]).sum(axis=1) < most).mean())

    return figure


def _balanced_accuracy(truth: NDArray[Any], chances_NC: Floats) -> float:
    hits, _, actual = class_counts(truth, chances_NC, "classification")
    return float((hits[actual > 0] / actual[actual > 0]).mean())


def _r2(truth: NDArray[Any], values: Floats) -> float:
    spread = float(((truth - truth.mean(axis=0)) ** 2).sum())
    return 1.0 - float(((values - truth) ** 2).sum()) / spread if spread > 0 else float("nan")


def _percent(truth: NDArray[Any], values: Floats) -> float:
    return 100.0 * float((np.abs(values - truth) / np.maximum(np.abs(truth), EPSILON)).mean())


def _classifying(task: Task) -> dict[str, Figure]:
    return {
        "accuracy": lambda truth, chances: float(row_hits(truth, chances, task).mean()),
        "precision": _macro(0, task),
        "recall": _macro(1, task),
        "f1": _macro(2, task),
        "roc_auc": lambda truth, chances: macro_area(truth, chances, task),
        "log_loss": lambda truth, chances: float(row_log_losses(truth, chances, task).mean()),
    }


FIGURES: dict[Task, dict[str, Figure]] = {
    "classification": {
        **_classifying("classification"),
        "balanced_accuracy": _balanced_accuracy,
        "top_3_accuracy": _top(3),
        "top_5_accuracy": _top(5),
    },
    "multilabel": _classifying("multilabel"),
    "regression": {
        "mae": lambda truth, values: float(np.abs(values - truth).mean()),
        "mse": lambda truth, values: float(((values - truth) ** 2).mean()),
        "rmse": lambda truth, values: float(np.sqrt(((values - truth) ** 2).mean())),
        "mape": _percent,
        "r2": _r2,
    },
}
_ALIASES = {
    "auc": "roc_auc",
    "categorical_accuracy": "accuracy",
    "sparse_categorical_accuracy": "accuracy",
    "binary_accuracy": "accuracy",
    "f1_score": "f1",
    "crossentropy": "log_loss",
    "mean_absolute_error": "mae",
    "mean_squared_error": "mse",
    "root_mean_squared_error": "rmse",
    "mean_absolute_percentage_error": "mape",
    "r2_score": "r2",
}


def find_figure(name: str, task: Task) -> tuple[str, Figure]:
    """Return the one name of a figure and the figure; ValueError when the task has none of that name."""
    own = _ALIASES.get(name, name)
    if own not in FIGURES[task]:
        raise ValueError(f"training.metrics: {task} has no metric {name!r}; it has {', '.join(FIGURES[task])}")
    return own, FIGURES[task][own]
