"""Gradients in ONNX are those of TensorFlow, for every layer whose gradient is written by hand."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from app.inference.explain.gradient_graph import GradientGraph

pytestmark = pytest.mark.recipes


def convolutional(keras: Any) -> Any:
    layers = keras.layers
    image = keras.Input((9, 8, 2), name="x")
    x = layers.Conv2D(4, 3, padding="same")(image)
    x = layers.BatchNormalization()(x)
    x = layers.ReLU()(x)
    x = layers.MaxPooling2D(2, padding="same")(x)
    x = layers.SeparableConv2D(4, 3, strides=2, padding="same", depth_multiplier=2, activation="gelu")(x)
    x = layers.AveragePooling2D(2, padding="same")(x)
    x = layers.LayerNormalization()(layers.Flatten()(x))
    return keras.Model(image, layers.Dense(3, activation="softmax")(x))


def valid(keras: Any) -> Any:
    layers = keras.layers
    image = keras.Input((11, 10, 1), name="x")
    x = layers.DepthwiseConv2D(2, strides=3, activation="leaky_relu")(image)
    x = layers.Concatenate()([layers.AveragePooling2D(2)(x), layers.MaxPooling2D(2, strides=2)(x)])
    x = layers.GlobalAveragePooling2D()(layers.Conv2D(3, 1, activation="elu")(x))
    return keras.Model(image, layers.Dense(1, activation="sigmoid")(x))


def overlapping(keras: Any) -> Any:
    layers = keras.layers
    image = keras.Input((7, 7, 1), name="x")
    x = layers.Conv2D(3, 3, dilation_rate=2, padding="same")(image)
    skipping = layers.Conv2D(3, 1, strides=2, padding="same")(x)
    x = layers.Add()([layers.MaxPooling2D(3, strides=2, padding="same")(x), skipping])
    x = layers.DepthwiseConv2D(3, dilation_rate=2, padding="same", activation="swish")(x)
    return keras.Model(image, layers.Dense(2)(layers.GlobalMaxPooling2D()(x)))


def dense(activation: str) -> Callable[[Any], Any]:
    def build(keras: Any) -> Any:
        row = keras.Input((6,), name="x")
        x = keras.layers.Dense(5, activation=activation)(row)
        return keras.Model(row, keras.layers.Dense(2, activation="tanh")(x))

    return build


ACTIVATIONS = [
    "relu",
    "relu6",
    "elu",
    "selu",
    "softplus",
    "softsign",
    "sigmoid",
    "tanh",
    "gelu",
    "silu",
    "hard_sigmoid",
]


@pytest.mark.parametrize(
    "build",
    [convolutional, valid, overlapping, *map(dense, ACTIVATIONS)],
    ids=["convolutional", "valid", "overlapping", *ACTIVATIONS],
)
def test_the_graph_gives_what_tensorflow_gives(build: Callable[[Any], Any], tmp_path: Path) -> None:
    import keras
    import tensorflow as tf

    from app.preprocessing.fitted import TensorSpec
    from workers.trainer.explain_graph import write_gradients

    keras.utils.set_random_seed(4)
    model = build(keras)
    shape, outputs = model.inputs[0].shape[1:], model.outputs[0].shape[-1]
    specs = [TensorSpec("x", "float32", tuple(shape))]
    path = tmp_path / "explain.onnx"
    assert write_gradients(lambda given: model(given[0], training=False), path, specs, outputs, model.count_params())
    rows = np.random.default_rng(0).normal(size=(20, *shape)).astype(np.float32)
    weights = np.random.default_rng(1).normal(size=(20, outputs))
    given = tf.constant(rows)
    with tf.GradientTape() as tape:
        tape.watch(given)
        answer = model(given, training=False)
    wanted = np.asarray(tape.gradient(answer, given, tf.constant(weights, tf.float32))).reshape(20, -1)
    found = GradientGraph(path, ["x"]).run({"x": rows}, weights)
    np.testing.assert_allclose(found, wanted, rtol=1e-3, atol=1e-5)


def test_what_cannot_be_expressed_leaves_no_file(tmp_path: Path) -> None:
    import keras

    from app.preprocessing.fitted import TensorSpec
    from workers.trainer.explain_graph import write_gradients

    row = keras.Input((5, 3), name="x")
    model = keras.Model(row, keras.layers.Dense(2)(keras.layers.GRU(4)(row)))
    path = tmp_path / "explain.onnx"
    specs = [TensorSpec("x", "float32", (5, 3))]
    assert not write_gradients(lambda given: model(given[0], training=False), path, specs, 2, 100)
    assert not path.exists()
