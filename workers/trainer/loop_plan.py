"""The sizes of a job's training loop, and which form it takes."""

from dataclasses import dataclass
from typing import Literal

Execution = Literal["graph", "xla"]

# Below: time goes into starting operations, which XLA avoids. Above: into products, where it is slower. Measured on
# 2 cores: 1.2 MFLOP a step 3.7× faster, 215 MFLOP 0.6×.
XLA_FLOPS_PER_STEP = 30e6
# A graph step costs about 0.1 ms; XLA compiles for 1 to 2 s (the loop, and one more for the last, smaller group).
XLA_MIN_STEPS = 20_000


def choose_execution(parameters: int, rows_per_step: int, members: int, steps: int) -> Execution:
    """Choose the form of the loop: XLA for long jobs of small steps."""
    # A product takes 2 operations a weight and row forward, twice that backward.
    flops = 6.0 * parameters * rows_per_step * members
    return "xla" if flops <= XLA_FLOPS_PER_STEP and steps >= XLA_MIN_STEPS else "graph"


@dataclass(frozen=True)
class LoopPlan:
    """The sizes of a training function."""

    rows: int
    batch_size: int
    accumulation: int
    execution: Execution

    @property
    def group(self) -> int:
        """Rows of one full update."""
        return self.batch_size * self.accumulation

    @property
    def steps_per_epoch(self) -> int:
        """Updates of one epoch, the last, smaller one counted."""
        return -(-self.rows // self.group)
