# ruff: noqa: N803, N806 — names end in their shape (see the key below)
"""95 % intervals of figures by resampling rows: Efron & Tibshirani (1993), chapter 13, percentile intervals.

Shapes: R resamples, N rows, C classes, K cells of a confusion matrix that have rows.
"""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from workers.trainer.figures import precision_recall_f1

RESAMPLES = 1000
QUANTILES = (0.025, 0.975)
# Rows drawn at a time, so that the indices of a piece stay in a processor's cache and memory stays small.
PIECE_DRAWS = 4_000_000
# All draws of one figure: below a second.
MOST_DRAWS = 25_000_000

Floats = NDArray[Any]
Interval = tuple[float, float]
Rng = np.random.Generator


def interval_of(samples_R: Floats) -> Interval:
    """Return the 95 % interval of resampled figures; NaN where none is defined."""
    defined = samples_R[np.isfinite(samples_R)]
    if not len(defined):
        return float("nan"), float("nan")
    low, high = np.quantile(defined, QUANTILES)
    return float(low), float(high)


def resample_rows(rng: Rng, rows: int, cost: int, figure: Callable[[NDArray[np.int64]], Floats]) -> Floats:
    """Return (R,) figures of resampled rows; `figure` maps (r, N) indices to (r,) figures.

    `cost`: how many times the figure goes over each row. Of very many rows a part is drawn,
    and the spread around the middle is made smaller to match (m out of n; Bickel et al. 1997).
    """
    drawn = min(rows, max(MOST_DRAWS // (RESAMPLES * cost), 200))
    samples = np.concatenate([figure(index) for index in _pieces(rng, rows, drawn)])
    if drawn == rows:
        return samples
    middle = np.nanmedian(samples) if np.isfinite(samples).any() else float("nan")
    return np.asarray(middle + (samples - middle) * np.sqrt(drawn / rows))


def _pieces(rng: Rng, rows: int, drawn: int) -> Iterator[NDArray[np.int64]]:
    at_once = max(PIECE_DRAWS // drawn, 1)
    for start in range(0, RESAMPLES, at_once):
        yield rng.integers(0, rows, (min(at_once, RESAMPLES - start), drawn))


def resample_confusion(rng: Rng, matrix: NDArray[np.int64]) -> dict[str, Floats]:
    """Return (R,) accuracy, macro precision, recall and F1 of resampled rows, from the (C, C) counts alone.

    Drawing N rows with replacement draws the cells of their confusion matrix from a multinomial
    distribution: exact, and its cost does not grow with the rows.
    """
    truth_K, answer_K = np.nonzero(matrix)
    counts_K = matrix[truth_K, answer_K].astype(np.float64)
    rows, classes = int(counts_K.sum()), len(matrix)
    cells_RK = rng.multinomial(rows, counts_K / rows, size=RESAMPLES).astype(np.float64)
    right_K = truth_K == answer_K
    seen = np.unique(np.concatenate([truth_K, answer_K]))
    hits_RC = _sum_by(cells_RK[:, right_K], truth_K[right_K], classes)[:, seen]
    actual_RC = _sum_by(cells_RK, truth_K, classes)[:, seen]
    predicted_RC = _sum_by(cells_RK, answer_K, classes)[:, seen]
    precision, recall, f1 = precision_recall_f1(hits_RC, predicted_RC, actual_RC)
    return {
        "accuracy": hits_RC.sum(axis=1) / rows,
        "precision": precision.mean(axis=1),
        "recall": recall.mean(axis=1),
        "f1": f1.mean(axis=1),
    }


def _sum_by(cells_RK: Floats, group_K: NDArray[np.int64], groups: int) -> Floats:
    sums = np.zeros((groups, len(cells_RK)))
    np.add.at(sums, group_K, cells_RK.T)
    return sums.T


def resample_area(rng: Rng, positive_N: NDArray[np.bool_], score_N: Floats, classes: int) -> Floats:
    """Return (R,) areas under the ROC curve of resampled rows; NaN where one side is missing."""
    values, group_N = np.unique(score_N, return_inverse=True)

    def areas(index: NDArray[np.int64]) -> Floats:
        # Counts of positives and negatives at each distinct score, for all resamples at once.
        offset = np.arange(len(index))[:, None] * len(values) + group_N[index]
        size = len(index) * len(values)
        positive = np.bincount(offset[positive_N[index]], minlength=size).reshape(len(index), -1).astype(np.float64)
        every = np.bincount(offset.ravel(), minlength=size).reshape(len(index), -1)
        negative = every - positive
        below = np.cumsum(negative, axis=1) - 0.5 * negative
        pairs = positive.sum(axis=1) * negative.sum(axis=1)
        wins = (positive * below).sum(axis=1)
        return np.asarray(np.divide(wins, pairs, out=np.full(len(index), np.nan), where=pairs > 0))

    return resample_rows(rng, len(score_N), 4 * classes, areas)
