"""What an instance is compared with where the request names no baseline: what training knew of the columns.

| column | baseline |
|---|---|
| number, integer, boolean | what stands for a missing value (by default the median of the training rows) |
| category | the commonest value of the training rows |
| datetime | missing |
| array of a table | what scales to zero: the mean of the training rows |
| image, tensor | zeros: black |
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.preprocessing.arrays import ArraysPreprocessing
from app.preprocessing.columns import ColumnArrays
from app.preprocessing.numbers import NumberFeature, Standard
from app.preprocessing.registry import Preprocessing
from app.preprocessing.tabular import TabularPreprocessing


def default_baseline(preprocessing: Preprocessing, instance: ColumnArrays) -> ColumnArrays:
    """Return one row of columns, each of the shape and type of the `instance`'s."""
    if isinstance(preprocessing, TabularPreprocessing):
        return _of_table(preprocessing, instance)
    if isinstance(preprocessing, ArraysPreprocessing):
        fills = {name: fill for one in preprocessing.arrays for name, fill in zip(one.columns, one.fills, strict=True)}
        return {name: np.full_like(column, fills.get(name, 0.0)) for name, column in instance.items()}
    return {name: _zeros(column) for name, column in instance.items()}


def _of_table(preprocessing: TabularPreprocessing, instance: ColumnArrays) -> ColumnArrays:
    if preprocessing.array_shape is not None:
        centers = [_center(feature) for feature in preprocessing.numbers.features]
        return {name: _filled(column, centers) for name, column in instance.items()}
    commonest = {one.column: one.values[0] if one.values else None for one in preprocessing.vocabularies}
    features = iter(preprocessing.numbers.features)
    numbers: dict[str, list[float]] = {}
    for source in preprocessing.sources:
        own = [next(features) for _ in range(source.width)]
        if source.part is not None:
            numbers[source.column] = [np.nan]
        else:
            is_array = instance[source.column].ndim > 1
            numbers[source.column] = [_center(one) if is_array else one.fill for one in own]
    baseline: ColumnArrays = {}
    for name, column in instance.items():
        if name in numbers:
            baseline[name] = _filled(column, numbers[name])
        else:
            baseline[name] = np.full(1, commonest.get(name), dtype=object)
    return baseline


def _filled(column: NDArray[Any], values: list[float]) -> NDArray[Any]:
    # One scale may serve all elements of a picture.
    flat = np.broadcast_to(np.array(values), (column.size // len(values), len(values)))
    return flat.reshape(column.shape).astype(np.float64)


def _center(feature: NumberFeature) -> float:
    scaler = feature.scaler
    if isinstance(scaler, Standard):
        return scaler.center
    return float(np.interp(0.0, scaler.scores, scaler.points))


def _zeros(column: NDArray[Any]) -> NDArray[Any]:
    if column.dtype != object:
        return np.zeros_like(column)
    found = np.empty(len(column), dtype=object)
    for index, row in enumerate(column):
        found[index] = np.zeros_like(row) if isinstance(row, np.ndarray) else None
    return found
