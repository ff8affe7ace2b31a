"""What a job will cost, by arithmetic: parameters exactly, time and memory roughly."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypedDict

from app.core.errors import Unprocessable
from app.preprocessing.prepare import Prepared
from app.preprocessing.split import TRAIN
from app.recipes.layers import MAX_PARAMETERS, LayersTask, fit_layers

SECONDS_PER_STEP = 150e-6
# To build and trace before the first step, to evaluate and export after the last.
SECONDS_OF_START = 3.0
# Resident size of a trainer with a network of 200,000 parameters: 740 to 815 MB.
MEMORY_OF_TRAINER_BYTES = 750 * 2**20


@dataclass(frozen=True)
class Counts:
    """Parameters of a network; multiplications and values in memory of one row on its way through.

    `row_bytes`: what a row's inputs take in the trainer's memory. `trainable`: of a model that starts from another, the
    parameters that are trained.
    """

    parameters: int
    operations: int
    row_values: int
    row_bytes: int
    trainable: int | None = None


class Estimate(TypedDict):
    """Answer of a dry run. `steps` are the optimizer's at most; `seconds` are for two CPU cores."""

    parameters: int
    trainable_parameters: int | None
    steps: int
    memory_bytes: int
    seconds: float
    basis: str


def estimate_job(
    resolved: Mapping[str, Any], prepared: Prepared, counts: Counts, stride: int, operations_per_second: float
) -> Estimate:
    """Return what training `resolved` takes; `prepared` holds every `stride`-th row."""
    training = resolved["training"]
    rows = len(prepared.splits[TRAIN]) * stride
    all_rows = sum(len(split) for split in prepared.splits.values()) * stride
    batches = -(-rows // training["batch_size"])
    steps = -(-batches * training["epochs"] // training["gradient_accumulation_steps"])
    seconds = SECONDS_OF_START + batches * training["epochs"] * SECONDS_PER_STEP
    # Forward once, backward twice; a multiplication comes with an addition.
    seconds += 3 * 2 * counts.operations * rows * training["epochs"] / operations_per_second
    if training["max_seconds"] is not None:
        seconds = min(seconds, training["max_seconds"])
    # Weights, gradients, two moments and a best copy; the data raw and prepared; a batch on its way there and back.
    memory = MEMORY_OF_TRAINER_BYTES + 4 * 5 * counts.parameters + 3 * counts.row_bytes * all_rows
    memory += 4 * 3 * training["batch_size"] * counts.row_values
    basis = "arithmetic for two CPU cores, an order of magnitude; early stopping may end sooner"
    if stride > 1:
        basis += f"; data looked at through every {stride}th row"
    return Estimate(
        parameters=counts.parameters,
        trainable_parameters=counts.trainable,
        steps=steps,
        memory_bytes=int(memory),
        seconds=round(seconds, 1),
        basis=basis,
    )


def count_layers(
    layers: Sequence[Mapping[str, Any]],
    row: tuple[int, ...],
    outputs: int,
    task: LayersTask,
    path: str,
    row_bytes: int,
) -> Counts:
    """Count a list of layers for rows of the shape `row`.

    Raises Unprocessable where they do not fit the rows or the task, or are too large.
    """
    totals = fit_layers(layers, row, outputs, task, path)
    return Counts(totals.parameters, totals.operations, totals.row_values, row_bytes)


def demand_buildable(counts: Counts, less: str) -> Counts:
    """Return `counts`; Unprocessable where the network would be too large. `less`: what to choose less of."""
    if counts.parameters > MAX_PARAMETERS:
        raise Unprocessable(
            f"params.architecture: the network would have {counts.parameters:,} parameters; at most {MAX_PARAMETERS:,} "
            f"are allowed. Choose less of {less}.",
            param="params.architecture",
        )
    return counts
