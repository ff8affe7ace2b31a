"""Small networks of every layer that is taken in, by name; made by Keras, so import only where TensorFlow may be."""

from collections.abc import Callable
from typing import Any

import keras
from keras import layers, ops


def _one(shape: tuple[int | None, ...], *stack: Any) -> Any:
    inputs = keras.Input(shape, name="entry")
    tensor = inputs
    for layer in stack:
        tensor = layer(tensor)
    return keras.Model(inputs, tensor)


def _two(left: tuple[int | None, ...], right: tuple[int | None, ...], call: Callable[[Any, Any], Any]) -> Any:
    a, b = keras.Input(left, name="left"), keras.Input(right, name="right")
    return keras.Model([a, b], call(a, b))


def _shared() -> Any:
    a, b = keras.Input((5,), name="left"), keras.Input((5,), name="right")
    dense = layers.Dense(3, name="both")
    return keras.Model([a, b], layers.Add()([dense(a), dense(b)]))


def _nested() -> Any:
    inner = keras.Sequential([keras.Input((6,)), layers.Dense(4, activation="relu"), layers.Dense(2)], name="inner")
    branch = keras.Input((6,), name="b")
    outer = keras.Model(branch, [layers.Dense(3)(branch), inner(branch)], name="outer")
    inputs = keras.Input((6,), name="entry")
    first, second = outer(inputs)
    again, _ = outer(layers.Dense(6)(inputs))
    return keras.Model(inputs, [layers.Concatenate()([first, second]), again])


def _operations() -> Any:
    x, y = keras.Input((4, 6), name="x"), keras.Input((4, 6), name="y")
    a = x + y * 2.0
    last, mean = a[:, -1], ops.mean(a, axis=1)
    joined = ops.relu(ops.concatenate([last, mean], axis=-1))
    return keras.Model(
        [x, y],
        [
            ops.reshape(a, (-1, 24)), a[:, 1:3, ..., None], ops.max(ops.expand_dims(joined, 1), axis=-1, keepdims=True),
            ops.where(last > 0, last, mean), ops.matmul(a, ops.transpose(a, (0, 2, 1))), *ops.split(a, 2, axis=1),
            ops.stack([last, mean], axis=1), ops.squeeze(a[:, :1], axis=1), ops.clip(a, 0.0, 1.0),
            ops.one_hot(ops.argmax(a, axis=-1), 6), ops.repeat(a, 3, axis=2), ops.softmax(a / 2.0), -a,
            ops.pad(a, ((0, 0), (1, 0), (2, 2))), ops.tile(a, (1, 2, 1)), ops.top_k(a, 2)[0], ops.flip(a, axis=1),
        ],
    )  # fmt: skip


def _states() -> Any:
    sequence, start = keras.Input((7, 3), name="sequence"), keras.Input((4,), name="start")
    output, hidden, cell = layers.LSTM(4, return_state=True, return_sequences=True)(
        sequence, initial_state=[start, start]
    )
    return keras.Model([sequence, start], [output, hidden, cell])


def _image(*stack: Any) -> Callable[[], Any]:
    return lambda: _one((12, 10, 3), *stack)


NETWORKS: dict[str, Callable[[], Any]] = {
    "dense": lambda: _one((5,), layers.Dense(4, activation="relu"), layers.Dense(3, use_bias=False)),
    "dense on steps": lambda: _one((7, 5), layers.Dense(4, kernel_regularizer="l2", kernel_constraint="max_norm")),
    "embedding": lambda: _one((9,), layers.Embedding(20, 6, mask_zero=True), layers.GlobalAveragePooling1D()),
    "activations": lambda: _one(
        (6, 4), layers.Activation("gelu"), layers.ReLU(6.0), layers.LeakyReLU(0.1), layers.ELU(), layers.Softmax(),
        layers.PReLU(shared_axes=[1]), layers.PReLU(),
    ),
    "regularisation": lambda: _one(
        (6, 4), layers.Dropout(0.2, seed=3), layers.AlphaDropout(0.1), layers.GaussianDropout(0.1),
        layers.GaussianNoise(0.1), layers.SpatialDropout1D(0.1), layers.ActivityRegularization(l2=0.1),
        layers.Identity(), layers.Masking(),
    ),
    "convolution 1": lambda: _one(
        (20, 3), layers.Conv1D(6, 3, padding="causal", dilation_rate=2), layers.SeparableConv1D(4, 3, strides=2),
        layers.DepthwiseConv1D(3, depth_multiplier=2), layers.MaxPooling1D(2), layers.Conv1DTranspose(5, 4, strides=3),
    ),
    "convolution 2": lambda: _one(
        (12, 10, 4), layers.Conv2D(8, (3, 2), strides=(2, 1), padding="same", groups=2), layers.SeparableConv2D(5, 3),
        layers.DepthwiseConv2D(2, padding="same"), layers.AveragePooling2D((2, 2), padding="same"),
        layers.Conv2DTranspose(3, 3, strides=2, padding="same", output_padding=1),
        layers.Conv2DTranspose(3, 3, strides=2),
    ),
    "convolution 3": lambda: _one(
        (6, 6, 6, 2), layers.Conv3D(3, 2), layers.MaxPooling3D(2), layers.Conv3DTranspose(2, 3),
        layers.GlobalMaxPooling3D(keepdims=True),
    ),
    "images of any size": lambda: _one(
        (None, None, 3), layers.Conv2D(4, 3), layers.BatchNormalization(), layers.MaxPooling2D(),
        layers.GlobalAveragePooling2D(), layers.Dense(2),
    ),
    "padding and cropping": _image(
        layers.ZeroPadding2D(((1, 2), (0, 3))), layers.Cropping2D(2), layers.UpSampling2D((2, 1)),
        layers.Reshape((-1, 3)), layers.ZeroPadding1D((1, 0)), layers.Cropping1D(1), layers.UpSampling1D(3),
    ),
    "padding of volumes": lambda: _one(
        (4, 4, 4, 1), layers.ZeroPadding3D(1), layers.Cropping3D(((0, 1), (1, 0), (1, 1))), layers.UpSampling3D(2)
    ),
    "reshaping": lambda: _one(
        (6, 4), layers.Permute((2, 1)), layers.Flatten(), layers.RepeatVector(3), layers.Reshape((2, -1))
    ),
    "normalisation": _image(
        layers.BatchNormalization(scale=False), layers.LayerNormalization(axis=[1, 2]),
        layers.GroupNormalization(groups=3), layers.UnitNormalization(), layers.RMSNormalization(),
        layers.LayerNormalization(center=False),
    ),
    "images": _image(
        layers.Rescaling(1 / 255.0, offset=-0.5), layers.RandomFlip("horizontal"), layers.RandomRotation(0.1),
        layers.RandomZoom(0.1), layers.RandomTranslation(0.1, 0.1), layers.RandomContrast(0.1),
        layers.RandomBrightness(0.1), layers.Resizing(8, 7), layers.CenterCrop(6, 6), layers.RandomCrop(4, 4),
        layers.Normalization(mean=[0.1, 0.2, 0.3], variance=[1.0, 1.0, 1.0]),
    ),
    "adapted normalisation": lambda: _one((5,), layers.Normalization()),
    "recurrent": lambda: _one(
        (8, 3), layers.SimpleRNN(4, return_sequences=True), layers.GRU(5, return_sequences=True),
        layers.GRU(5, reset_after=False, return_sequences=True), layers.LSTM(6),
    ),
    "sequences of any length": lambda: _one((None, 3), layers.LSTM(4, return_sequences=True), layers.Dense(2)),
    "both ways": lambda: _one(
        (8, 3), layers.Bidirectional(layers.LSTM(4, return_sequences=True)),
        layers.Bidirectional(layers.GRU(3, return_sequences=True), merge_mode="sum"),
        layers.Bidirectional(layers.SimpleRNN(3)),
    ),
    "states": _states,
    "cells": lambda: _one(
        (8, 3), layers.RNN(layers.LSTMCell(4), return_sequences=True),
        layers.RNN([layers.GRUCell(5), layers.SimpleRNNCell(2)]),
    ),
    "distributed": lambda: _one(
        (5, 8, 8, 2), layers.TimeDistributed(layers.Conv2D(3, 3)), layers.TimeDistributed(layers.Flatten()),
        layers.TimeDistributed(layers.Dense(4)),
    ),
    "convolutional recurrent": lambda: _one(
        (3, 8, 8, 2), layers.ConvLSTM2D(4, 3, return_sequences=True), layers.ConvLSTM2D(2, 3, padding="same")
    ),
    "attention": lambda: _two(
        (6, 8), (5, 8), lambda a, b: [
            layers.MultiHeadAttention(2, 3, value_dim=4)(a, b), layers.Attention(use_scale=True)([a, b]),
            layers.AdditiveAttention()([a, b]), layers.GroupQueryAttention(4, 4, 2)(a, b),
            layers.MultiHeadAttention(2, 3, output_shape=5)(a, b, key=b, use_causal_mask=True),
        ],
    ),
    "merging": lambda: _two(
        (4, 6), (4, 6), lambda a, b: [
            layers.Add()([a, b]), layers.Subtract()([a, b]), layers.Multiply()([a, b]), layers.Average()([a, b]),
            layers.Maximum()([a, b]), layers.Minimum()([a, b]), layers.Concatenate(axis=1)([a, b]),
            layers.Concatenate()([a, b]), layers.Dot(axes=2)([a, b]), layers.Dot(axes=(1, 1), normalize=True)([a, b]),
        ],
    ),
    "a layer twice": _shared,
    "models within models": _nested,
    "operations": _operations,
    "sequential": lambda: keras.Sequential(
        [keras.Input((4,), name="entry"), layers.Dense(3), layers.Activation("tanh"), layers.Dense(2)]
    ),
    "activations as layers": lambda: _one((5,), layers.Dense(4, activation=layers.LeakyReLU(0.2)), layers.Dense(2)),
}  # fmt: skip
