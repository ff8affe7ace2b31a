"""The arithmetic of the dense networks for tables, as `workers/architectures/mlp.py` builds them."""

from collections.abc import Mapping
from math import prod
from typing import Any

from app.preprocessing.tabular import TabularPreprocessing
from app.recipes.estimate import Counts
from app.recipes.tabular_params import MOST_SCALED_INPUTS

NUMBER_BYTES = 4


def row_shape(preprocessing: TabularPreprocessing) -> tuple[int, ...]:
    """Return the shape in which a row enters a list of layers."""
    if preprocessing.array_shape is not None:
        return preprocessing.array_shape
    # A table enters side by side, categories as one-hot codes.
    return (len(preprocessing.number_names) + sum(preprocessing.category_sizes),)


def row_bytes(preprocessing: TabularPreprocessing) -> int:
    """Return the bytes of a row's inputs: four for each number and each category."""
    return sum(NUMBER_BYTES * prod(spec.shape) for spec in preprocessing.inputs)


def count_mlp(architecture: Mapping[str, Any], preprocessing: TabularPreprocessing, outputs: int) -> Counts:
    """Count the dense network that `workers/architectures/mlp.py` builds."""
    parameters, width = _count_inputs(architecture, preprocessing)
    members = int(architecture["members"])
    operations, row_values = parameters, width
    for index, units in enumerate(architecture["units"]):
        dense = width * units
        # Of members each has two scales and a bias of its own; a wide first layer has no scale of what comes in.
        scaled = index > 0 or width <= MOST_SCALED_INPUTS
        own = 2 * units + (width if scaled else 0)
        parameters += dense + (units if members == 1 else members * own)
        parameters += {"batch": 4, "layer": 2}.get(architecture["normalization"], 0) * units
        operations += dense * (members if scaled else 1)
        row_values += 3 * members * units
        width = units
    parameters += members * (width + 1) * outputs
    return Counts(parameters, operations + members * width * outputs, row_values, row_bytes(preprocessing))


def _count_inputs(architecture: Mapping[str, Any], preprocessing: TabularPreprocessing) -> tuple[int, int]:
    """(parameters of the embeddings, width of what they give)."""
    if preprocessing.array_shape is not None:
        size = 1
        for length in preprocessing.array_shape:
            size *= length
        return 0, size
    parameters, width = 0, 0
    numbers, categories = architecture.get("number_embeddings"), architecture.get("category_embeddings")
    features = len(preprocessing.number_names) if preprocessing.numbers.features else 0
    if features and numbers and numbers["type"] == "periodic":
        frequencies = numbers["frequencies"]
        parameters += features * (frequencies + (2 * frequencies + 1) * numbers["width"])
        width += features * numbers["width"]
    elif features and numbers and numbers["type"] == "piecewise-linear":
        bins = max(len(edges) - 1 for edges in preprocessing.number_edges)
        parameters += features * (bins + 2) * numbers["width"]  # for each bin, and a slope and a bias
        width += features * numbers["width"]
    else:
        width += features
    sizes = preprocessing.category_sizes
    if sizes and categories and categories["type"] == "embedding":
        parameters += sum(sizes) * categories["width"]
        width += len(sizes) * categories["width"]
    else:
        width += sum(sizes)
    return parameters, width
