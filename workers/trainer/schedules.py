"""Learning rates as pure functions of the step: NumPy, no state, so that resuming needs nothing.

All return the factor by which the learning rate of the optimizer is multiplied. `step`
counts updates from 0; `total` is the number of updates of the whole job.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Factors = NDArray[np.float64]


@dataclass(frozen=True)
class Schedule:
    """A resolved schedule, bound to the length of a job. Before `offset` steps the rate is that of the optimizer."""

    name: str
    total: int
    warmup: int
    end_ratio: float
    decay_rate: float
    decay_steps: float
    offset: int = 0

    def factors(self, first: int, count: int) -> Factors:
        """Return the factors of the steps `first` … `first + count - 1`."""
        every = np.arange(first - self.offset, first - self.offset + count, dtype=np.float64)
        return np.where(every < 0, 1.0, self._factors(np.maximum(every, 0.0)))

    def _factors(self, steps: Factors) -> Factors:
        after = np.maximum(steps - self.warmup, 0.0)
        share = np.clip(after / max(self.total - self.warmup, 1), 0.0, 1.0)
        factors = self._after_warmup(after, share)
        if self.warmup:
            # The first step already moves: (step + 1) / warmup, so that no step is spent at rate 0.
            factors = np.where(steps < self.warmup, (steps + 1.0) / self.warmup, factors)
        return factors

    def _after_warmup(self, after: Factors, share: Factors) -> Factors:
        if self.name in ("linear", "slanted-triangular"):
            # Howard & Ruder (2018), equation 3: its rise is the warm-up, a tenth of the steps; it ends at 1/32.
            return 1.0 + (self.end_ratio - 1.0) * share
        if self.name == "cosine":
            # Loshchilov & Hutter (2017), equation 5, without restarts.
            return self.end_ratio + (1.0 - self.end_ratio) * 0.5 * (1.0 + np.cos(np.pi * share))
        if self.name == "exponential":
            return np.asarray(self.decay_rate ** (after / self.decay_steps))
        if self.name == "step":
            return np.asarray(self.decay_rate ** np.floor(after / self.decay_steps))
        return np.ones_like(after)


def build_schedule(config: dict[str, Any], epochs: int, steps_per_epoch: int, head_epochs: int = 0) -> Schedule:
    """Bind a resolved `training.schedule`, with every field that its kind has, to the updates of a job.

    It begins after `head_epochs`, in which the rate is constant.
    """
    total = (epochs - head_epochs) * steps_per_epoch
    warmup_steps = config.get("warmup_steps")
    warmup = float(config.get("warmup_ratio") or 0.0) * total if warmup_steps is None else warmup_steps
    return Schedule(
        name=str(config["name"]),
        total=total,
        warmup=min(round(warmup), total),
        end_ratio=float(config.get("end_ratio") or 0.0),
        decay_rate=float(config.get("decay_rate") or 1.0),
        decay_steps=max(float(config.get("decay_epochs") or 1.0) * steps_per_epoch, 1.0),
        offset=head_epochs * steps_per_epoch,
    )
