# ruff: noqa: N803, N806 — names end in their shape (see the key below)
"""BERT and its kin as Keras networks.

Devlin et al., "BERT" (2018); Liu et al., "RoBERTa" (2019): the same network, without segments; Sanh et al.,
"DistilBERT" (2019): the same, without segments and pooler. Blocks are post-norm: LN(x + Sublayer(x)) (Vaswani et al.
2017, section 5.4).

Shapes: B batch, T tokens, D width, E width of embeddings, V vocabulary.
"""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import keras

from app.architectures import TransformerConfig
from workers.architectures import custom_text
from workers.architectures.transformer import (
    activation,
    answer,
    attend,
    feed_forward,
    norm,
    residual,
    text_inputs,
    token_embedding,
    truncated_normal,
)


@dataclass(frozen=True)
class Encoder:
    """A network up to its last block: inputs by name, the embedding of tokens (B, T) → (B, T, E), hidden (B, T, D)."""

    config: TransformerConfig
    inputs: dict[str, Any]
    tokens: Any
    hidden: Any


def build_bert(config: TransformerConfig, heads: Collection[str] = ()) -> Any:
    """Return the model: `hidden` (B, T, D) and an output for each of `heads`.

    `pooled` (B, D): tanh of a dense layer on the first token (Devlin et al. 2018, appendix A.4). `masked` (B, T, V):
    logits of the masked language model (section 3.1, Task 1).
    """
    encoder = build_encoder(config)
    outputs = {"hidden": answer(encoder.hidden, "hidden")}
    if "pooled" in heads:
        outputs["pooled"] = answer(pool_first(encoder), "pooled")
    if "masked" in heads:
        outputs["masked"] = answer(masked_logits(encoder), "masked")
    return keras.Model(encoder.inputs, outputs, name=config.family)


def build_encoder(config: TransformerConfig, embedding: Any = None) -> Encoder:
    """Return embeddings and blocks; `embedding`: an embedding of tokens to share, instead of a new one.

    With `embedding_dim` other than `hidden_dim` a dense layer lies between (ELECTRA).
    """
    inputs = text_inputs(config)
    tokens = embedding or token_embedding(config, truncated_normal(config.initializer_range))
    x = tokens(inputs["token_ids"])
    if config.type_vocabulary_size:
        segments = keras.layers.Embedding(
            config.type_vocabulary_size,
            config.embedding_width,
            truncated_normal(config.initializer_range),
            name="type_embedding",
        )
        x = keras.layers.Add(name="embedding_add")([x, segments(inputs["type_ids"])])
    positions = custom_text.AddPositions(
        config.max_positions, truncated_normal(config.initializer_range), name="position_embedding"
    )
    x = norm(config, "embedding_norm")(positions(x))
    x = keras.layers.Dropout(config.embedding_dropout, name="embedding_dropout")(x)
    if config.embedding_width != config.hidden_dim:
        x = keras.layers.Dense(
            config.hidden_dim,
            kernel_initializer=truncated_normal(config.initializer_range),
            name="embedding_projection",
        )(x)
    for index in range(config.num_layers):
        x = _block(config, x, inputs["padding_mask"], f"encoder_{index}")
    return Encoder(config, inputs, tokens, x)


def pool_first(encoder: Encoder) -> Any:
    """tanh(W h₀ + b), (B, D)."""
    first_BD = custom_text.FirstToken(name="pooler_first")(encoder.hidden)
    kernel = truncated_normal(encoder.config.initializer_range)
    return keras.layers.Dense(encoder.config.hidden_dim, "tanh", kernel_initializer=kernel, name="pooler")(first_BD)


def masked_logits(encoder: Encoder) -> Any:
    """LN(act(W h + c)) Eᵀ + b, (B, T, V), with E the embeddings; Devlin et al. 2018, section 3.1, and their code."""
    config = encoder.config
    kernel = truncated_normal(config.initializer_range)
    x_BTE = keras.layers.Dense(config.embedding_width, kernel_initializer=kernel, name="masked_dense")(encoder.hidden)
    # RoBERTa's and ELECTRA's code has GELU here whatever the blocks have.
    name = "gelu" if config.family in ("roberta", "electra") else config.activation
    x_BTE = norm(config, "masked_norm")(activation(name, "masked_activation")(x_BTE))
    return custom_text.AddBias(name="masked_bias")(encoder.tokens(x_BTE, reverse=True))


def _block(config: TransformerConfig, x_BTD: Any, mask_BT: Any, name: str) -> Any:
    deviation = config.initializer_range
    heads = attend(config, x_BTD, mask_BT, name, False, deviation, truncated_normal)
    x_BTD = norm(config, f"{name}_attention_norm")(residual(config, x_BTD, heads, f"{name}_attention"))
    inner = feed_forward(config, x_BTD, name, deviation, truncated_normal)
    return norm(config, f"{name}_feedforward_norm")(residual(config, x_BTD, inner, f"{name}_feedforward"))
