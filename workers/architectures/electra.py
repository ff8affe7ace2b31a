# ruff: noqa: N806 — names end in their shape (see the key below)
"""ELECTRA as Keras networks: Clark et al., "ELECTRA: Pre-training Text Encoders as Discriminators" (2020).

Generator and discriminator are BERT's encoder, with embeddings narrower than the stack (section 3.2).

Shapes: B batch, T tokens, D width, V vocabulary.
"""

from collections.abc import Collection
from typing import Any

import keras

from app.architectures import TransformerConfig
from workers.architectures import custom_text
from workers.architectures.bert import Encoder, build_encoder, masked_logits
from workers.architectures.transformer import activation, answer, truncated_normal


def build_electra(config: TransformerConfig, heads: Collection[str] = ()) -> Any:
    """Return the model: `hidden` (B, T, D) and an output for each of `heads`.

    `replaced` (B, T): the discriminator's logit that a token was replaced (section 2). `masked` (B, T, V): the
    generator's logits.
    """
    encoder = build_encoder(config)
    outputs = {"hidden": answer(encoder.hidden, "hidden")}
    if "replaced" in heads:
        outputs["replaced"] = answer(replaced_logits(encoder), "replaced")
    if "masked" in heads:
        outputs["masked"] = answer(masked_logits(encoder), "masked")
    return keras.Model(encoder.inputs, outputs, name="electra")


def replaced_logits(encoder: Encoder) -> Any:
    """wᵀ act(W h + c) + b, (B, T): section 2, D(x, t) before the sigmoid, with the dense layer of their code."""
    config = encoder.config
    kernel = truncated_normal(config.initializer_range)
    x_BTD = keras.layers.Dense(config.hidden_dim, kernel_initializer=kernel, name="replaced_dense")(encoder.hidden)
    x_BTD = activation(config.activation, "replaced_activation")(x_BTD)
    kernel = truncated_normal(config.initializer_range)
    logits = keras.layers.Dense(1, kernel_initializer=kernel, name="replaced_logit")(x_BTD)
    return custom_text.DropLastAxis(name="replaced_logits")(logits)
