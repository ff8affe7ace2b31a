"""What a recipe's builder hands to the trainer."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

Tensors = dict[str, Any]


class Varied(NamedTuple):
    """A batch as augmentation left it.

    `partner` (B,) int32 and `share` (B,) float32, where rows were mixed: the loss of a row is `share` of the loss for
    its own target and the rest of that for its partner's. None: they were not.
    """

    inputs: Tensors
    partner: Any = None
    share: Any = None


@dataclass(frozen=True)
class Built:
    """Two Keras models that share their weights.

    `training_model` gives what the loss is taken of: logits where `from_logits`, of shape (B, C), or (B, K, C) with K
    members, whose loss is the mean over the members. `serving_model` gives what a client sees: probabilities (B, C), or
    a standardised value (B, 1), members averaged. They may be one and the same.

    `enter` makes what the trainer keeps of rows (`FittedRows.keep`) into inputs of the models; None: it is the same.
    `vary` alters a batch of inputs in training only, a pure function of them and of the key (2,) int32: the seed and
    what counts the batches. Both are TensorFlow functions of tensors by name.

    Of a model that starts from another: `slow` are the variables that are trained at a share of the rate, and `export`
    returns the model as it is kept, where that is not `serving_model`: with adapters merged into their kernels.
    """

    training_model: Any
    serving_model: Any
    from_logits: bool
    members: int = 1
    enter: Callable[[Tensors], Tensors] | None = None
    vary: Callable[[Tensors, Any], Varied] | None = None
    slow: tuple[Any, ...] = ()
    export: Callable[[], Any] | None = None
