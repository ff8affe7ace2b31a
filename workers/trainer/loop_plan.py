"""The sizes of a job's training loop, and which form it takes."""

from dataclasses import dataclass
from math import prod
from typing import Any, Literal

Execution = Literal["graph", "xla"]

# Without noise, on 2 cores, XLA against graph: 1 MFLOP a step 3.7× faster, 20 to 75 MFLOP 2×, 220 MFLOP 1× to 1.5×.
XLA_FLOPS_PER_STEP = 200e6
# A graph step costs about 0.1 ms more; XLA compiles for 1 to 4 s (the loop, and one more for the last, smaller group).
XLA_MIN_STEPS = 40_000


# Layers that are known to compile, to be no slower and to give the same numbers. Not among them: noise and dropout (XLA
# draws random numbers in 450 ns each on a CPU, TensorFlow in 5: 15 ms a step for 0.8), pooling by maximum (no
# deterministic gradient in XLA), UnitNormalization (NaN for a row of zeros), convolutions and recurrence (not faster).
XLA_LAYERS = frozenset({
    "InputLayer", "Dense", "Activation", "ReLU", "LeakyReLU", "PReLU", "ELU", "Softmax", "BatchNormalization",
    "LayerNormalization", "Rescaling", "Flatten", "Reshape", "Concatenate", "Add", "RepeatVector", "Embedding",
    "GlobalAveragePooling1D", "PiecewiseLinearEncoding", "PeriodicEncoding", "ColumnwiseDense", "ColumnOffsets",
    "OneHotColumns", "EnsembleDense", "MemberDense", "BothClasses",
})  # fmt: skip


def choose_execution(model: Any, rows_per_step: int, steps: int) -> Execution:
    """Choose the form of the loop: XLA for long jobs of small steps, of layers that it is good for."""
    if steps < XLA_MIN_STEPS or not all(type(layer).__name__ in XLA_LAYERS for layer in model.layers):
        return "graph"
    return "xla" if flops_per_row(model) * rows_per_step <= XLA_FLOPS_PER_STEP else "graph"


def flops_per_row(model: Any) -> float:
    """Return about how many operations a row costs in training: 2 a weight forward, twice that backward.

    A weight counts at every place of a row where its layer uses it: time steps, pixels, members.
    """
    total = 0.0
    for layer in model.layers:
        shapes = (tensor.shape for tensor in _tensors(layer.input) + _tensors(layer.output))
        places = max([1, *(prod(length or 1 for length in shape[1:-1]) for shape in shapes)])
        total += 6.0 * layer.count_params() * places
    return total


def _tensors(found: Any) -> list[Any]:
    if isinstance(found, dict):
        return list(found.values())
    return list(found) if isinstance(found, list | tuple) else [found]


@dataclass(frozen=True)
class LoopPlan:
    """The sizes of a training function.

    `effective_batch_size`: the rows of an update, where the last of its batches is smaller than the others.
    """

    rows: int
    batch_size: int
    accumulation: int
    execution: Execution
    effective_batch_size: int | None = None

    @property
    def group(self) -> int:
        """Rows of one full update."""
        return self.effective_batch_size or self.batch_size * self.accumulation

    @property
    def steps_per_epoch(self) -> int:
        """Updates of one epoch, the last, smaller one counted."""
        return -(-self.rows // self.group)
