"""Networks for text: of the size that was told, what pads counts nothing, and the folded table says the same."""

from typing import Any

import numpy as np
import pytest

from app.preprocessing.ngrams import IDS, WEIGHTS
from app.preprocessing.text import MASK, TOKENS
from app.recipes.text_counts import count_cnn, count_ngrams

pytestmark = pytest.mark.recipes

CNN: dict[str, Any] = {
    "embedding_width": 6, "filter_widths": [2, 3], "filters": 4, "dropout": 0.5, "max_length": 64,
}  # fmt: skip
RNG = np.random.default_rng(0)
RATIOS = np.concatenate([np.zeros((1, 3)), RNG.normal(size=(19, 3))]).astype(np.float32)


def ngrams(width: int | None, task: Any = "classification") -> Any:
    from workers.architectures.ngrams import build_ngrams

    return build_ngrams({"width": width}, RATIOS, task, l2=0.01, dropout=0.0)


@pytest.mark.parametrize("width", [None, 5])
def test_ngrams_have_the_parameters_that_were_counted(width: int | None) -> None:
    built = ngrams(width)
    trained = sum(int(np.prod(v.shape)) for v in built.training_model.trainable_variables)
    assert trained == count_ngrams({"width": width}, 20, 3, 64).parameters
    assert built.export().count_params() == trained


@pytest.mark.parametrize("width", [None, 5])
def test_the_folded_table_gives_the_same_answers(width: int | None) -> None:
    built = ngrams(width)
    for variable in built.training_model.trainable_variables:
        variable.assign(RNG.normal(size=variable.shape))
    rows = {IDS: RNG.integers(0, 20, (4, 7)).astype(np.int32), WEIGHTS: RNG.random((4, 7)).astype(np.float32)}
    np.testing.assert_allclose(built.export()(rows), built.serving_model(rows), atol=1e-6)


def test_scores_are_sums_of_weights_times_table_times_ratios() -> None:
    built = ngrams(None)
    table, bias = RNG.normal(size=(20, 3)), np.array([0.1, -0.2, 0.3])
    trainable = {v.name: v for v in built.training_model.trainable_variables}
    trainable["embeddings"].assign(table)
    trainable["bias"].assign(bias)
    rows = {IDS: np.array([[3, 7, 0]], np.int32), WEIGHTS: np.array([[0.5, 2.0, 0.0]], np.float32)}
    expected = 0.5 * table[3] * RATIOS[3] + 2.0 * table[7] * RATIOS[7] + bias
    np.testing.assert_allclose(np.asarray(built.training_model(rows))[0], expected, atol=1e-5)
    # Before anything is learned every class is as likely as the others, and the table costs nothing.
    untrained = ngrams(None)
    np.testing.assert_allclose(untrained.serving_model(rows), np.full((1, 3), 1 / 3), atol=1e-6)
    assert float(untrained.training_model.losses[0]) == 0.0


def test_labels_are_told_independently() -> None:
    rows = {IDS: np.array([[3]], np.int32), WEIGHTS: np.array([[1.0]], np.float32)}
    np.testing.assert_allclose(ngrams(None, "multilabel").serving_model(rows), np.full((1, 3), 0.5), atol=1e-6)


def test_the_convolutions_have_the_parameters_that_were_counted() -> None:
    from workers.architectures.text_cnn import build_text_cnn

    built = build_text_cnn(CNN, 30, 3, "classification")
    assert built.serving_model.count_params() == count_cnn(CNN, 30, 3).parameters


@pytest.mark.parametrize("length", [1, 2, 9])
def test_what_pads_counts_nothing_in_convolutions(length: int) -> None:
    from workers.architectures.text_cnn import build_text_cnn

    model = build_text_cnn(CNN, 30, 3, "classification").serving_model
    tokens = RNG.integers(1, 30, (1, length)).astype(np.int32)
    alone = model({TOKENS: tokens, MASK: np.ones_like(tokens)})
    padded = np.concatenate([tokens, np.full((1, 8), 5, np.int32)], axis=1)
    mask = np.concatenate([np.ones_like(tokens), np.zeros((1, 8), np.int32)], axis=1)
    np.testing.assert_allclose(model({TOKENS: padded, MASK: mask}), alone, atol=1e-6)


def test_the_largest_value_over_the_text_is_what_counts() -> None:
    from workers.architectures.text_cnn import build_text_cnn

    model = build_text_cnn(CNN, 30, 3, "classification").serving_model
    layers = {layer.name: [np.asarray(weight) for weight in layer.get_weights()] for layer in model.layers}
    tokens = RNG.integers(1, 30, (1, 6)).astype(np.int32)
    embedded = layers["embedding"][0][tokens[0]]
    found = []
    for size in CNN["filter_widths"]:
        kernel, bias = layers[f"conv_{size}"]
        before = (size - 1) // 2
        framed = np.pad(embedded, ((before, size - 1 - before), (0, 0)))
        values = [np.einsum("kd,kdf->f", framed[at : at + size], kernel) + bias for at in range(6)]
        found.append(np.maximum(values, 0.0).max(axis=0))
    kernel, bias = layers["output"]
    scores = np.concatenate(found) @ kernel + bias
    chances = np.exp(scores) / np.exp(scores).sum()
    answer = np.asarray(model({TOKENS: tokens, MASK: np.ones_like(tokens)}))[0]
    np.testing.assert_allclose(answer, chances, atol=1e-5)
