"""Each layer against its equation in NumPy, after a save and a load, and compiled."""

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytestmark = pytest.mark.recipes

NUMBERS = np.array([[-3.0, 5.0], [0.25, 1.0], [1.5, 0.0], [99.0, 0.5]], np.float32)
EDGES = [[-1.0, 0.0, 0.5, 2.0], [0.0, 1.0]]


def _weights(layer: Any, seed: int) -> None:
    rng = np.random.default_rng(seed)
    layer.set_weights([rng.normal(size=weight.shape).astype("float32") for weight in layer.weights])


def test_piecewise_linear_embedding_follows_its_equation() -> None:
    from workers.architectures.custom import PiecewiseLinearEmbedding

    layer = PiecewiseLinearEmbedding(EDGES, 5)
    layer(NUMBERS)
    _weights(layer, 3)
    slope, kernel, bias = layer.get_weights()
    given = np.asarray(layer(NUMBERS))
    for row in range(4):
        for column, edges in enumerate(EDGES):
            x = NUMBERS[row, column]
            bent = np.zeros(5)
            for bin_number, (low, high) in enumerate(itertools.pairwise(edges)):
                bent += np.clip((x - low) / (high - low), 0, 1) * kernel[column, bin_number]
            position = (np.clip(x, edges[0], edges[-1]) - np.mean(edges)) / np.std(edges)
            expected = position * slope[column] + bent + bias[column]
            np.testing.assert_allclose(given[row, column], expected, atol=1e-5)


def test_piecewise_linear_embedding_starts_straight_and_stays_where_training_was() -> None:
    from workers.architectures.custom import PiecewiseLinearEmbedding

    layer = PiecewiseLinearEmbedding([[-1.0, 0.0, 0.5, 2.0]], 4)
    line = np.asarray(layer(np.linspace(-1, 2, 7, dtype="float32")[:, None]))[:, 0]
    np.testing.assert_allclose(np.diff(line, n=2, axis=0), 0.0, atol=1e-6)
    _weights(layer, 3)
    inside, outside = np.array([[-1.0], [2.0]], np.float32), np.array([[-1e30], [1e30]], np.float32)
    np.testing.assert_array_equal(np.asarray(layer(inside)), np.asarray(layer(outside)))


@pytest.mark.parametrize("edges", [[[0.0]], [[0.0, 1.0, 1.0]], [[1.0, 0.0]]])
def test_edges_that_are_no_bins_are_refused(edges: list[list[float]]) -> None:
    from workers.architectures.custom import PiecewiseLinearEmbedding

    with pytest.raises(ValueError, match=r"edges\[0\]"):
        PiecewiseLinearEmbedding(edges, 4)


def test_periodic_encoding_follows_its_equation() -> None:
    from workers.architectures.custom import PeriodicEncoding

    layer = PeriodicEncoding(5, sigma=0.3)
    encoded = np.asarray(layer(NUMBERS[:3]))
    angles = 2 * np.pi * np.asarray(layer.get_weights()[0])[None] * NUMBERS[:3, :, None]
    np.testing.assert_allclose(encoded, np.concatenate([np.sin(angles), np.cos(angles)], axis=-1), atol=1e-5)


def test_members_of_a_dense_layer_are_networks_of_their_own() -> None:
    """Member k is the dense layer with the kernel diag(r[k]) · W · diag(s[k]); a wide first layer has no r."""
    from workers.architectures.custom import EnsembleDense

    rng = np.random.default_rng(0)
    same, each = rng.normal(size=(6, 4)).astype("float32"), rng.normal(size=(6, 3, 4)).astype("float32")
    first, wide, later = (EnsembleDense(5, 3, signs) for signs in ("inner", "outer", "none"))
    for layer, inputs in ((first, same), (wide, same), (later, each)):
        layer(inputs)
        _weights(layer, 1)
        given = np.asarray(layer(inputs))
        weights = {weight.name: np.asarray(weight) for weight in layer.weights}
        assert ("inner_scale" in weights) == (layer is not wide)
        for member in range(3):
            inner = np.ones(4) if layer is wide else weights["inner_scale"][member]
            own = np.diag(inner) @ weights["kernel"] @ np.diag(weights["outer_scale"][member])
            seen = inputs[:, member] if layer is later else inputs
            np.testing.assert_allclose(given[:, member], seen @ own + weights["bias"][member], atol=1e-5)


def test_the_first_layer_makes_the_members_differ_and_the_others_do_not() -> None:
    from workers.architectures.custom import EnsembleDense

    first, wide, later = (EnsembleDense(20, 8, signs) for signs in ("inner", "outer", "none"))
    first.build((None, 20))
    wide.build((None, 20))
    later.build((None, 8, 20))
    for signs in (np.asarray(first.inner_KD), np.asarray(wide.outer_KU)):
        assert set(np.unique(signs)) == {-1.0, 1.0}
        assert len(np.unique(signs, axis=0)) == 8
    assert np.unique(np.asarray(later.inner_KD)).tolist() == np.unique(np.asarray(later.outer_KU)).tolist() == [1.0]


def test_heads_and_column_layers_are_products_of_their_own() -> None:
    from workers.architectures.custom import ColumnwiseDense, MemberDense

    inputs = np.random.default_rng(0).normal(size=(6, 3, 4)).astype("float32")
    for layer in (MemberDense(2), ColumnwiseDense(2)):
        layer(inputs)
        _weights(layer, 2)
        kernel, bias = layer.get_weights()
        expected = np.stack([inputs[:, index] @ kernel[index] + bias[index] for index in range(3)], axis=1)
        np.testing.assert_allclose(np.asarray(layer(inputs)), expected, atol=1e-5)


def test_category_columns_share_a_table_without_sharing_rows() -> None:
    from workers.architectures.custom import ColumnOffsets, OneHotColumns

    ids = np.array([[0, 0], [2, 3]], np.int32)
    assert np.asarray(ColumnOffsets([3, 4])(ids)).tolist() == [[0, 3], [2, 6]]
    assert np.asarray(OneHotColumns([3, 4])(ids)).tolist() == [[1, 0, 0, 1, 0, 0, 0], [0, 0, 1, 0, 0, 0, 1]]


def test_one_chance_becomes_two() -> None:
    from workers.architectures.custom import BothClasses

    np.testing.assert_allclose(np.asarray(BothClasses()(np.array([[0.25]], np.float32))), [[0.75, 0.25]])


def test_every_layer_survives_a_file_and_compiles(tmp_path: Path) -> None:
    import keras
    import tensorflow as tf

    from workers.architectures import custom

    numbers = keras.Input((2,), dtype="float32", name="numbers")
    categories = keras.Input((2,), dtype="int32", name="categories")
    bins = custom.PiecewiseLinearEmbedding(EDGES, 3)(numbers)
    waves = custom.ColumnwiseDense(3)(custom.PeriodicEncoding(2)(numbers))
    codes = custom.OneHotColumns([3, 4])(categories)
    table = keras.layers.Embedding(7, 2)(custom.ColumnOffsets([3, 4])(categories))
    flat = [keras.layers.Flatten()(part) for part in (bins, waves, codes, table)]
    members = custom.EnsembleDense(4, 3, "inner")(keras.layers.Concatenate()(flat))
    chance = keras.layers.GlobalAveragePooling1D()(custom.MemberDense(1)(members))
    model = keras.Model([numbers, categories], custom.BothClasses()(chance))

    ids = np.array([[0, 0], [2, 3], [1, 1], [2, 2]], np.int32)
    before = np.asarray(model([NUMBERS, ids]))
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras", safe_mode=True)
    np.testing.assert_array_equal(np.asarray(again([NUMBERS, ids])), before)
    compiled = tf.function(lambda x, c: model([x, c]), jit_compile=True)
    np.testing.assert_allclose(compiled(tf.constant(NUMBERS), tf.constant(ids)).numpy(), before, atol=1e-5)
