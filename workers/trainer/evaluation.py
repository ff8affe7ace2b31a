# ruff: noqa: N803, N806 — names end in their shape (see the key below)
"""The evaluation of a finished model on rows it never saw (API.md §4).

Shapes: N rows, C classes or labels, V values.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.inference.answers import label_key
from workers.trainer import bootstrap
from workers.trainer.bootstrap import Interval, interval_of
from workers.trainer.figures import (
    FIGURES,
    THRESHOLD,
    class_counts,
    confusion_matrix,
    is_class,
    precision_recall_f1,
    ranked_classes,
    row_log_losses,
)
from workers.trainer.task import Task

Floats = NDArray[Any]
CLASS_FIGURES = ("accuracy", "precision", "recall", "f1", "roc_auc", "log_loss")
VALUE_FIGURES = ("mae", "rmse", "r2")
# A table of 2,500 cells is the most that a person reads; the rarer classes are put together.
MOST_CONFUSED = 50
OTHERS = "(other labels)"
# Every resampling begins from the same state, so that its figures are of the same resamples.
_SALT = 0x0B007


@dataclass(frozen=True)
class Answers:
    """What a model said of rows and what is true.

    `given`: probabilities (N, C), or values (N, V) in the unit of the data. `truth`: classes (N,), labels (N, C) of
    0 and 1, or values (N, V). The baseline is `guess`, (C,) shares or (V,) values, or where that is None what
    `train_truth`, the truth of the training rows, gives.
    """

    task: Task
    given: Floats
    truth: NDArray[Any]
    train_truth: NDArray[Any] | None = None
    labels: list[Any] | None = None
    guess: Floats | None = None

    def constant(self) -> Floats:
        """Return what one would answer without looking at a row: the shares of the classes, or the mean."""
        if self.guess is not None:
            return self.guess
        truth = self.truth if self.train_truth is None else self.train_truth
        if self.task == "regression":
            return np.asarray(truth.mean(axis=0))
        return class_shares(truth, self.given.shape[1], self.task)


def evaluate(answers: Answers, split: str, seed: int) -> dict[str, Any]:
    """Return the evaluation object of API.md §4; every figure has a 95 % interval, undefined ones are left out."""
    if answers.task == "regression":
        figures, intervals = _of_values(answers, seed)
    else:
        figures, intervals = _of_classes(answers, seed)
    metrics = {
        name: {"value": value, "low": min(intervals[name][0], value), "high": max(intervals[name][1], value)}
        for name, value in figures.items()
        if np.isfinite(value) and np.isfinite(intervals[name]).all()
    }
    evaluation: dict[str, Any] = {
        "split": split,
        "rows": len(answers.truth),
        "metrics": metrics,
        "baseline": {name: value for name, value in _baseline(answers).items() if np.isfinite(value)},
        "per_class": None,
        "confusion": None,
    }
    if answers.task != "regression":
        evaluation["per_class"] = _per_class(answers)
    if answers.task == "classification":
        evaluation["confusion"] = _confusion(answers)
    return evaluation


def _of_values(answers: Answers, seed: int) -> tuple[dict[str, float], dict[str, Interval]]:
    truth, given = answers.truth, answers.given
    figures = {name: FIGURES["regression"][name](truth, given) for name in VALUE_FIGURES}
    error_N = np.abs(given - truth).mean(axis=1)
    square_N = ((given - truth) ** 2).mean(axis=1)
    # Sums of squares around any fixed point give the spread of a resample around its own mean.
    centred = truth - truth.mean(axis=0)
    samples = {
        "mae": _resample(seed, len(truth), 1, figures["mae"], lambda index: error_N[index].mean(axis=1)),
        "rmse": _resample(seed, len(truth), 1, figures["rmse"], lambda index: np.sqrt(square_N[index].mean(axis=1))),
    }

    def r2(index: NDArray[np.int64]) -> Floats:
        drawn = centred[index]
        spread = (drawn**2).mean(axis=1).sum(axis=1) - (drawn.mean(axis=1) ** 2).sum(axis=1)
        residual = square_N[index].mean(axis=1) * truth.shape[1]
        return np.asarray(1.0 - np.divide(residual, spread, out=np.full(len(index), np.nan), where=spread > 0))

    samples["r2"] = _resample(seed, len(truth), 2 * truth.shape[1], figures["r2"], r2)
    return figures, {name: interval_of(sample) for name, sample in samples.items()}


def _of_classes(answers: Answers, seed: int) -> tuple[dict[str, float], dict[str, Interval]]:
    task, truth, given = answers.task, answers.truth, answers.given
    figures = {name: FIGURES[task][name](truth, given) for name in CLASS_FIGURES}
    losses_N = row_log_losses(truth, given, task)
    loss = figures["log_loss"]
    samples = {"log_loss": _resample(seed, len(truth), 1, loss, lambda index: losses_N[index].mean(axis=1))}
    if task == "classification":
        matrix = confusion_matrix(truth, given.argmax(axis=1), given.shape[1])
        samples |= bootstrap.resample_confusion(_rng(seed), matrix)
    else:
        samples |= _resample_labels(truth >= THRESHOLD, given >= THRESHOLD, figures, seed)
    influences = [bootstrap.area_influence(is_class(truth, c, task), given[:, c]) for c in ranked_classes(given, task)]
    if defined := [influence for influence in influences if np.isfinite(influence).all()]:
        influence_N = np.mean(defined, axis=0)
        area = figures["roc_auc"]
        moved = _resample(seed, len(truth), 1, 0.0, lambda index: influence_N[index].mean(axis=1))
        samples["roc_auc"] = np.clip(area + moved, 0.0, 1.0)
    else:
        samples["roc_auc"] = np.array([np.nan])
    return figures, {name: interval_of(sample) for name, sample in samples.items()}


def _resample_labels(
    truth_NC: NDArray[np.bool_], given_NC: NDArray[np.bool_], figures: dict[str, float], seed: int
) -> dict[str, Floats]:
    """Resampled figures of independent labels: exact match, macro precision, recall and F1."""
    right_N = (truth_NC == given_NC).all(axis=1).astype(np.float64)
    seen = (truth_NC | given_NC).any(axis=0)
    stacked = np.concatenate([truth_NC & given_NC, given_NC, truth_NC], axis=1)
    rows, labels = truth_NC.shape

    def counts_of(which: int) -> Any:
        def figure(index: NDArray[np.int64]) -> Floats:
            hits, predicted, actual = np.split(
                np.stack([stacked[row].sum(axis=0) for row in index]).astype(np.float64), 3, axis=1
            )
            return np.asarray(precision_recall_f1(hits, predicted, actual)[which][:, seen].mean(axis=1))

        return figure

    cost = 3 * labels
    return {
        "accuracy": _resample(seed, rows, 1, figures["accuracy"], lambda index: right_N[index].mean(axis=1)),
        "precision": _resample(seed, rows, cost, figures["precision"], counts_of(0)),
        "recall": _resample(seed, rows, cost, figures["recall"], counts_of(1)),
        "f1": _resample(seed, rows, cost, figures["f1"], counts_of(2)),
    }


def _baseline(answers: Answers) -> dict[str, float]:
    """Figures of always answering the shares of the classes, or the mean, of the training rows."""
    if answers.task == "regression":
        mean = np.broadcast_to(answers.constant(), answers.truth.shape)
        return {name: FIGURES["regression"][name](answers.truth, mean) for name in VALUE_FIGURES}
    chances = np.broadcast_to(answers.constant(), answers.given.shape)
    return {name: FIGURES[answers.task][name](answers.truth, chances) for name in CLASS_FIGURES}


def class_shares(truth: NDArray[Any], classes: int, task: Task, weight: Floats | None = None) -> Floats:
    """Return (C,) the share of rows of each class, or that have each label; of their weights, where they have any."""
    weights = np.ones(len(truth)) if weight is None else weight.astype(np.float64)
    if task == "multilabel":
        return np.asarray(np.average(truth, axis=0, weights=weights))
    return np.asarray(np.bincount(truth, weights, classes) / weights.sum())


def _per_class(answers: Answers) -> dict[str, dict[str, float]]:
    hits, predicted, actual = class_counts(answers.truth, answers.given, answers.task)
    precision, recall, f1 = precision_recall_f1(hits, predicted, actual)
    return {
        label_key(label): {
            "precision": float(precision[c]),
            "recall": float(recall[c]),
            "f1": float(f1[c]),
            "support": int(actual[c]),
        }
        for c, label in enumerate(answers.labels or [])
    }


def _confusion(answers: Answers) -> dict[str, Any]:
    labels = list(answers.labels or [])
    matrix = confusion_matrix(answers.truth, answers.given.argmax(axis=1), len(labels))
    if len(labels) > MOST_CONFUSED:
        kept = np.sort(np.argsort(-matrix.sum(axis=1), kind="stable")[: MOST_CONFUSED - 1])
        place = np.full(len(labels), len(kept))
        place[kept] = np.arange(len(kept))
        folded = np.zeros((len(kept) + 1, len(kept) + 1), np.int64)
        np.add.at(folded, (place[:, None], place[None, :]), matrix)
        labels, matrix = [*(labels[c] for c in kept), OTHERS], folded
    return {"labels": labels, "matrix": matrix.tolist()}


def _rng(seed: int) -> np.random.Generator:
    return np.random.default_rng([seed, _SALT])


def _resample(seed: int, rows: int, cost: int, centre: float, figure: Any) -> Floats:
    return bootstrap.resample_rows(_rng(seed), rows, cost, centre, figure)
