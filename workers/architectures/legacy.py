# mypy: disable-error-code="no-any-return,untyped-decorator", disallow-subclassing-any=False
"""What earlier versions of Keras did and Keras 3 does otherwise, for models that were made with them.

Importing this module (it imports nothing but Keras) is all that plain Keras needs to open a model that has it.
"""

from typing import Any

import keras
from keras import ops

from workers.architectures.custom import PACKAGE


@keras.saving.register_keras_serializable(PACKAGE)
def keras2_hard_sigmoid(x: Any) -> Any:
    """`hard_sigmoid` as it was up to Keras 2: clip(0.2 x + 0.5, 0, 1). Keras 3 means relu6(x + 3) / 6 by the name."""
    return ops.clip(0.2 * x + 0.5, 0.0, 1.0)


@keras.saving.register_keras_serializable(PACKAGE)
class SequenceMask(keras.layers.Layer):
    """The mask of a sequence as a tensor: (B, T, …) → (B, T), true where the sequence has none.

    A recurrent layer that is called with `initial_state` minded the mask of its sequence up to Keras 2; Keras 3 hands
    masks on only where a call has one tensor, and computes over the padding. Given as a tensor it is minded again.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.supports_masking = True

    def call(self, sequence: Any, mask: Any = None) -> Any:
        if mask is not None:
            return ops.cast(mask, "bool")
        return ops.ones(ops.shape(sequence)[:2], "bool")

    def compute_mask(self, inputs: Any, previous_mask: Any) -> None:
        return None

    def compute_output_spec(self, sequence: Any, mask: Any = None) -> Any:
        return keras.KerasTensor(sequence.shape[:2], "bool")
