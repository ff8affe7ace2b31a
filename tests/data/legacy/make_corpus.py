"""Writes model files of every kind of layer as one version of Keras writes them, with what it computes. See README.md.

Run in an environment that has that version: `python make_corpus.py tf_keras keras2.zip`, or with `keras` for Keras 3.
"""

import importlib
import io
import sys
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

keras = importlib.import_module(sys.argv[1])
IS_KERAS2 = sys.argv[1] == "tf_keras"
L = keras.layers
Sequential, Model, Input = keras.Sequential, keras.Model, keras.Input
CASES: dict[str, Callable[[], Any]] = {}
INTEGERS = 9


def case(build: Callable[[], Any]) -> Callable[[], Any]:
    CASES[build.__name__] = build
    return build


def case_of_keras2(build: Callable[[], Any]) -> Callable[[], Any]:
    return case(build) if IS_KERAS2 else build


@case
def dense_activations() -> Any:
    names = ["relu", "hard_sigmoid", "swish", "gelu", "elu", "selu", "softplus", "softsign", "exponential", "mish"]
    x = Input((5,))
    return Model(x, [L.Dense(3, activation=name)(x) for name in names])


@case
def advanced_activations() -> Any:
    x = Input((4, 6))
    layers = [L.LeakyReLU(), L.LeakyReLU(0.05), L.PReLU(shared_axes=[1]), L.ELU(0.7)]
    layers += [L.ThresholdedReLU(0.4) if IS_KERAS2 else L.ReLU(threshold=0.4)]
    layers += [
        L.ReLU(max_value=1.0, negative_slope=0.1, threshold=0.2),
        L.Softmax(axis=1),
        L.Activation("hard_sigmoid"),
    ]
    return Model(x, L.Concatenate()([layer(x) for layer in layers]))


@case
def activation_that_is_a_layer() -> Any:
    layers = [L.Dense(4, activation=L.LeakyReLU(alpha=0.3), input_shape=(3,)), L.Dense(2, activation=L.ReLU(6.0))]
    return Sequential(layers)


@case
def functional_activation_that_is_a_layer() -> Any:
    x = Input((3,))
    y = L.Dense(4, activation=L.LeakyReLU(alpha=0.3))(x)
    return Model(x, [L.Dense(2, activation=L.ReLU(1.0))(y), y])


@case
def conv1d() -> Any:
    return Sequential(
        [
            L.Conv1D(4, 3, padding="causal", dilation_rate=2, activation="relu", input_shape=(12, 3)),
            L.SeparableConv1D(5, 3, depth_multiplier=2, padding="same"),
            L.DepthwiseConv1D(3, padding="same"),
            L.ZeroPadding1D(2),
            L.Conv1DTranspose(3, 3, strides=2, padding="same"),
            L.Cropping1D((1, 2)),
            L.UpSampling1D(2),
            L.MaxPooling1D(2),
            L.AveragePooling1D(2, padding="same"),
            L.SpatialDropout1D(0.3),
            L.GlobalMaxPooling1D(),
        ]
    )


@case
def conv2d() -> Any:
    return Sequential(
        [
            L.Conv2D(4, (3, 2), strides=(2, 1), padding="same", use_bias=False, input_shape=(13, 11, 3)),
            L.BatchNormalization(),
            L.Activation("relu"),
            L.DepthwiseConv2D(3, depth_multiplier=2, padding="same", activation="relu"),
            L.SeparableConv2D(6, 3, padding="same", pointwise_regularizer="l2"),
            L.Conv2D(6, 3, groups=2, dilation_rate=2, padding="same"),
            L.ZeroPadding2D(((1, 2), (0, 1))),
            L.Conv2DTranspose(4, 3, strides=2, padding="valid", output_padding=1 if IS_KERAS2 else None),
            L.Cropping2D(((1, 0), (2, 1))),
            L.UpSampling2D(2, interpolation="bilinear"),
            L.MaxPooling2D(2),
            L.AveragePooling2D(3, strides=2, padding="same"),
            L.SpatialDropout2D(0.3),
            L.Flatten(),
            L.Dense(3, activation="softmax"),
        ]
    )


@case
def conv2d_transposed_same() -> Any:
    x = Input((5, 6, 2))
    y = L.Conv2DTranspose(3, 4, strides=2, padding="same", activation="hard_sigmoid")(x)
    return Model(x, L.GlobalMaxPooling2D(keepdims=True)(y))


@case
def conv3d() -> Any:
    return Sequential(
        [
            L.Conv3D(3, 2, input_shape=(6, 5, 4, 2), activation="relu"),
            L.MaxPooling3D((2, 1, 1)),
            L.ZeroPadding3D(1),
            L.Conv3DTranspose(2, 2, strides=2),
            L.Cropping3D(1),
            L.UpSampling3D((1, 2, 1)),
            L.AveragePooling3D(2),
            L.SpatialDropout3D(0.1),
            L.GlobalAveragePooling3D(),
        ]
    )


@case
def channels_first_pooling() -> Any:
    x = Input((3, 8, 8))
    return Model(x, [L.GlobalAveragePooling2D(data_format="channels_first")(x), L.Flatten("channels_first")(x)])


@case
def normalisations() -> Any:
    x = Input((6, 4))
    normal = L.Normalization(axis=-1)
    normal.adapt(np.random.default_rng(3).normal(size=(50, 6, 4)))
    y = L.BatchNormalization(axis=1, scale=False)(normal(x))
    y = L.LayerNormalization(axis=[1, 2])(y)
    y = L.GroupNormalization(groups=2)(y)
    y = L.UnitNormalization()(L.LayerNormalization(epsilon=1e-5, center=False)(y))
    return Model(x, L.BatchNormalization(momentum=0.8, center=False)(y))


@case
def normalisation_that_is_told() -> Any:
    return Sequential([L.Normalization(mean=[1.0, 2.0, 3.0], variance=[1.0, 4.0, 9.0], input_shape=(3,)), L.Dense(2)])


@case
def rescaling_and_resizing() -> Any:
    x = Input((6, 6, 3))
    y = L.Rescaling(1 / 127.5, offset=-1)(x)
    y = L.Resizing(9, 7)(L.RandomFlip()(y))
    y = L.RandomRotation(0.1)(L.RandomZoom(0.2)(L.RandomContrast(0.1)(y)))
    return Model(x, L.CenterCrop(5, 5)(y))


def _recurrent(layer: Any, **more: Any) -> Any:
    after = more.get("after", [L.Dense(2)])
    if IS_KERAS2:
        return Sequential([L.Embedding(INTEGERS, 5, mask_zero=True, input_length=7), layer, *after])
    return Sequential([Input((7,)), L.Embedding(INTEGERS, 5, mask_zero=True), layer, *after])


@case
def lstm_old_gates() -> Any:
    return _recurrent(L.LSTM(4, recurrent_activation="hard_sigmoid", dropout=0.1, recurrent_dropout=0.1))


@case
def lstm() -> Any:
    return _recurrent(L.LSTM(4, return_sequences=True, go_backwards=True), after=[L.LSTM(3), L.Dense(2)])


@case
def gru_reset_after() -> Any:
    return _recurrent(
        L.GRU(4, return_sequences=True), after=[L.GRU(3, recurrent_activation="hard_sigmoid"), L.Dense(2)]
    )


@case
def gru_reset_before() -> Any:
    more = {"implementation": 1} if IS_KERAS2 else {}
    return _recurrent(L.GRU(4, reset_after=False, recurrent_activation="hard_sigmoid", **more))


@case
def simple_rnn_unrolled() -> Any:
    return _recurrent(L.SimpleRNN(4, activation="relu", unroll=True))


@case
def bidirectional_merges() -> Any:
    x = Input((6, 3))
    y = L.Masking(0.0)(x)
    outs = [
        L.Bidirectional(L.GRU(3, return_sequences=True), merge_mode=mode)(y) for mode in ("concat", "sum", "mul", "ave")
    ]
    both = L.Bidirectional(L.LSTM(2, recurrent_activation="hard_sigmoid"), merge_mode=None)(y)
    return Model(x, [*outs, *both])


@case
def bidirectional_with_two_layers() -> Any:
    layer = L.Bidirectional(L.LSTM(3), backward_layer=L.GRU(3, go_backwards=True), input_shape=(5, 2))
    return Sequential([layer, L.Dense(2)])


@case
def cells() -> Any:
    x = Input((5, 3))
    stacked = L.RNN([L.LSTMCell(4), L.GRUCell(3, recurrent_activation="hard_sigmoid"), L.SimpleRNNCell(2)])
    return Model(x, [stacked(x), L.RNN(L.GRUCell(3), return_sequences=True)(x)])


@case
def encoder_decoder() -> Any:
    source, target = Input((6,)), Input((5,))
    y = L.Embedding(INTEGERS, 4, mask_zero=True)(source)
    _, h, c = L.LSTM(3, return_state=True, recurrent_activation="hard_sigmoid")(y)
    z = L.LSTM(3, return_sequences=True)(L.Embedding(INTEGERS, 4, mask_zero=True)(target), initial_state=[h, c])
    return Model([source, target], L.TimeDistributed(L.Dense(4, activation="softmax"))(z))


@case
def bidirectional_encoder_decoder() -> Any:
    source, target = Input((6,)), Input((5,))
    embed = L.Embedding(INTEGERS, 4, mask_zero=True)
    states = L.Bidirectional(L.GRU(3, return_state=True))(embed(source))[1:]
    z, last = L.GRU(3, return_sequences=True, return_state=True)(embed(target), initial_state=states[1])
    z = L.Bidirectional(L.GRU(3, return_sequences=True))(z, initial_state=states)
    return Model([source, target], [L.TimeDistributed(L.Dense(4))(z), last])


@case
def stateful() -> Any:
    layer = L.LSTM(4, stateful=True, recurrent_activation="hard_sigmoid")
    return Sequential([Input(batch_shape=(3, 5, 2)), layer, L.Dense(2)])


@case_of_keras2
def stateful_without_input_layer() -> Any:
    return Sequential([L.GRU(4, stateful=True, batch_input_shape=(3, 5, 2)), L.Dense(2)])


@case
def conv_lstm() -> Any:
    x = Input((4, 6, 6, 2))
    y = L.ConvLSTM2D(3, 3, padding="same", return_sequences=True)(x)
    y = L.TimeDistributed(L.Conv2D(2, 3))(L.BatchNormalization()(y))
    return Model(x, L.ConvLSTM2D(2, 2, recurrent_activation="sigmoid")(y))


@case
def conv_lstm1d() -> Any:
    return Sequential([L.ConvLSTM1D(3, 3, input_shape=(4, 6, 2)), L.GlobalAveragePooling1D()])


@case
def time_distributed_model() -> Any:
    inner = Sequential([L.Conv2D(3, 3, input_shape=(6, 6, 1)), L.BatchNormalization(), L.Flatten(), L.Dense(4)])
    x = Input((3, 6, 6, 1))
    return Model(x, L.LSTM(3)(L.TimeDistributed(inner)(x)))


@case
def attention() -> Any:
    query, value = Input((4, 5)), Input((6, 5))
    outs = [L.Attention(use_scale=True)([query, value]), L.AdditiveAttention()([query, value])]
    outs += [
        L.Attention(score_mode="concat")([query, value, value]),
        L.Attention()([query, query], use_causal_mask=True),
    ]
    return Model([query, value], outs)


@case
def multi_head_attention() -> Any:
    x, memory = Input((4, 6)), Input((5, 6))
    y = L.MultiHeadAttention(2, 3, dropout=0.1)(x, x, use_causal_mask=True)
    y = L.LayerNormalization(epsilon=1e-6)(L.Add()([x, y]))
    z, scores = L.MultiHeadAttention(3, 2, value_dim=4, output_shape=5 if IS_KERAS2 else (5,))(
        y, memory, return_attention_scores=True
    )
    return Model([x, memory], [z, scores])


@case
def transformer_with_padding() -> Any:
    x = Input((7,), dtype="int32")
    y = L.Embedding(INTEGERS, 6, mask_zero=True)(x)
    y = L.LayerNormalization()(y + L.MultiHeadAttention(2, 3)(query=y, value=y, key=y))
    y = L.LayerNormalization()(L.Add()([y, L.EinsumDense("abc,cd->abd", output_shape=(None, 6), bias_axes="d")(y)]))
    return Model(x, L.GlobalAveragePooling1D()(y))


@case
def merging() -> Any:
    a, b = Input((4,), name="left"), Input((4,), name="right")
    outs = [layer([a, b]) for layer in (L.Add(), L.Subtract(), L.Multiply(), L.Average(), L.Maximum(), L.Minimum())]
    outs += [L.Dot(axes=1, normalize=True)([a, b]), L.Concatenate(axis=1)([a, b])]
    return Model([a, b], L.Concatenate(name="all")(outs))


@case
def shaping() -> Any:
    x = Input((6, 4))
    y = L.Permute((2, 1))(L.Reshape((8, 3))(x))
    y = L.GaussianNoise(0.1)(L.GaussianDropout(0.1)(L.AlphaDropout(0.1)(L.ActivityRegularization(0.1)(y))))
    return Model(x, [L.Flatten()(y), L.RepeatVector(3)(L.GlobalMaxPooling1D()(y))])


@case
def shared_layers() -> Any:
    a, b = Input((4,)), Input((4,))
    shared = L.Dense(3, activation="tanh")
    ya, yb = shared(a), shared(b)
    return Model([a, b], [L.Subtract()([ya, yb]), L.Dense(1)(ya), yb])


@case
def nested_models() -> Any:
    x = Input((5,))
    deep = Sequential([L.Dense(3), L.BatchNormalization()], name="deep")
    deep.build((None, 4))
    i = Input((5,))
    inner = Model(i, [deep(L.Dense(4)(i)), L.Dense(2)(i)], name="inner")
    first, second = inner(x)
    third, _ = inner(L.Dense(5, activation="tanh")(x))
    return Model(x, [L.Add()([first, third]), second, deep(L.Dense(4)(x))])


@case
def frozen_base() -> Any:
    base = Sequential([L.Conv2D(3, 3, input_shape=(8, 8, 2)), L.BatchNormalization(), L.Conv2D(2, 3)], name="base")
    base.trainable = False
    return Sequential([base, L.GlobalAveragePooling2D(), L.Dense(3, activation="softmax")])


@case
def partly_frozen_base() -> Any:
    i = Input((4,))
    y = L.Dense(4, name="one")(i)
    y = L.BatchNormalization(name="two")(y)
    y = L.Dense(4, name="three")(y)
    base = Model(i, L.BatchNormalization(name="four")(y), name="base")
    base.get_layer("one").trainable = False
    base.get_layer("two").trainable = False
    x = Input((4,))
    return Model(x, L.Dense(1)(base(x)))


@case
def siamese() -> Any:
    tower = Sequential([L.Dense(4, activation="relu", input_shape=(3,)), L.Dense(2)])
    a, b = Input((3,)), Input((3,))
    return Model([a, b], [L.Dot(axes=1)([tower(a), tower(b)]), tower(b)])


@case_of_keras2
def names_with_slashes() -> Any:
    x = Input((3,), name="the_input")
    y = L.BatchNormalization(name="block1/bn")(L.Dense(4, name="block1/dense")(x))
    return Model(x, [L.Add(name="block1/add")([y, L.Dense(4, name="block1_shortcut")(x)]), y])


@case
def built_by_shape() -> Any:
    model = Sequential([L.Dense(4, activation="relu"), L.Dense(2)])
    model.build((None, 3))
    return model


@case
def fixed_batch() -> Any:
    x = Input(batch_shape=(3, 4))
    return Model(x, L.Dense(2)(L.Dropout(0.5)(x)))


@case
def several_named_outputs() -> Any:
    x = Input((4,))
    return Model(x, {"mean": L.Dense(2, name="mean")(x), "scale": L.Dense(2, activation="softplus", name="scale")(x)})


@case_of_keras2
def operations() -> Any:
    x, y = Input((6, 4)), Input((6, 4))
    z = tf.nn.relu6(x + 3.0) * (1 / 6) - (1 - y) / 127.5
    outs = [z, -x, tf.abs(x) ** 2, tf.reduce_mean(x, axis=[1, 2], keepdims=True), tf.concat([x, z], axis=-1)]
    outs += [tf.stack([x, y], axis=1), tf.reshape(x, [-1, 24]), tf.transpose(x, [0, 2, 1]), tf.expand_dims(x, -1)]
    outs += [x[:, -1, :2], tf.matmul(x, tf.transpose(y, [0, 2, 1])), tf.nn.softmax(x, axis=1)]
    outs += [tf.clip_by_value(x, -0.3, 0.4), tf.maximum(x, 0.1), tf.nn.gelu(x), tf.nn.leaky_relu(x), tf.nn.swish(x)]
    outs += [tf.pad(x, [[0, 0], [1, 1], [0, 0]]), tf.tile(x, [1, 2, 1]), tf.squeeze(tf.expand_dims(x, 1), 1)]
    return Model([x, y], [L.Flatten()(L.Dense(2)(outs[0])), *outs])


@case
def discretised() -> Any:
    x = Input((3,))
    return Model(
        x, L.CategoryEncoding(num_tokens=INTEGERS, output_mode="multi_hot")(L.Discretization([-0.5, 0.0, 0.5])(x))
    )


def _randomised(model: Any, random: np.random.Generator) -> None:
    for weight in model.weights:
        if "int" in str(weight.dtype) or "seed" in weight.name:
            continue
        values = random.normal(scale=0.5, size=weight.shape)
        weight.assign(np.abs(values) + 0.1 if "variance" in weight.name else values)
    for layer in model._flatten_layers():
        if hasattr(layer, "finalize_state"):
            layer.finalize_state()


def _inputs(model: Any, random: np.random.Generator) -> list[Any]:
    takes_ids = any(isinstance(layer, L.Embedding) for layer in model._flatten_layers())
    arrays = []
    for tensor in model.inputs:
        shape = (3, *(size or 4 for size in tensor.shape[1:]))
        if takes_ids:
            ids = random.integers(1, INTEGERS, shape)
            ids[1, shape[1] // 2 :] = 0
            arrays.append(ids.astype("int32" if "int32" in str(tensor.dtype) else "float32"))
        else:
            values = random.normal(size=shape).astype("float32")
            if len(shape) > 2:
                values[2, shape[1] // 2 :] = 0.0
            arrays.append(values)
    return arrays


def _write(name: str, archive: zipfile.ZipFile, folder: Path) -> None:
    keras.utils.set_random_seed(1)
    keras.backend.clear_session()
    random = np.random.default_rng(sum(map(ord, name)))
    model = CASES[name]()
    _randomised(model, random)
    inputs = _inputs(model, random)
    outputs = model(inputs if len(inputs) > 1 else inputs[0], training=False)
    arrays = {f"x{number}": values for number, values in enumerate(inputs)}
    arrays |= {f"y{number}": values.numpy() for number, values in enumerate(tf.nest.flatten(outputs))}
    stream = io.BytesIO()
    np.savez(stream, **arrays)
    archive.writestr(f"{name}.npz", stream.getvalue())
    files = [f"{name}.keras", f"{name}.h5"]
    for file in files:
        model.save(folder / file)
    if sum(map(ord, name)) % 3 == 0:
        weights = [f"{name}.by_class.weights.h5", *([f"{name}.by_order.h5"] if IS_KERAS2 else [])]
        for file in weights:
            model.save_weights(folder / file)
        (folder / f"{name}.json").write_text(model.to_json())
        files += [*weights, f"{name}.json"]
    for file in files:
        archive.write(folder / file, file)


def main() -> None:
    only = sys.argv[3:]
    with tempfile.TemporaryDirectory() as folder, zipfile.ZipFile(sys.argv[2], "w", zipfile.ZIP_LZMA) as archive:
        for name in CASES:
            if not only or name in only:
                _write(name, archive, Path(folder))


if __name__ == "__main__":
    main()
