"""Which epoch was the best, and when to stop waiting for a better one."""

import math
from dataclasses import asdict, dataclass
from typing import Any

_HIGHER_IS_BETTER = ("accuracy", "auc", "precision", "recall", "f1", "r2")


def higher_is_better(metric: str) -> bool:
    """Whether more of a metric is better, by its name (`val_accuracy`, `loss`)."""
    return any(word in metric.lower() for word in _HIGHER_IS_BETTER)


@dataclass
class Stopper:
    """Follows one figure over the epochs, counted from 1.

    `patience` None: never stop, only remember the best. An epoch is better when it beats the best by more than
    `min_delta`; after `patience` epochs in a row that were not (at least one), it is time to stop, as in Keras.
    """

    monitor: str
    patience: int | None
    min_delta: float = 0.0
    best: float | None = None
    best_epoch: int = 0
    waited: int = 0

    def update(self, epoch: int, value: float) -> bool:
        """Take the figure of an epoch; return whether it is the best so far."""
        sign = -1.0 if higher_is_better(self.monitor) else 1.0
        if math.isfinite(value) and (self.best is None or sign * (self.best - value) > self.min_delta):
            self.best, self.best_epoch, self.waited = value, epoch, 0
            return True
        self.waited += 1
        return False

    @property
    def is_over(self) -> bool:
        """Whether patience is at its end."""
        return self.patience is not None and self.waited >= max(self.patience, 1)

    def to_json(self) -> dict[str, Any]:
        """Return the state for a checkpoint."""
        return asdict(self)

    @classmethod
    def from_json(cls, state: dict[str, Any]) -> "Stopper":
        """Return the stopper that was saved."""
        return cls(**state)
