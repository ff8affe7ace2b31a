"""What a job will cost, by arithmetic: parameters exactly, time and memory roughly."""

from collections.abc import Mapping
from typing import Any, TypedDict

from app.preprocessing.prepare import Prepared
from app.preprocessing.split import TRAIN
from app.preprocessing.tabular import TabularPreprocessing

# Two cores of 2020s hardware in float32, forward and backward, as measured on dense layers of 64 to
# 512 units: 5 to 30 billion operations a second. The estimate is an order of magnitude, and says so.
OPERATIONS_PER_SECOND = 10e9
SECONDS_PER_STEP = 150e-6
SECONDS_OF_START = 4.0
MEMORY_OF_TRAINER_BYTES = 700 * 2**20


class Estimate(TypedDict):
    """Answer of a dry run. `steps` are the optimizer's at most; `seconds` are for two CPU cores."""

    parameters: int
    steps: int
    memory_bytes: int
    seconds: float
    basis: str


def estimate_job(resolved: Mapping[str, Any], prepared: Prepared, stride: int) -> Estimate:
    """Return what training `resolved` takes; `prepared` holds every `stride`-th row."""
    training = resolved["training"]
    rows = len(prepared.splits[TRAIN]) * stride
    all_rows = sum(len(split) for split in prepared.splits.values()) * stride
    batches = -(-rows // training["batch_size"])
    steps = -(-batches * training["epochs"] // training["gradient_accumulation_steps"])
    parameters, operations = count_mlp(resolved["params"]["architecture"], prepared.preprocessing)
    row_bytes = sum(
        array.dtype.itemsize * max(1, array.size // max(1, len(array)))
        for array in prepared.splits[TRAIN].inputs.values()
    )
    seconds = SECONDS_OF_START + batches * training["epochs"] * SECONDS_PER_STEP
    seconds += 3 * 2 * operations * rows * training["epochs"] / OPERATIONS_PER_SECOND
    if training["max_seconds"] is not None:
        seconds = min(seconds, training["max_seconds"])
    # Weights, gradients, two moments and a best copy; the data raw and prepared; activations of a batch.
    memory = MEMORY_OF_TRAINER_BYTES + 4 * 5 * parameters + 3 * row_bytes * all_rows
    memory += 4 * 3 * training["batch_size"] * max(1, operations // 64)
    basis = "arithmetic for two CPU cores; early stopping may end sooner"
    if stride > 1:
        basis += f"; data looked at through every {stride}th row"
    return Estimate(
        parameters=parameters, steps=steps, memory_bytes=int(memory), seconds=round(seconds, 1), basis=basis
    )


def count_mlp(architecture: Mapping[str, Any], preprocessing: TabularPreprocessing) -> tuple[int, int]:
    """Return (parameters, multiplications of one row) of an `mlp`."""
    parameters, width = _count_inputs(architecture, preprocessing)
    members, outputs = int(architecture.get("members", 1)), preprocessing.outputs
    operations = parameters
    for units in architecture.get("units") or []:
        dense = width * units
        parameters += dense + (units if members == 1 else members * (width + 2 * units))
        parameters += {"batch": 4, "layer": 2}.get(architecture["normalization"], 0) * units
        operations += dense * members
        width = units
    parameters += members * (width + 1) * outputs
    return parameters, operations + members * width * outputs


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
    if features and numbers and numbers["type"] != "none":
        if numbers["type"] == "periodic":
            inner = 2 * numbers["frequencies"]
            parameters += features * numbers["frequencies"]
        else:
            inner = max((len(edges) - 1 for edges in preprocessing.number_edges), default=numbers["bins"])
        parameters += features * (inner + 1) * numbers["width"]
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
