"""How much one column alone tells of a target: a one-column predictor, fitted on one half and asked about the other."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

SAMPLE_ROWS = 20_000
# A column of no more values than this is taken value by value, one of more in bins of equal size.
MAX_CELLS = 256


def classes_told(values: NDArray[np.float64], classes: NDArray[Any], width: int, least_hits: int) -> float:
    """Return the share of the majority answer's errors that the column explains, ≤ 1 (0 or less: none).

    The best of three predictors: each value, and each bin of values, answers with the commonest class that the other
    half of the rows has there; each number answers as its neighbour does, which finds a threshold exactly. Returns 0
    where fewer than `least_hits` rows are not of the commonest class. `values` has NaN for missing, a cell of its own.
    """
    known = classes >= 0
    values, classes = values[known], classes[known].astype(np.int64)
    if len(classes) == 0:
        return 0.0
    majority = int(np.bincount(classes, minlength=width).max())
    others = len(classes) - majority
    if others < least_hits:
        return 0.0
    best = 0
    for cells in _cellings(values):
        best = max(best, sum(_hits(cells, classes, width, asked) for asked in _halves(len(classes))))
    best = max(best, sum(_nearest_hits(values, classes, asked) for asked in _halves(len(classes))))
    return (best - majority) / others


def values_told(values: NDArray[np.float64], target: NDArray[Any]) -> float:
    """Return R² of the better of two predictors, means of cells and straight lines between neighbours, ≤ 1."""
    goal = target.astype(np.float64)
    total = float(((goal - goal.mean()) ** 2).sum()) if len(goal) else 0.0
    if len(goal) < 4 or total == 0.0:
        return 0.0
    least = np.inf
    for cells in _cellings(values):
        errors = sum(_mean_errors(cells, goal, asked) for asked in _halves(len(goal)))
        least = min(least, errors)
    least = min(least, sum(_line_errors(values, goal, asked) for asked in _halves(len(goal))))
    return 1.0 - float(least) / total


def _halves(rows: int) -> list[NDArray[np.bool_]]:
    first = np.random.default_rng(rows).permutation(rows) < rows // 2
    return [first, ~first]


def _cellings(values: NDArray[np.float64]) -> list[NDArray[np.int64]]:
    """One or two ways to put values into cells 0…: each value by itself, or bins of equal size; missing apart."""
    distinct, codes = np.unique(values, return_inverse=True)
    found = []
    if len(distinct) <= MAX_CELLS or len(distinct) <= len(values) // 2:
        found.append(codes.astype(np.int64))
    if len(distinct) > 32:
        known = np.isfinite(values)
        edges = np.unique(np.quantile(values[known], np.linspace(0, 1, 65)[1:-1])) if known.any() else np.zeros(0)
        found.append(np.where(known, np.searchsorted(edges, values), len(edges) + 1).astype(np.int64))
    return found


def _hits(cells: NDArray[np.int64], classes: NDArray[np.int64], width: int, asked: NDArray[np.bool_]) -> int:
    # Only cells that occur are counted: cells × classes of a wide target would not fit.
    pairs, counts = np.unique(cells[~asked] * width + classes[~asked], return_counts=True)
    if not len(pairs):
        return 0
    order = np.argsort(counts, kind="stable")
    answers = np.full(int(cells.max()) + 1, int(np.bincount(classes[~asked]).argmax()), dtype=np.int64)
    answers[pairs[order] // width] = pairs[order] % width  # the commonest is written last
    return int((answers[cells[asked]] == classes[asked]).sum())


def _nearest_hits(values: NDArray[np.float64], classes: NDArray[np.int64], asked: NDArray[np.bool_]) -> int:
    given = np.flatnonzero(~asked & np.isfinite(values))
    if not len(given):
        return 0
    given = given[np.argsort(values[given], kind="stable")]
    questions = np.where(np.isfinite(values[asked]), values[asked], np.inf)
    right = np.minimum(np.searchsorted(values[given], questions), len(given) - 1)
    left = np.maximum(right - 1, 0)
    near = values[given[right]] - questions < questions - values[given[left]]
    answers = classes[np.where(near, given[right], given[left])]
    # Rows without the value are answered with their own commonest class.
    lost = np.isnan(values)
    if (lost & ~asked).any():
        answers[lost[asked]] = np.bincount(classes[lost & ~asked]).argmax()
    return int((answers == classes[asked]).sum())


def _mean_errors(cells: NDArray[np.int64], goal: NDArray[np.float64], asked: NDArray[np.bool_]) -> float:
    size = int(cells.max()) + 1
    counts = np.bincount(cells[~asked], minlength=size)
    sums = np.bincount(cells[~asked], weights=goal[~asked], minlength=size)
    means = np.where(counts > 0, sums / np.maximum(counts, 1), goal[~asked].mean())
    return float(((means[cells[asked]] - goal[asked]) ** 2).sum())


def _line_errors(values: NDArray[np.float64], goal: NDArray[np.float64], asked: NDArray[np.bool_]) -> float:
    given = ~asked & np.isfinite(values)
    if not given.any():
        return np.inf
    points, codes = np.unique(values[given], return_inverse=True)
    means = np.bincount(codes, weights=goal[given]) / np.bincount(codes)
    answers = np.where(np.isfinite(values[asked]), np.interp(values[asked], points, means), goal[~asked].mean())
    return float(((answers - goal[asked]) ** 2).sum())
