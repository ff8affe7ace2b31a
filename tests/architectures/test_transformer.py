"""The networks for text: sizes by arithmetic, equations of single layers, training, half precision, causality."""

import dataclasses
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from app.architectures import HEAD_PARAMETERS, TransformerConfig

pytestmark = pytest.mark.recipes

BERT = TransformerConfig(
    family="bert", vocabulary_size=30, num_layers=2, hidden_dim=8, num_heads=2, intermediate_dim=12, max_positions=10,
    type_vocabulary_size=2,
)  # fmt: skip
GPT2 = dataclasses.replace(BERT, family="gpt2", type_vocabulary_size=0, activation="gelu_tanh", layer_norm_epsilon=1e-5)
ELECTRA = dataclasses.replace(BERT, family="electra", embedding_dim=6)
ROWS = {
    "token_ids": np.array([[3, 4, 5, 6], [7, 8, 0, 0]], np.int32),
    "padding_mask": np.array([[1, 1, 1, 1], [1, 1, 0, 0]], np.int32),
}


def rows(config: TransformerConfig) -> dict[str, np.ndarray]:
    return ROWS | ({"type_ids": np.zeros((2, 4), np.int32)} if config.type_vocabulary_size else {})


def build(config: TransformerConfig, *heads: str) -> Any:
    from workers.architectures.bert import build_bert
    from workers.architectures.electra import build_electra
    from workers.architectures.gpt2 import build_gpt2

    builders = {"bert": build_bert, "electra": build_electra, "gpt2": build_gpt2}
    return builders[config.family](config, heads)


@pytest.mark.parametrize(
    ("config", "heads"),
    [(BERT, ()), (BERT, ("pooled", "masked")), (ELECTRA, ("replaced", "masked")), (GPT2, ("next_token",))],
)
def test_a_network_has_the_weights_that_arithmetic_says(config: TransformerConfig, heads: tuple[str, ...]) -> None:
    model = build(config, *heads)
    assert model.count_params() == config.parameters + sum(HEAD_PARAMETERS[head](config) for head in heads)
    assert set(model.output) == {"hidden", *heads}
    assert {tensor.name for tensor in model.inputs} == set(rows(config))


def test_published_sizes() -> None:
    base = {"num_layers": 12, "hidden_dim": 768, "num_heads": 12, "intermediate_dim": 3072}
    bert = TransformerConfig(
        family="bert", vocabulary_size=30522, max_positions=512, type_vocabulary_size=2, **base
    )  # fmt: skip
    gpt2 = TransformerConfig(family="gpt2", vocabulary_size=50257, max_positions=1024, **base)
    # As published: 109,482,240 with the pooler (bert-base-uncased), 124,439,808 (gpt2).
    assert bert.parameters + HEAD_PARAMETERS["pooled"](bert) == 109_482_240
    assert gpt2.parameters == 124_439_808


@pytest.mark.parametrize(
    "wrong",
    [
        {"num_heads": 3}, {"hidden_dim": 0}, {"vocabulary_size": 10**9}, {"activation": "sin"}, {"dropout": 1.0},
        {"layer_norm_epsilon": 0.0}, {"type_vocabulary_size": -1},
    ],
)  # fmt: skip
def test_sizes_that_make_no_network_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"must be"):
        dataclasses.replace(BERT, **wrong)


def test_attention_follows_its_equation_with_keys_of_another_length() -> None:
    from workers.architectures.custom_text import HeadedAttention

    rng = np.random.default_rng(1)
    query, key, value = (rng.normal(size=(2, length, 6)).astype(np.float32) for length in (3, 5, 5))
    mask = np.array([[1, 1, 1, 1, 1], [1, 1, 1, 0, 0]], np.int32)
    given = np.asarray(HeadedAttention(2)(query, key, value, mask))
    for row in range(2):
        for head in range(2):
            part = slice(3 * head, 3 * head + 3)
            scores = query[row, :, part] @ key[row, :, part].T / math.sqrt(3)
            shares = np.exp(scores) * mask[row]
            expected = shares / shares.sum(axis=1, keepdims=True) @ value[row, :, part]
            np.testing.assert_allclose(given[row, :, part], expected, atol=1e-5)


def test_activations_follow_their_equations() -> None:
    from workers.architectures.custom_text import gelu, gelu_tanh

    x = np.linspace(-6, 6, 101).astype(np.float32)
    exact = [value * 0.5 * math.erfc(-value / math.sqrt(2)) for value in x.tolist()]
    np.testing.assert_allclose(np.asarray(gelu(x)), exact, atol=1e-6)
    np.testing.assert_allclose(np.asarray(gelu_tanh(x)), exact, atol=5e-4)
    assert np.abs(np.asarray(gelu_tanh(x)) - exact).max() > 1e-4


def test_a_token_sees_nothing_of_what_comes_after() -> None:
    model = build(GPT2, "next_token")
    changed = {name: array.copy() for name, array in ROWS.items()}
    changed["token_ids"][0, 2:] = [9, 10]
    before, after = (np.asarray(model(given, training=False)["next_token"]) for given in (ROWS, changed))
    np.testing.assert_allclose(before[0, :2], after[0, :2], atol=1e-6)
    assert np.abs(before[0, 2:] - after[0, 2:]).max() > 1e-4


def test_projections_into_the_stream_start_smaller_by_the_number_of_additions() -> None:
    config = dataclasses.replace(GPT2, hidden_dim=64, num_heads=4, intermediate_dim=256, num_layers=8)
    model = build(config)
    deviations = {
        name: float(np.std(np.asarray(model.get_layer(f"decoder_3_{name}").kernel)))
        for name in ("attention_query", "attention_output", "feedforward_inner", "feedforward_output")
    }
    assert deviations["attention_query"] == pytest.approx(0.02, rel=0.05)
    assert deviations["feedforward_inner"] == pytest.approx(0.02, rel=0.05)
    assert deviations["attention_output"] == pytest.approx(0.02 / 4, rel=0.05)
    assert deviations["feedforward_output"] == pytest.approx(0.02 / 4, rel=0.05)


def test_no_two_weights_start_alike() -> None:
    model = build(BERT, "masked")
    kernels = [
        np.asarray(layer.kernel)
        for layer in model.layers
        if "attention_" in layer.name and layer.weights and hasattr(layer, "kernel")
    ]
    assert len(kernels) == 8
    assert len({kernel.tobytes() for kernel in kernels}) == 8


def test_embeddings_are_shared_where_an_encoder_is_given_them() -> None:
    import keras

    from workers.architectures.bert import build_encoder

    first = build_encoder(ELECTRA)
    second = build_encoder(dataclasses.replace(ELECTRA, hidden_dim=4, num_heads=1, num_layers=1), first.tokens)
    generator = keras.Model(second.inputs, second.hidden)
    assert any(weight is first.tokens.embeddings for weight in generator.weights)


@pytest.mark.parametrize("config", [BERT, GPT2])
@pytest.mark.parametrize("jit", [False, True])
def test_it_learns_and_its_dropout_is_off_when_it_answers(config: TransformerConfig, jit: bool, tmp_path: Path) -> None:
    import keras

    keras.utils.set_random_seed(3)
    head = "masked" if config.family == "bert" else "next_token"
    model = build(config, head)
    network = keras.Model(model.input, model.output[head])
    network.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True), jit_compile=jit)
    network.optimizer.learning_rate = 0.01
    given = rows(config)
    targets = np.array([[4, 5, 6, 7], [8, 9, 1, 1]], np.int32)
    history = network.fit(given, targets, epochs=40, verbose=0).history["loss"]
    assert history[-1] < 0.5 * history[0]
    first, second = (np.asarray(network(given, training=False)) for _ in range(2))
    np.testing.assert_array_equal(first, second)
    assert np.abs(np.asarray(network(given, training=True)) - first).max() > 1e-3


def test_in_half_precision_scores_and_answers_are_single(tmp_path: Path) -> None:
    import keras

    keras.mixed_precision.set_global_policy("mixed_bfloat16")
    try:
        model = build(BERT, "masked")
    finally:
        keras.mixed_precision.set_global_policy("float32")
    assert model.get_layer("encoder_0_attention_query").compute_dtype == "bfloat16"
    outputs = model(rows(BERT), training=False)
    assert {str(keras.backend.standardize_dtype(output.dtype)) for output in outputs.values()} == {"float32"}
    single = build(BERT, "masked")
    single.set_weights(model.get_weights())
    for name, output in single(rows(BERT), training=False).items():
        np.testing.assert_allclose(np.asarray(outputs[name]), np.asarray(output), atol=0.1)
