# ruff: noqa: N803, N806 — names end in their shape (see the key below)
"""Numbers for a network: filled where missing, scaled, kept finite. Plain data, fitted on the training rows.

Shapes: N rows, F features.
"""

from dataclasses import dataclass
from statistics import NormalDist
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from app.preprocessing.columns import thin

Scaling = Literal["standard", "quantile", "none"]
Impute = Literal["median", "mean", "zero", "most_frequent"]

# Values are clipped this many times the range of the middle 99 % beyond it: one 1e300 in a column
# would otherwise make every other value equal.
OUTLIER_RANGES = 3.0
# float32 holds 3.4e38; a network computes with squares.
LARGEST_UNSCALED = 1e18
MAX_QUANTILES = 1000
FIT_ROWS = 200_000  # Quantiles of more rows differ by less than 1 % of a standard deviation.


@dataclass(frozen=True)
class Standard:
    """(x − center) / width, of x clipped to lower…upper."""

    center: float
    width: float
    lower: float
    upper: float


@dataclass(frozen=True)
class Quantile:
    """The normal score of the rank that x would have among the training rows, linear between `points`."""

    points: tuple[float, ...]
    scores: tuple[float, ...]


Scaler = Standard | Quantile


@dataclass(frozen=True)
class NumberFeature:
    """One value feature: what stands for a missing value, whether a missing value is told, and how it is scaled."""

    name: str
    fill: float
    indicator: bool
    scaler: Scaler


def fit_feature(name: str, values_N: NDArray[Any], impute: Impute, scaling: Scaling) -> NumberFeature:
    """Fit one feature on the training rows; NaN and infinity count as missing."""
    values = values_N.astype(np.float64)
    finite = values[np.isfinite(values)]
    has_missing = len(finite) < len(values)
    fill = _fill(finite, impute)
    scaler: Scaler
    if len(finite) == 0:
        scaler = Standard(0.0, 1.0, 0.0, 0.0)
    elif scaling == "quantile" and len(np.unique(finite[:FIT_ROWS])) > 2:
        scaler = _fit_quantile(finite)
    elif scaling == "none":
        scaler = Standard(0.0, 1.0, -LARGEST_UNSCALED, LARGEST_UNSCALED)
    else:
        scaler = _fit_standard(finite)
    return NumberFeature(name, fill, has_missing and len(finite) > 0, scaler)


def _fill(finite: NDArray[np.float64], impute: Impute) -> float:
    if len(finite) == 0 or impute == "zero":
        return 0.0
    if impute == "mean":
        largest = float(np.abs(finite).max()) or 1.0
        return float((finite / largest).mean()) * largest
    if impute == "most_frequent":
        distinct, counts = np.unique(finite, return_counts=True)
        return float(distinct[counts.argmax()])
    return float(np.median(thin(finite, FIT_ROWS) / 2)) * 2  # the middle of two 1e308 is one, not infinity


def _fit_standard(finite: NDArray[np.float64]) -> Standard:
    # Quartered, because the distance of two doubles may be no double.
    low, high = (float(value) * 4 for value in np.quantile(thin(finite, FIT_ROWS) / 4, [0.005, 0.995]))
    least, most = float(finite.min()), float(finite.max())
    reach = (high / 2 - low / 2) * 2 * OUTLIER_RANGES
    if high <= low:
        # Nearly constant: what stands out is all there is to learn from.
        lower, upper = least, most
    else:
        lower, upper = max(least, low - reach), min(most, high + reach)
    # A training range is no bound for new rows: they may go as far again.
    slack = min((upper / 2 - lower / 2) * 2 * OUTLIER_RANGES, 1e300)
    clipped = np.clip(finite, lower, upper)
    largest = float(np.abs(clipped).max()) or 1.0
    scaled = clipped / largest
    width = float(scaled.std()) * largest
    if not width > 1e-12 * largest:
        width = max(largest, 1.0)
    center = float(scaled.mean()) * largest
    return Standard(center, width, max(lower - slack, -1e300), min(upper + slack, 1e300))


def _fit_quantile(finite: NDArray[np.float64]) -> Quantile:
    ordered = np.sort(thin(finite, FIT_ROWS))
    count = len(ordered)
    levels = np.linspace(0.0, 1.0, max(10, min(count // 30, MAX_QUANTILES)))
    points = np.unique(np.quantile(ordered, levels, method="inverted_cdf"))
    # A slope between two neighbouring doubles near 0 would be no double.
    points = points[np.append(True, np.diff(points / 2) >= 1e-300)]
    # Equal values share the middle of their ranks, so a value that half of the rows have is no outlier.
    below = np.searchsorted(ordered, points, side="left")
    up_to = np.searchsorted(ordered, points, side="right")
    ranks = np.clip((below + up_to) / (2 * count), 0.5 / count, 1 - 0.5 / count)
    normal = NormalDist()
    return Quantile(tuple(points.tolist()), tuple(normal.inv_cdf(rank) for rank in ranks.tolist()))


class NumberScaling:
    """Several features at once: a few operations on the whole matrix, however many columns there are."""

    def __init__(self, features: tuple[NumberFeature, ...]) -> None:
        self.features = features
        self._fill_F = np.array([feature.fill for feature in features])
        self._indicators = np.array([index for index, feature in enumerate(features) if feature.indicator], np.int64)
        self._quantiles = [
            (index, np.array(feature.scaler.points), np.array(feature.scaler.scores))
            for index, feature in enumerate(features)
            if isinstance(feature.scaler, Quantile)
        ]
        linear = [
            feature.scaler if isinstance(feature.scaler, Standard) else Standard(0.0, 1.0, -1e300, 1e300)
            for feature in features
        ]
        self._center_F = np.array([scaler.center for scaler in linear])
        self._width_F = np.array([scaler.width for scaler in linear])
        self._lower_F = np.array([scaler.lower for scaler in linear])
        self._upper_F = np.array([scaler.upper for scaler in linear])

    @property
    def names(self) -> list[str]:
        """Names of the columns that `transform` gives."""
        told = [f"{self.features[index].name} is missing" for index in self._indicators.tolist()]
        return [feature.name for feature in self.features] + told

    def transform(self, values_NF: NDArray[np.float64]) -> NDArray[np.float32]:
        """Return (N, F + indicators) float32, all finite."""
        missing_NF = ~np.isfinite(values_NF)
        filled_NF = np.where(missing_NF, self._fill_F, values_NF)
        scaled_NF = np.minimum(np.maximum(filled_NF, self._lower_F), self._upper_F)
        scaled_NF -= self._center_F
        scaled_NF /= self._width_F
        for index, points, scores in self._quantiles:
            scaled_NF[:, index] = np.interp(filled_NF[:, index], points, scores)
        if len(self._indicators):
            scaled_NF = np.concatenate([scaled_NF, missing_NF[:, self._indicators]], axis=1)
        return np.asarray(scaled_NF, dtype=np.float32)


def bin_edges(values_N: NDArray[Any], bins: int) -> list[float]:
    """Return the increasing edges of at most `bins` bins of scaled values.

    A column of few distinct values has an edge at each. Else a value that more than one in `bins` rows have gets an
    edge of its own, and the others share what is left at their quantiles. With edges at the quantiles of all values
    (Gorishniy, Rubachev, Babenko: "On Embeddings for Numerical Features in Tabular Deep Learning", 2022, section 3.2.1)
    a column that is 0 in nine rows of ten, as capital gains are, has hardly an edge where it matters: 0.4 points of
    accuracy on adult, cross-validated. A column of a single value gets one bin around it.
    """
    values = thin(values_N, FIT_ROWS).astype(np.float64)
    distinct, counts = np.unique(values, return_counts=True)
    if len(distinct) < 2:
        return [float(distinct[0]) - 0.5, float(distinct[0]) + 0.5]
    edges = distinct
    if len(distinct) > bins + 1:
        own = counts > len(values) / bins
        own[[0, -1]] = True
        left = max(0, bins + 1 - int(own.sum()))
        others = np.repeat(distinct[~own], counts[~own])
        shared = np.quantile(others, np.linspace(0.0, 1.0, left + 2)[1:-1], method="nearest")
        edges = np.unique(np.concatenate([distinct[own], shared]))
    # An edge closer than a 1000th of the range would make a bin too steep for float32.
    least = 1e-3 * float(edges[-1] - edges[0])
    kept = [float(edges[0])]
    for edge in edges[1:].tolist():
        if edge - kept[-1] >= least:
            kept.append(edge)
    return kept


def feature_to_json(feature: NumberFeature) -> dict[str, Any]:
    """Return a feature as plain data."""
    scaler = feature.scaler
    if isinstance(scaler, Standard):
        scale: dict[str, Any] = {
            "method": "standard",
            "center": scaler.center,
            "width": scaler.width,
            "lower": scaler.lower,
            "upper": scaler.upper,
        }
    else:
        scale = {"method": "quantile", "points": list(scaler.points), "scores": list(scaler.scores)}
    return {"name": feature.name, "fill": feature.fill, "indicator": feature.indicator, "scale": scale}


def feature_from_json(document: dict[str, Any]) -> NumberFeature:
    """Return the feature that `feature_to_json` wrote."""
    scale = document["scale"]
    scaler: Scaler
    if scale["method"] == "quantile":
        scaler = Quantile(tuple(scale["points"]), tuple(scale["scores"]))
    else:
        scaler = Standard(scale["center"], scale["width"], scale["lower"], scale["upper"])
    return NumberFeature(document["name"], document["fill"], document["indicator"], scaler)
