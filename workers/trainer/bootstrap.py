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
# Rows drawn at a time: their indices and values stay in a processor's cache. Larger pieces were up to 3× slower.
PIECE_DRAWS = 40_000
# All draws of one figure: about a quarter of a second.
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


def resample_rows(
    rng: Rng, rows: int, cost: int, centre: float, figure: Callable[[NDArray[np.int64]], Floats]
) -> Floats:
    """Return (R,) figures of resampled rows; `figure` maps (r, N) indices to (r,) figures.

    `cost`: how many numbers the figure reads of each row; `centre`: the figure of all rows. Of very many rows a part
    is drawn, and the spread around `centre` made smaller to match (m out of n; Bickel, Götze & van Zwet 1997).
    """
    drawn = min(rows, max(MOST_DRAWS // (RESAMPLES * cost), 200))
    samples = np.concatenate([figure(index) for index in _pieces(rng, rows, drawn)])
    if drawn == rows or not np.isfinite(samples).any():
        return samples
    return np.asarray(centre + (samples - np.nanmedian(samples)) * np.sqrt(drawn / rows))


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


def area_influence(positive_N: NDArray[np.bool_], score_N: Floats) -> Floats:
    """Return (N,) how much each row moves the area under the ROC curve; its mean is 0. NaN where there is no curve.

    To first order the area of a resample is the area plus the mean of its rows' influences: the components of DeLong,
    DeLong & Clarke-Pearson (1988), equation 5. Resampling them costs what resampling a mean does.
    """
    positives = int(positive_N.sum())
    negatives = len(positive_N) - positives
    if not positives or not negatives:
        return np.full(len(positive_N), np.nan)
    values, group_N = np.unique(score_N, return_inverse=True)
    positive_at = np.bincount(group_N[positive_N], minlength=len(values)).astype(np.float64)
    negative_at = np.bincount(group_N[~positive_N], minlength=len(values)).astype(np.float64)
    # The share of the other side that a row stands on the right side of, ties counted half.
    over_negatives = ((np.cumsum(negative_at) - 0.5 * negative_at) / negatives)[group_N]
    under_positives = ((positives - np.cumsum(positive_at) + 0.5 * positive_at) / positives)[group_N]
    area = float(over_negatives[positive_N].mean())
    share = positives / len(positive_N)
    return np.where(positive_N, (over_negatives - area) / share, (under_positives - area) / (1.0 - share))
