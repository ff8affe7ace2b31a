"""What a recipe's builder hands to the trainer."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Built:
    """Two Keras models that share their weights.

    `training_model` gives what the loss is taken of: logits where `from_logits`, of shape (B, C), or (B, K, C) with K
    members, whose loss is the mean over the members. `serving_model` gives what a client sees: probabilities (B, C), or
    a standardised value (B, 1), members averaged. They may be one and the same.
    """

    training_model: Any
    serving_model: Any
    from_logits: bool
    members: int = 1
