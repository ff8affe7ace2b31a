"""Models as graphs: what the manifest says of their layers, and tracing them anew."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.intake.checkpoints import CONFIGS, checkpoint_files, inspect, random_tensors, zip_files

pytestmark = pytest.mark.recipes


def described(model: Any) -> dict[str, dict[str, Any]]:
    from workers.architectures.graph import describe_layers

    return {layer["name"]: layer for layer in describe_layers(model)}


def test_layers_are_told_with_what_they_read_and_give() -> None:
    import keras

    image = keras.Input((None, None, 3), name="image")
    x = keras.layers.Conv2D(4, 3, name="conv", activation="relu")(image)
    x = keras.layers.BatchNormalization(name="norm")(x)
    y = keras.layers.Add(name="sum")([x, keras.layers.Activation("tanh", name="tanh")(x)])
    model = keras.Model(image, keras.layers.Dense(2, "softmax", name="out")(keras.ops.mean(y, axis=(1, 2))))
    layers = described(model)
    assert next(iter(layers)) == "image"
    assert (layers["conv"]["shape"], layers["conv"]["activation"]) == ([-1, -1, 4], "relu")
    assert layers["conv"]["parameters"] == 4 * 28
    # Moving statistics are no parameters that are trained.
    assert (layers["norm"]["parameters"], layers["norm"]["trainable"]) == (16, 8)
    assert set(layers["sum"]["inputs"]) == {"norm", "tanh"}
    assert sum(layer["parameters"] for layer in layers.values()) == model.count_params()
    assert all(name in layers for layer in layers.values() for name in layer["inputs"])


def test_a_layer_that_is_called_twice_has_no_single_output() -> None:
    import keras

    first, second = keras.Input((4,), name="first"), keras.Input((4,), name="second")
    shared = keras.layers.Dense(3, name="shared")
    model = keras.Model([first, second], keras.layers.Add(name="sum")([shared(first), shared(second)]))
    layers = described(model)
    assert layers["shared"]["shape"] is None
    assert set(layers["shared"]["inputs"]) == {"first", "second"}
    assert layers["shared"]["kernels"] == [[4, 3]]


def test_models_within_models_and_attention_have_their_kernels() -> None:
    import keras

    inner = keras.Sequential([keras.Input((8,)), keras.layers.Dense(6), keras.layers.Dense(4)], name="inner")
    texts = keras.Input((5, 8), name="texts")
    attended = keras.layers.MultiHeadAttention(2, 3, name="attention")(texts, texts)
    pooled = keras.layers.GlobalAveragePooling1D(name="pool")(attended)
    layers = described(keras.Model(texts, inner(pooled)))
    assert layers["inner"]["kernels"] == [[8, 6], [6, 4]]
    assert sorted(layers["attention"]["kernels"]) == [[2, 3, 8], [8, 2, 3], [8, 2, 3], [8, 2, 3]]


def test_tracing_gives_what_the_model_gives_and_it_stays_as_it_was(tmp_path: Path) -> None:
    import keras

    from workers.architectures.graph import trace

    model = keras.Sequential([keras.layers.Dense(4, "tanh"), keras.layers.Dropout(0.5), keras.layers.Dense(2)])
    model.build((None, 3))
    entered = keras.Input((3,), name="x")
    again = keras.Model({"x": entered}, trace(model, [entered])[-1].outputs[0])
    rows = np.random.default_rng(0).normal(size=(5, 3)).astype(np.float32)
    np.testing.assert_array_equal(np.asarray(again({"x": rows})), np.asarray(model(rows)))
    model.save(tmp_path / "model.keras")
    opened = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(np.asarray(opened(rows)), np.asarray(model(rows)))


@pytest.mark.parametrize("family", ["bert", "gpt2"])
def test_text_models_can_be_cut_and_adapted_too(family: str, tmp_path: Path) -> None:
    from workers.intake.load_huggingface import load_checkpoint

    path = zip_files(
        tmp_path / "model.zip", checkpoint_files(family, CONFIGS[family], random_tensors(family, CONFIGS[family]))
    )
    model = load_checkpoint(inspect(path)).loaded.model
    layers = described(model)
    queries = [name for name in layers if name.endswith("_query")]
    assert queries
    assert all(layers[name]["kernels"] for name in queries)
    assert sum(layer["parameters"] for layer in layers.values()) == model.count_params()
