"""What a job will cost, by arithmetic: parameters exactly, time and memory roughly."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypedDict

from app.preprocessing.prepare import Prepared
from app.preprocessing.split import TRAIN
from app.preprocessing.tabular import TabularPreprocessing
from app.recipes.layers import LayersTask, fit_layers
from app.recipes.tabular_params import MOST_SCALED_INPUTS

# Measured with the default network on California housing: 26 billion operations in a second of one core; two
# cores do not double it. The estimate is an order of magnitude, and says so.
OPERATIONS_PER_SECOND = 30e9
SECONDS_PER_STEP = 150e-6
# To build and trace before the first step, to evaluate and export after the last.
SECONDS_OF_START = 3.0
# Resident size of a trainer with a network of 200,000 parameters: 740 to 815 MB.
MEMORY_OF_TRAINER_BYTES = 750 * 2**20


@dataclass(frozen=True)
class Counts:
    """Parameters of a network; multiplications and values in memory of one row on its way through."""

    parameters: int
    operations: int
    row_values: int


class Estimate(TypedDict):
    """Answer of a dry run. `steps` are the optimizer's at most; `seconds` are for two CPU cores."""

    parameters: int
    steps: int
    memory_bytes: int
    seconds: float
    basis: str


def estimate_job(resolved: Mapping[str, Any], prepared: Prepared, counts: Counts, stride: int) -> Estimate:
    """Return what training `resolved` takes; `prepared` holds every `stride`-th row."""
    training = resolved["training"]
    rows = len(prepared.splits[TRAIN]) * stride
    all_rows = sum(len(split) for split in prepared.splits.values()) * stride
    batches = -(-rows // training["batch_size"])
    steps = -(-batches * training["epochs"] // training["gradient_accumulation_steps"])
    row_bytes = sum(
        array.dtype.itemsize * max(1, array.size // max(1, len(array)))
        for array in prepared.splits[TRAIN].inputs.values()
    )
    seconds = SECONDS_OF_START + batches * training["epochs"] * SECONDS_PER_STEP
    # Forward once, backward twice; a multiplication comes with an addition.
    seconds += 3 * 2 * counts.operations * rows * training["epochs"] / OPERATIONS_PER_SECOND
    if training["max_seconds"] is not None:
        seconds = min(seconds, training["max_seconds"])
    # Weights, gradients, two moments and a best copy; the data raw and prepared; a batch on its way there and back.
    memory = MEMORY_OF_TRAINER_BYTES + 4 * 5 * counts.parameters + 3 * row_bytes * all_rows
    memory += 4 * 3 * training["batch_size"] * counts.row_values
    basis = "arithmetic for two CPU cores, an order of magnitude; early stopping may end sooner"
    if stride > 1:
        basis += f"; data looked at through every {stride}th row"
    return Estimate(
        parameters=counts.parameters, steps=steps, memory_bytes=int(memory), seconds=round(seconds, 1), basis=basis
    )


def count_layers(
    layers: Sequence[Mapping[str, Any]], preprocessing: TabularPreprocessing, outputs: int, task: LayersTask, path: str
) -> Counts:
    """Count a list of layers. Raises Unprocessable where they do not fit the rows or the task, or are too large."""
    row = preprocessing.array_shape
    if row is None:
        # A table enters side by side, categories as one-hot codes.
        row = (len(preprocessing.number_names) + sum(preprocessing.category_sizes),)
    totals = fit_layers(layers, row, outputs, task, path)
    return Counts(totals.parameters, totals.operations, totals.row_values)


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
    return Counts(parameters, operations + members * width * outputs, row_values)


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
