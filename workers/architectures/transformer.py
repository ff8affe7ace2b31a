# ruff: noqa: N803, N806 — names end in their shape (see the key below)
"""The parts that BERT, ELECTRA and GPT-2 are put together of, each layer under a name that stays.

A block i of the stack `encoder` has the layers `encoder_i_attention_query`, `…_key`, `…_value`, `…_attention`,
`…_attention_output`, `…_attention_norm`, `…_feedforward_inner`, `…_feedforward_output`, `…_feedforward_norm`, and
between them `…_dropout`, `…_add` and `…_feedforward_activation`.

Shapes: B batch, T tokens, D width.
"""

from typing import Any

import keras

from app.architectures import TransformerConfig
from workers.architectures import custom_text

_ACTIVATIONS = {
    "gelu": custom_text.gelu,
    "gelu_tanh": custom_text.gelu_tanh,
    "relu": "relu",
    "silu": "silu",
    "tanh": "tanh",
}


def truncated_normal(deviation: float) -> Any:
    """Return a fresh initializer: one that is used twice gives the same numbers twice."""
    return keras.initializers.TruncatedNormal(stddev=deviation)


def normal(deviation: float) -> Any:
    """Return a fresh initializer, not truncated, as GPT-2 has it."""
    return keras.initializers.RandomNormal(stddev=deviation)


def activation(name: str, layer: str) -> Any:
    """Return the layer of an activation of `TransformerConfig`."""
    return keras.layers.Activation(_ACTIVATIONS[name], name=layer)


def norm(config: TransformerConfig, name: str) -> Any:
    """Return a layer normalisation with the family's epsilon."""
    return keras.layers.LayerNormalization(epsilon=config.layer_norm_epsilon, name=name)


def text_inputs(config: TransformerConfig) -> dict[str, Any]:
    """Return the inputs, all (B, T): `token_ids`, `padding_mask` (0: padding) and, with segments, `type_ids`."""
    names = ["token_ids", "padding_mask", *(["type_ids"] if config.type_vocabulary_size else [])]
    return {name: keras.Input((None,), dtype="int32", name=name) for name in names}


def token_embedding(config: TransformerConfig, initializer: Any) -> Any:
    """Return the embedding of tokens, which also gives tied logits when called with `reverse=True`."""
    return keras.layers.ReversibleEmbedding(
        config.vocabulary_size, config.embedding_width, embeddings_initializer=initializer, name="token_embedding"
    )


def attend(
    config: TransformerConfig, x_BTD: Any, mask_BT: Any, name: str, causal: bool, output_deviation: float, draw: Any
) -> Any:
    """Self-attention with its projections, before dropout and residual; Vaswani et al. 2017, section 3.2.2."""
    width, deviation = config.hidden_dim, config.initializer_range

    def project(part: str, source: Any, spread: float) -> Any:
        return keras.layers.Dense(width, kernel_initializer=draw(spread), name=f"{name}_attention_{part}")(source)

    heads = custom_text.HeadedAttention(config.num_heads, causal, config.attention_dropout, name=f"{name}_attention")
    query, key, value = (project(part, x_BTD, deviation) for part in ("query", "key", "value"))
    return project("output", heads(query, key, value, mask_BT), output_deviation)


def feed_forward(config: TransformerConfig, x_BTD: Any, name: str, output_deviation: float, draw: Any) -> Any:
    """Two dense layers at every position, before dropout and residual; Vaswani et al. 2017, equation 2."""
    inner = keras.layers.Dense(
        config.intermediate_dim, kernel_initializer=draw(config.initializer_range), name=f"{name}_feedforward_inner"
    )(x_BTD)
    inner = activation(config.activation, f"{name}_feedforward_activation")(inner)
    return keras.layers.Dense(
        config.hidden_dim, kernel_initializer=draw(output_deviation), name=f"{name}_feedforward_output"
    )(inner)


def residual(config: TransformerConfig, x_BTD: Any, change_BTD: Any, name: str) -> Any:
    """x + dropout(change); Vaswani et al. 2017, section 5.4."""
    change_BTD = keras.layers.Dropout(config.dropout, name=f"{name}_dropout")(change_BTD)
    return keras.layers.Add(name=f"{name}_add")([x_BTD, change_BTD])


def answer(x: Any, name: str) -> Any:
    """Give an output its name, in float32 also where the network computes in half precision."""
    return keras.layers.Activation("linear", dtype="float32", name=name)(x)
