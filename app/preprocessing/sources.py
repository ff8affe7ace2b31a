"""Where the number features of a table come from, and how each is fitted on the training rows."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from numpy.typing import NDArray

from app.preprocessing.columns import NUMERIC_TYPES, Column, ColumnArrays, thin
from app.preprocessing.datetimes import part_of, varying_parts
from app.preprocessing.numbers import Impute, NumberFeature, Scaling, fit_feature

# Elements of a flat array that are scaled one by one; a picture is scaled as a whole.
MAX_SCALED_ELEMENTS = 4096
# Values of pictures that one scale is fitted on: their mean is known to a thousandth of a deviation.
FIT_VALUES = 2_000_000


@dataclass(frozen=True)
class Options:
    """How columns become numbers; every field from `resolved["preprocessing"]`."""

    strip: bool = True
    lowercase: bool = False
    impute: Impute = "median"
    scaling: Scaling = "standard"
    min_count: int = 1
    max_categories: int = 10_000
    bins: int = 0


@dataclass(frozen=True)
class NumberSource:
    """Where number features come from: a column, a part of its instants, or all elements of its arrays."""

    column: str
    part: str | None = None
    width: int = 1


def fit_numbers(
    columns: ColumnArrays, inputs: Sequence[Column], options: Options
) -> tuple[list[NumberSource], list[NumberFeature]]:
    """Return the sources of number features among `inputs`, and the features, in the same order."""
    sources: list[NumberSource] = []
    features: list[NumberFeature] = []
    for column in inputs:
        values = columns[column.name]
        if column.type in NUMERIC_TYPES:
            sources.append(NumberSource(column.name))
            features.append(_fit_number(column, values, options))
        elif column.type == "datetime":
            for index, part in enumerate(varying_parts(values)):
                feature = fit_feature(f"{column.name} {part}", part_of(part, values), options.impute, options.scaling)
                sources.append(NumberSource(column.name, part))
                # One part tells that the instant is missing; the others need not repeat it.
                features.append(feature if index == 0 else replace(feature, indicator=False))
        elif column.type == "array":
            flat = values.reshape(len(values), -1)
            sources.append(NumberSource(column.name, None, flat.shape[1]))
            for index in range(flat.shape[1]):
                feature = fit_feature(f"{column.name}[{index}]", flat[:, index], options.impute, options.scaling)
                features.append(replace(feature, indicator=False))
    return sources, features


def _fit_number(column: Column, values: NDArray[Any], options: Options) -> NumberFeature:
    # The middle of yes and no is neither: a missing boolean is what most rows are.
    impute: Impute = "most_frequent" if column.type == "boolean" else options.impute
    scaling: Scaling = "standard" if column.type == "boolean" and options.scaling == "quantile" else options.scaling
    return fit_feature(column.name, values, impute, scaling)


def fit_array(
    column: Column, values: NDArray[Any], options: Options
) -> tuple[list[NumberSource], list[NumberFeature], tuple[int, ...]]:
    """A flat array is scaled element by element; one of more axes keeps its contrasts: one scale for all of it."""
    shape = tuple(int(length) for length in values.shape[1:])
    flat = values.reshape(len(values), -1)
    if len(shape) == 1 and shape[0] <= MAX_SCALED_ELEMENTS:
        fitted = [
            fit_feature(f"{column.name}[{index}]", flat[:, index], options.impute, options.scaling)
            for index in range(flat.shape[1])
        ]
    else:
        # Quantile scores of all pixels together would flatten a picture's contrasts.
        scaling: Scaling = "none" if options.scaling == "none" else "standard"
        few = thin(flat, max(1, FIT_VALUES // flat.shape[1]))
        fitted = [fit_feature(column.name, few.reshape(-1), options.impute, scaling)]
    features = [replace(feature, indicator=False) for feature in fitted]
    return [NumberSource(column.name, None, flat.shape[1])], features, shape
