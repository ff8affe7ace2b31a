# ruff: noqa: N803, N806 — names end in their shape (see the key below)
# mypy: disallow-subclassing-any=False, disallow-untyped-decorators=False
"""Layers of Transformer networks that Keras has not, registered under the package `trainyard`.

Importing this module and `custom` (they import nothing but Keras) is all that plain Keras needs to open a
`model.keras` of ours.

Shapes: B batch, T tokens, S tokens looked at, D width, H heads, K width of a head, V vocabulary.
"""

import math
from typing import Any

import keras
from keras import ops

PACKAGE = "trainyard"
# Exactly 0 after softmax in float32 and bfloat16; the sum of it and a score is still finite.
_NEVER = -1e9


@keras.saving.register_keras_serializable(PACKAGE)
def gelu(x: Any) -> Any:
    """x Φ(x), exact, through erf (Hendrycks and Gimpel 2016, section 2); Keras' own goes through erfc, not in ONNX."""
    return 0.5 * x * (1.0 + ops.erf(x * (1.0 / math.sqrt(2.0))))


@keras.saving.register_keras_serializable(PACKAGE)
def gelu_tanh(x: Any) -> Any:
    """0.5 x (1 + tanh(√(2/π) (x + 0.044715 x³))) (Hendrycks and Gimpel 2016, section 2), as GPT-2 has it."""
    return 0.5 * x * (1.0 + ops.tanh(math.sqrt(2.0 / math.pi) * (x + 0.044715 * x * x * x)))


@keras.saving.register_keras_serializable(PACKAGE)
class AddPositions(keras.layers.Layer):
    """Adds a learned vector to every position: (B, T, D) → (B, T, D); Devlin et al. 2018, section 3.2, figure 2."""

    def __init__(self, max_positions: int, initializer: Any = "uniform", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.max_positions = max_positions
        self.initializer = keras.initializers.get(initializer)

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        self.embeddings_SD = self.add_weight(
            shape=(self.max_positions, input_shape[-1]), initializer=self.initializer, name="embeddings"
        )
        self.built = True

    def call(self, x_BTD: Any) -> Any:
        positions_T = ops.arange(ops.shape(x_BTD)[1], dtype="int32")
        return x_BTD + ops.expand_dims(ops.take(self.embeddings_SD, positions_T, axis=0), 0)

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        return input_shape

    def get_config(self) -> dict[str, Any]:
        initializer = keras.initializers.serialize(self.initializer)
        return {**super().get_config(), "max_positions": self.max_positions, "initializer": initializer}


@keras.saving.register_keras_serializable(PACKAGE)
class HeadedAttention(keras.layers.Layer):
    """softmax(QKᵀ/√K)V in `num_heads` heads side by side; Vaswani et al. 2017, section 3.2, equation 1.

    The projections before and after are Dense layers of the network, so that they have names, can be frozen and take
    LoRA. `causal`: a token looks at itself and what came before. `padding_mask` (B, S): 0 where there is no token.
    Query (B, T, D), key and value (B, S, D) → (B, T, D). Scores are float32 also in half precision.
    """

    def __init__(self, num_heads: int, causal: bool = False, dropout: float = 0.0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.num_heads = num_heads
        self.causal = causal
        self.dropout = dropout
        self._drop = keras.layers.Dropout(dropout, name="dropout", dtype=self.dtype_policy)

    def build(self, *_shapes: Any, **_more: Any) -> None:
        self.built = True

    def call(
        self, query_BTD: Any, key_BSD: Any, value_BSD: Any, padding_mask: Any, training: bool | None = None
    ) -> Any:
        width = query_BTD.shape[-1]
        query_BHTK, key_BHSK = self._split(query_BTD), self._split(key_BSD)
        scale = 1.0 / math.sqrt(width // self.num_heads)
        scores_BHTS = ops.matmul(query_BHTK * scale, ops.transpose(key_BHSK, (0, 1, 3, 2)))
        allowed = ops.cast(padding_mask, "bool")[:, None, None, :]
        if self.causal:
            tokens_T = ops.arange(ops.shape(query_BTD)[1], dtype="int32")
            tokens_S = ops.arange(ops.shape(key_BSD)[1], dtype="int32")
            allowed = ops.logical_and(allowed, (tokens_T[:, None] >= tokens_S[None, :])[None, None])
        scores_BHTS = ops.where(allowed, ops.cast(scores_BHTS, "float32"), _NEVER)
        shares_BHTS = ops.cast(ops.softmax(scores_BHTS, axis=-1), self.compute_dtype)
        shares_BHTS = self._drop(shares_BHTS, training=training)
        heads_BTHK = ops.transpose(ops.matmul(shares_BHTS, self._split(value_BSD)), (0, 2, 1, 3))
        return ops.reshape(heads_BTHK, (-1, ops.shape(query_BTD)[1], width))

    def _split(self, x_BTD: Any) -> Any:
        """(B, T, D) → (B, H, T, K)."""
        shape = (-1, ops.shape(x_BTD)[1], self.num_heads, x_BTD.shape[-1] // self.num_heads)
        return ops.transpose(ops.reshape(x_BTD, shape), (0, 2, 1, 3))

    def compute_output_spec(
        self, query_BTD: Any, key_BSD: Any, value_BSD: Any, padding_mask: Any, training: bool | None = None
    ) -> Any:
        del key_BSD, value_BSD, padding_mask, training
        return keras.KerasTensor(query_BTD.shape, dtype=self.compute_dtype)

    def get_config(self) -> dict[str, Any]:
        own = {"num_heads": self.num_heads, "causal": self.causal, "dropout": self.dropout}
        return {**super().get_config(), **own}


@keras.saving.register_keras_serializable(PACKAGE)
class AddBias(keras.layers.Layer):
    """Adds a learned vector: (…, V) → (…, V); the bias of logits whose kernel is the tied embeddings."""

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        self.bias_V = self.add_weight(shape=(input_shape[-1],), initializer="zeros", name="bias")
        self.built = True

    def call(self, x: Any) -> Any:
        return x + self.bias_V

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        return input_shape


@keras.saving.register_keras_serializable(PACKAGE)
class FirstToken(keras.layers.Layer):
    """The vector of the first token: (B, T, D) → (B, D)."""

    def call(self, x_BTD: Any) -> Any:
        return x_BTD[:, 0]

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        return (input_shape[0], input_shape[2])


@keras.saving.register_keras_serializable(PACKAGE)
class DropLastAxis(keras.layers.Layer):
    """A last axis of length 1 taken away: (B, T, 1) → (B, T)."""

    def call(self, x: Any) -> Any:
        return ops.squeeze(x, axis=-1)

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        return tuple(input_shape[:-1])


@keras.saving.register_keras_serializable(PACKAGE)
class WeightedSum(keras.layers.Layer):
    """Σ over t of w[t] x[t]: [(B, T, D), (B, T)] → (B, D)."""

    def call(self, inputs: Any) -> Any:
        x_BTD, weights_BT = inputs
        return ops.squeeze(ops.matmul(ops.expand_dims(weights_BT, 1), x_BTD), axis=1)

    def compute_output_shape(self, input_shape: Any) -> tuple[int | None, ...]:
        return (input_shape[0][0], input_shape[0][2])


@keras.saving.register_keras_serializable(PACKAGE)
class KeepTokens(keras.layers.Layer):
    """Zero where the mask is: [(B, T, D), (B, T)] → (B, T, D)."""

    def call(self, inputs: Any) -> Any:
        x_BTD, mask_BT = inputs
        return x_BTD * ops.expand_dims(ops.cast(mask_BT, x_BTD.dtype), -1)

    def compute_output_shape(self, input_shape: Any) -> tuple[int | None, ...]:
        return tuple(input_shape[0])
