# ruff: noqa: N803, N806 — names end in their shape (see the key below)
"""GPT-2 as a Keras network: Radford et al., "Language Models are Unsupervised Multitask Learners" (2019), section 2.3.

Blocks are pre-norm, x + Sublayer(LN(x)), with one more normalisation after the last. Kernels of the projections that
end in the residual stream start smaller by 1/√N, N the number of residual additions.

Shapes: B batch, T tokens, D width, V vocabulary.
"""

import math
from collections.abc import Collection
from typing import Any

import keras

from app.architectures import TransformerConfig
from workers.architectures import custom_text
from workers.architectures.transformer import (
    answer,
    attend,
    feed_forward,
    norm,
    normal,
    residual,
    text_inputs,
    token_embedding,
)


def build_gpt2(config: TransformerConfig, heads: Collection[str] = ("next_token",)) -> Any:
    """Return the model: `hidden` (B, T, D) and, with the head `next_token`, logits (B, T, V) tied to the embeddings."""
    if config.embedding_width != config.hidden_dim or config.type_vocabulary_size:
        raise ValueError("GPT-2 has embeddings as wide as its blocks, and no segments")
    inputs = text_inputs(config)
    tokens = token_embedding(config, normal(config.initializer_range))
    # Half the deviation of the tokens' table, as in the published code (`wpe` 0.01, `wte` 0.02).
    positions = custom_text.AddPositions(
        config.max_positions, normal(config.initializer_range / 2), name="position_embedding"
    )
    x = positions(tokens(inputs["token_ids"]))
    x = keras.layers.Dropout(config.embedding_dropout, name="embedding_dropout")(x)
    for index in range(config.num_layers):
        x = _block(config, x, inputs["padding_mask"], f"decoder_{index}")
    x = norm(config, "decoder_norm")(x)
    outputs = {"hidden": answer(x, "hidden")}
    if "next_token" in heads:
        outputs["next_token"] = answer(tokens(x, reverse=True), "next_token")
    return keras.Model(inputs, outputs, name="gpt2")


def _block(config: TransformerConfig, x_BTD: Any, mask_BT: Any, name: str) -> Any:
    into_stream = config.initializer_range / math.sqrt(2 * config.num_layers)
    normed = norm(config, f"{name}_attention_norm")(x_BTD)
    heads = attend(config, normed, mask_BT, name, True, into_stream, normal)
    x_BTD = residual(config, x_BTD, heads, f"{name}_attention")
    normed = norm(config, f"{name}_feedforward_norm")(x_BTD)
    inner = feed_forward(config, normed, name, into_stream, normal)
    return residual(config, x_BTD, inner, f"{name}_feedforward")
