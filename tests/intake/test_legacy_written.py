"""Files of Keras versions that cannot be installed any more, written by hand; NumPy says what they must compute."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.intake import old_files as old

pytestmark = pytest.mark.recipes

RANDOM = np.random.default_rng(7)


def _normal(*shape: int) -> Any:
    return RANDOM.normal(scale=0.6, size=shape)


def _gates(names: str, inputs: int, units: int) -> dict[str, tuple[Any, Any, Any]]:
    return {name: (_normal(inputs, units), _normal(units, units), _normal(units)) for name in names}


def _sequential(*layers: dict[str, Any]) -> dict[str, Any]:
    """A Sequential of Keras 1 and of Keras up to 2.2: its config is the list of layers."""
    return {"class_name": "Sequential", "config": list(layers)}


def _layer(class_name: str, **config: Any) -> dict[str, Any]:
    return {"class_name": class_name, "config": {"trainable": True, "name": class_name.lower(), **config}}


def _predict(path: Path, *inputs: Any, architecture: Path | None = None) -> Any:
    from workers.intake.load_keras import load_model

    model = load_model(path, architecture).model
    return np.asarray(model(inputs[0] if len(inputs) == 1 else list(inputs), training=False))


def _keras1_recurrent(class_name: str, units: int) -> dict[str, Any]:
    return _layer(
        class_name,
        output_dim=units,
        input_dim=3,
        input_length=6,
        batch_input_shape=[None, 6, 3],
        input_dtype="float32",
        init="glorot_uniform",
        inner_init="orthogonal",
        forget_bias_init="one",
        activation="tanh",
        inner_activation="hard_sigmoid",
        W_regularizer=None,
        U_regularizer=None,
        b_regularizer=None,
        dropout_W=0.0,
        dropout_U=0.0,
        return_sequences=False,
        go_backwards=False,
        stateful=False,
        unroll=False,
        consume_less="cpu",
    )


def test_an_lstm_of_keras_1_has_an_array_for_each_gate_in_another_order(tmp_path: Path) -> None:
    gates = _gates("icfo", 3, 4)
    config = _sequential(_keras1_recurrent("LSTM", 4))
    stored = [array for gate in "icfo" for array in gates[gate]]
    path = old.write_h5(tmp_path / "m.h5", config, "1.2.1", {"lstm": stored})
    x = _normal(5, 6, 3).astype("float32")
    np.testing.assert_allclose(_predict(path, x), old.run_lstm(x, gates, old.hard_sigmoid), atol=1e-5)


def test_a_gru_of_keras_1_has_an_array_for_each_gate(tmp_path: Path) -> None:
    gates = _gates("zrh", 3, 4)
    stored = [array for gate in "zrh" for array in gates[gate]]
    config = _keras1_recurrent("GRU", 4)
    del config["config"]["forget_bias_init"]
    path = old.write_h5(tmp_path / "m.h5", _sequential(config), "1.1.0", {"gru": stored})
    x = _normal(5, 6, 3).astype("float32")
    np.testing.assert_allclose(_predict(path, x), old.run_gru(x, gates, old.hard_sigmoid), atol=1e-5)


def _keras1_network(dim_ordering: str, shape: list[int | None]) -> dict[str, Any]:
    common = {
        "init": "he_normal",
        "W_constraint": None,
        "W_regularizer": {"name": "WeightRegularizer", "l1": 0, "l2": 1},
    }
    return _sequential(
        _layer(
            "Convolution2D",
            nb_filter=3,
            nb_row=2,
            nb_col=3,
            border_mode="valid",
            subsample=[1, 1],
            dim_ordering=dim_ordering,
            activation="relu",
            bias=True,
            batch_input_shape=shape,
            **common,
        ),
        _layer("BatchNormalization", mode=0, axis=1 if dim_ordering == "th" else -1, epsilon=1e-3, momentum=0.99),
        _layer("MaxPooling2D", pool_size=[2, 2], strides=[2, 2], border_mode="valid", dim_ordering=dim_ordering),
        _layer("Dropout", p=0.5),
        _layer("Flatten"),
        _layer("Dense", output_dim=2, activation="hard_sigmoid", bias=True, input_dim=None, **common),
    )


@pytest.mark.parametrize(("dim_ordering", "backend"), [("tf", "tensorflow"), ("th", "tensorflow"), ("th", "theano")])
def test_a_convolutional_network_of_keras_1(tmp_path: Path, dim_ordering: str, backend: str) -> None:
    kernel, bias = _normal(2, 3, 2, 3), _normal(3)
    gamma, beta, mean, variance = _normal(3), _normal(3), _normal(3), np.abs(_normal(3)) + 0.1
    dense, dense_bias = _normal(27, 2), _normal(2)
    x = _normal(4, 7, 8, 2).astype("float32")

    y = np.maximum(old.correlate(x, kernel) + bias, 0)
    y = (y - mean) / np.sqrt(variance + 1e-3) * gamma + beta
    y = y.reshape(4, 3, 2, 3, 2, 3).max(axis=(2, 4))
    is_first = dim_ordering == "th"
    flat = (y.transpose(0, 3, 1, 2) if is_first else y).reshape(4, -1)
    expected = old.hard_sigmoid(flat @ dense + dense_bias)

    stored = kernel[::-1, ::-1] if backend == "theano" else kernel
    stored = stored.transpose(3, 2, 0, 1) if is_first else stored
    shape = [None, 2, 7, 8] if is_first else [None, 7, 8, 2]
    weights = {
        "convolution2d": [stored, bias],
        "batchnormalization": [gamma, beta, mean, variance],
        "maxpooling2d": [],
        "dense": [dense, dense_bias],
    }
    path = old.write_h5(tmp_path / "m.h5", _keras1_network(dim_ordering, shape), "1.2.2", weights, backend)
    outputs = _predict(path, x.transpose(0, 3, 1, 2) if is_first else x)
    np.testing.assert_allclose(outputs, expected, atol=1e-5)


def test_weights_of_keras_1_with_its_architecture_and_merges(tmp_path: Path) -> None:
    layers = [
        {**_layer("InputLayer", name=name, batch_input_shape=[None, 3], input_dtype="float32"), "inbound_nodes": []}
        for name in ("a", "b")
    ]
    dense = _layer("Dense", name="shared", output_dim=4, activation="linear", bias=True, init="uniform")
    layers.append({**dense, "inbound_nodes": [[["a", 0, 0]], [["b", 0, 0]]]})
    merge = _layer("Merge", name="join", mode="concat", concat_axis=-1, dot_axes=-1, mode_type="raw")
    layers.append({**merge, "inbound_nodes": [[["shared", 0, 0], ["shared", 1, 0]]]})
    for layer in layers:
        layer["name"] = layer["config"]["name"]
    ends = {"input_layers": [["a", 0, 0], ["b", 0, 0]], "output_layers": [["join", 0, 0]]}
    architecture = tmp_path / "architecture.json"
    config = {"name": "model_1", "layers": layers, **ends}
    architecture.write_text(json.dumps({"class_name": "Model", "keras_version": "1.2.2", "config": config}))
    kernel, bias, a, b = _normal(3, 4), _normal(4), _normal(5, 3).astype("float32"), _normal(5, 3).astype("float32")
    # The names of the file are those of another run: the order decides.
    path = old.write_h5(tmp_path / "weights.h5", None, "1.2.2", {"dense_17": [kernel, bias]})
    expected = np.concatenate([a @ kernel + bias, b @ kernel + bias], axis=1)
    np.testing.assert_allclose(_predict(path, a, b, architecture=architecture), expected, atol=1e-5)


def _keras2_recurrent(class_name: str, **config: Any) -> dict[str, Any]:
    return _layer(
        class_name,
        batch_input_shape=[None, 6, 3],
        dtype="float32",
        units=4,
        return_sequences=False,
        return_state=False,
        go_backwards=False,
        stateful=False,
        kernel_initializer={"class_name": "VarianceScaling", "config": {"distribution": "uniform", "scale": 1.0}},
        recurrent_initializer={"class_name": "Orthogonal", "config": {"gain": 1.0, "seed": None}},
        bias_initializer={"class_name": "Zeros", "config": {}},
        kernel_regularizer=None,
        **config,
    )


def test_a_gru_of_keras_2_0_resets_before_the_product(tmp_path: Path) -> None:
    gates = _gates("zrh", 3, 4)
    stored = [np.concatenate([gates[gate][kind] for gate in "zrh"], axis=-1) for kind in range(3)]
    config = _keras2_recurrent(
        "GRU", activation="tanh", recurrent_activation="hard_sigmoid", use_bias=True, implementation=0, unroll=False
    )
    path = old.write_h5(tmp_path / "m.h5", _sequential(config), "2.0.8", {"gru": stored})
    x = _normal(5, 6, 3).astype("float32")
    np.testing.assert_allclose(_predict(path, x), old.run_gru(x, gates, old.hard_sigmoid), atol=1e-5)


def _as_cudnn(kernel: Any) -> Any:
    """A gate's kernel as CuDNN keeps it: its transpose, in the memory of one with the shape of the kernel."""
    return kernel.T.reshape(kernel.shape, order="C")


def test_a_cudnn_lstm_keeps_transposed_kernels_and_two_biases(tmp_path: Path) -> None:
    gates, second = _gates("ifco", 3, 4), {gate: _normal(4) for gate in "ifco"}
    stored = [
        np.concatenate([_as_cudnn(gates[gate][0]) for gate in "ifco"], axis=1),
        np.concatenate([gates[gate][1].T for gate in "ifco"], axis=1),
        np.concatenate([gates[gate][2] for gate in "ifco"] + [second[gate] for gate in "ifco"]),
    ]
    config = _keras2_recurrent("CuDNNLSTM", unit_forget_bias=True)
    path = old.write_h5(tmp_path / "m.h5", _sequential(config), "2.2.4", {"cudnnlstm": stored})
    x = _normal(5, 6, 3).astype("float32")
    summed = {gate: (w, u, b + second[gate]) for gate, (w, u, b) in gates.items()}
    np.testing.assert_allclose(_predict(path, x), old.run_lstm(x, summed, old.sigmoid), atol=1e-5)


def test_a_cudnn_gru_resets_after_the_product(tmp_path: Path) -> None:
    gates, second = _gates("zrh", 3, 4), {gate: _normal(4) for gate in "zrh"}
    stored = [
        np.concatenate([_as_cudnn(gates[gate][0]) for gate in "zrh"], axis=1),
        np.concatenate([gates[gate][1].T for gate in "zrh"], axis=1),
        np.concatenate([gates[gate][2] for gate in "zrh"] + [second[gate] for gate in "zrh"]),
    ]
    path = old.write_h5(tmp_path / "m.h5", _sequential(_keras2_recurrent("CuDNNGRU")), "2.2.4", {"cudnngru": stored})
    x = _normal(5, 6, 3).astype("float32")
    np.testing.assert_allclose(_predict(path, x), old.run_gru(x, gates, old.sigmoid, second), atol=1e-5)


def test_swapped_weights_are_not_taken_for_each_other(tmp_path: Path) -> None:
    from workers.intake.loaded import Refused

    config = _sequential(_layer("Dense", units=3, activation="relu", use_bias=True, batch_input_shape=[None, 4]))
    path = old.write_h5(tmp_path / "m.h5", config, "2.1.0", {"dense": [_normal(3), _normal(4, 3)]})
    with pytest.raises(Refused) as refused:
        _predict(path, _normal(2, 4))
    assert (refused.value.code, refused.value.where) == ("weights_mismatch", "dense")
