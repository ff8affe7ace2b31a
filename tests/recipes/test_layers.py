"""Lists of layers: what is allowed, what shapes come out, and that nothing large or unknown passes."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.core.errors import Unprocessable
from app.recipes.layer_rules import LAYERS
from app.recipes.layers import LayersTask, LayerTotals, check_configs, fit_layers

PATH = "params.architecture.layers"
CLASSIC = [
    ("Dense", {"units": 64, "activation": "relu"}),
    ("Dense", {"units": 64, "activation": "relu"}),
    ("Dense", {"units": 10, "activation": "softmax"}),
]


def as_configs(*layers: tuple[str, dict[str, Any]]) -> list[dict[str, Any]]:
    return [{"class_name": name, "config": config} for name, config in layers]


def fit(
    layers: list[tuple[str, dict[str, Any]]],
    row: tuple[int, ...] = (10,),
    outputs: int = 10,
    task: LayersTask = "classification",
) -> LayerTotals:
    return fit_layers(check_configs(as_configs(*layers), PATH), row, outputs, task, PATH)


def refused(layers: list[tuple[str, dict[str, Any]]], **more: Any) -> Unprocessable:
    with pytest.raises(Unprocessable) as caught:
        fit(layers, **more)
    assert caught.value.param is not None
    assert caught.value.param.startswith(PATH)
    assert caught.value.message.startswith(f"{caught.value.param}: ")
    return caught.value


def test_the_classic_network_passes_and_is_counted() -> None:
    totals = fit(CLASSIC)
    assert totals.shape == (10,)
    assert totals.parameters == 10 * 64 + 64 + 64 * 64 + 64 + 64 * 10 + 10


END = ("Dense", {"units": 10, "activation": "softmax"})
SHAPES: list[tuple[tuple[str, dict[str, Any]], tuple[int, ...], tuple[int, ...], int]] = [
    (("Dense", {"units": 5, "use_bias": False}), (7, 3), (7, 5), 15),
    (("BatchNormalization", {}), (6,), (6,), 24),
    (("BatchNormalization", {"center": False, "scale": False}), (6,), (6,), 12),
    (("LayerNormalization", {}), (4, 6), (4, 6), 12),
    (("GroupNormalization", {"groups": 2}), (6,), (6,), 12),
    (("PReLU", {"shared_axes": [1]}), (4, 6), (4, 6), 6),
    (("Flatten", {}), (4, 6), (24,), 0),
    (("Reshape", {"target_shape": [-1, 2]}), (24,), (12, 2), 0),
    (("Permute", {"dims": [2, 1]}), (4, 6), (6, 4), 0),
    (("RepeatVector", {"n": 3}), (5,), (3, 5), 0),
    (("Conv1D", {"filters": 4, "kernel_size": 3}), (10, 2), (8, 4), 3 * 2 * 4 + 4),
    (("Conv1D", {"filters": 4, "kernel_size": 3, "padding": "causal", "dilation_rate": 2}), (10, 2), (10, 4), 28),
    (("Conv2D", {"filters": 8, "kernel_size": [3, 3], "strides": 2}), (28, 28, 1), (13, 13, 8), 80),
    (("Conv2D", {"filters": 8, "kernel_size": 5, "padding": "same", "strides": [2, 1]}), (9, 9, 2), (5, 9, 8), 408),
    (("Conv2D", {"filters": 8, "kernel_size": 1, "groups": 2}), (5, 5, 4), (5, 5, 8), 24),
    (("SeparableConv2D", {"filters": 8, "kernel_size": 3}), (8, 8, 4), (6, 6, 8), 9 * 4 + 4 * 8 + 8),
    (("DepthwiseConv2D", {"kernel_size": 3, "depth_multiplier": 2}), (8, 8, 4), (6, 6, 8), 9 * 8 + 8),
    (("MaxPooling2D", {"pool_size": 2}), (7, 7, 3), (3, 3, 3), 0),
    (("AveragePooling1D", {"pool_size": 3, "strides": 2, "padding": "same"}), (9, 3), (5, 3), 0),
    (("GlobalAveragePooling2D", {}), (7, 7, 3), (3,), 0),
    (("GlobalMaxPooling1D", {"keepdims": True}), (7, 3), (1, 3), 0),
    (("SimpleRNN", {"units": 5}), (7, 3), (5,), 5 * (3 + 5) + 5),
    (("LSTM", {"units": 5, "return_sequences": True}), (7, 3), (7, 5), 4 * (5 * 8 + 5)),
    (("GRU", {"units": 5}), (7, 3), (5,), 3 * (5 * 8 + 10)),
    (("Bidirectional", {"layer": {"class_name": "LSTM", "config": {"units": 5}}}), (7, 3), (10,), 8 * (5 * 8 + 5)),
]  # fmt: skip


@pytest.mark.parametrize(("layer", "row", "shape", "parameters"), SHAPES, ids=[one[0][0] for one in SHAPES])
def test_shapes_and_parameters_are_those_of_keras(
    layer: tuple[str, dict[str, Any]], row: tuple[int, ...], shape: tuple[int, ...], parameters: int
) -> None:
    flat = 1
    for length in shape:
        flat *= length
    totals = fit([layer, ("Flatten", {}), END], row)
    assert totals.parameters - (flat * 10 + 10) == parameters
    wrong = refused([layer, ("Reshape", {"target_shape": [*shape, 2]}), END], row=row)
    assert f"{flat} values of a row" in wrong.message


WRONG: list[tuple[list[tuple[str, dict[str, Any]]], str, str]] = [
    ([("Lambda", {"function": "x"})], "[0].class_name", "there is no layer 'Lambda'"),
    ([("TFSMLayer", {"filepath": "/etc"})], "[0].class_name", "Dense"),
    ([("Dense", {"units": -3})], "[0].config.units", "from 1 to 65536"),
    ([("Dense", {"units": 3.5})], "[0].config.units", "whole number"),
    ([("Dense", {"units": True})], "[0].config.units", "whole number"),
    ([("Dense", {})], "[0].config.units", "is needed"),
    ([("Dense", {"units": 3, "unitz": 3})], "[0].config.unitz", "activation"),
    ([("Dense", {"units": 3, "activation": "keras.ops.print"})], "[0].config.activation", "relu"),
    ([("Dense", {"units": 3, "activation": {"class_name": "function"}})], "[0].config.activation", "relu"),
    ([("Dense", {"units": 3, "kernel_initializer": "evil"})], "[0].config.kernel_initializer", "HeNormal"),
    (
        [("Dense", {"units": 3, "kernel_initializer": {"class_name": "HeNormal", "config": {"path": "/x"}}})],
        "[0].config.kernel_initializer.config.path",
        "no such field",
    ),
    ([("Dense", {"units": 3, "kernel_regularizer": 5})], "[0].config.kernel_regularizer", "class_name"),
    ([("Dense", {"units": 3, "dtype": "float64"})], "[0].config.dtype", "training.precision"),
    ([("Dense", {"units": 3, "name": "../x"})], "[0].config.name", "a letter first"),
    ([("Dense", {"units": 3, "name": "a"}), ("Dense", {"units": 3, "name": "a"})], "[1].config.name", "layers[0]"),
    ([("Dropout", {"rate": 1.0})], "[0].config.rate", "to below 1"),
    ([("Dropout", {"rate": 0.5, "noise_shape": [1, 2]})], "[0].config.noise_shape", "no such field"),
    ([("Conv2D", {"filters": 3, "kernel_size": 3})], "[0]", "rows of 3 axes"),
    ([("LSTM", {"units": 3})], "[0]", "time, then features"),
    ([("LSTM", {"units": 3, "stateful": True})], "[0].config.stateful", "False"),
    ([("Reshape", {"target_shape": [3, 4]})], "[0].config.target_shape", "10 values of a row"),
    ([("Reshape", {"target_shape": [-1, -1]})], "[0].config.target_shape", "one −1"),
    ([("BatchNormalization", {"axis": 2})], "[0].config.axis", "axis 2 is none"),
    ([("Dense", {"units": 4}), ("InputLayer", {})], "[1]", "only be the first"),
    ([("InputLayer", {"batch_shape": [None, 7]})], "[0].config.shape", "[10]"),
    ([("Bidirectional", {"layer": {"class_name": "Dense", "config": {}}})], "[0].config.layer", "SimpleRNN"),
    (
        [("Bidirectional", {"layer": {"class_name": "LSTM", "config": {"units": 0}}})],
        "[0].config.layer.config.units",
        "from 1",
    ),
    ([("GroupNormalization", {"groups": 3})], "[0].config.groups", "do not divide 10"),
    ([("PReLU", {"shared_axes": [4]})], "[0].config.shared_axes[0]", "axis 4 is none"),
    ([("Reshape", {"target_shape": [3, -1]})], "[0].config.target_shape", "do not fit"),
    ([("Reshape", {"target_shape": []})], "[0].config.target_shape", "a list of 1 to 4"),
    ([("Permute", {"dims": [2]})], "[0].config.dims", "name each axis"),
    (
        [("Reshape", {"target_shape": [5, 2]}), ("Conv1D", {"filters": 2, "kernel_size": 6})],
        "[1].config.kernel_size",
        "a window of 6 does not fit an axis of 5",
    ),
    (
        [("Reshape", {"target_shape": [5, 2]}), ("Conv1D", {"filters": 3, "kernel_size": 2, "groups": 2})],
        "[1].config.groups",
        "2 groups do not divide",
    ),
    (
        [
            ("Reshape", {"target_shape": [5, 2]}),
            ("Conv1D", {"filters": 2, "kernel_size": 2, "strides": 2, "dilation_rate": 2}),
        ],
        "[1].config.dilation_rate",
        "exclude each other",
    ),
    ([("Conv1D", {"filters": 2, "kernel_size": [2, 2]})], "[0].config.kernel_size", "1 whole number"),
    (
        [("Dense", {"units": 3, "kernel_initializer": {"class_name": "Evil"}})],
        "[0].config.kernel_initializer.class_name",
        "HeNormal",
    ),
    (
        [("Dense", {"units": 3, "kernel_regularizer": {"class_name": "L2", "config": [1]}})],
        "[0].config.kernel_regularizer.config",
        "must be an object",
    ),
    (
        [("Dense", {"units": 3, "kernel_regularizer": {"class_name": "L2", "config": {"l2": "much"}}})],
        "[0].config.kernel_regularizer.config.l2",
        "must be a number",
    ),
    ([("Dense", {"units": 3, "trainable": 1})], "[0].config.trainable", "true or false"),
    ([("InputLayer", {"shape": 10})], "[0].config.shape", "the shape of the data"),
    ([("InputLayer", {"batch_shape": [32, 10]})], "[0].config.batch_shape", "the batch null"),
    ([("InputLayer", {"sparse": True})], "[0].config.sparse", "False"),
    ([("InputLayer", {"size": 3})], "[0].config.size", "batch_shape"),
    (
        [("Bidirectional", {"layer": {"class_name": "GRU", "config": {"units": 2}}, "merge_mode": "none"})],
        "[0].config.merge_mode",
        "'concat'",
    ),
    (
        [("Bidirectional", {"layer": {"class_name": "GRU", "config": {"units": 2}}, "weights": []})],
        "[0].config.weights",
        "merge_mode",
    ),
    (
        [("Bidirectional", {"layer": {"class_name": "GRU", "config": {"units": 2}}, "backward_layer": {}})],
        "[0].config.backward_layer",
        "leave it out",
    ),
    ([("Dense", {"units": 60_000}), ("Dense", {"units": 60_000})], "[1]", "200,000,000"),
    ([("RepeatVector", {"n": 10_000}), ("Dense", {"units": 60_000})], "[1]", "values of a row"),
]


@pytest.mark.parametrize(("layers", "param", "said"), WRONG, ids=[param + "-" + said for _, param, said in WRONG])
def test_what_is_wrong_is_named(layers: list[tuple[str, dict[str, Any]]], param: str, said: str) -> None:
    error = refused([*layers, END])
    assert error.param == PATH + param
    assert said in error.message


ENDS: list[tuple[dict[str, Any], int, LayersTask, bool]] = [
    ({"units": 10, "activation": "softmax"}, 10, "classification", True),
    ({"units": 2, "activation": "softmax"}, 2, "classification", True),
    ({"units": 1, "activation": "sigmoid"}, 2, "classification", True),
    ({"units": 3, "activation": "sigmoid"}, 3, "multilabel", True),
    ({"units": 1}, 1, "regression", True),
    ({"units": 9, "activation": "softmax"}, 10, "classification", False),
    ({"units": 1, "activation": "sigmoid"}, 3, "classification", False),
    ({"units": 1, "activation": "softmax"}, 2, "classification", False),
    ({"units": 10}, 10, "classification", False),
    ({"units": 10, "activation": "sigmoid"}, 10, "classification", False),
    ({"units": 3, "activation": "softmax"}, 3, "multilabel", False),
    ({"units": 1, "activation": "relu"}, 1, "regression", False),
    ({"units": 2}, 1, "regression", False),
]


@pytest.mark.parametrize(("config", "outputs", "task", "fits"), ENDS)
def test_the_last_layer_must_fit_the_task(config: dict[str, Any], outputs: int, task: LayersTask, fits: bool) -> None:
    layers = [("Dense", {"units": 8, "activation": "relu"}), ("Dense", config)]
    if fits:
        fit(layers, outputs=outputs, task=task)
    else:
        error = refused(layers, outputs=outputs, task=task)
        assert error.param in (f"{PATH}[1].config.units", f"{PATH}[1].config.activation")


@pytest.mark.parametrize(
    "tail",
    [
        [("Dense", {"units": 10}), ("Softmax", {})],
        [("Dense", {"units": 10}), ("Activation", {"activation": "softmax"})],
        [("Dense", {"units": 10, "activation": "softmax"}), ("Reshape", {"target_shape": [10]})],
        [("InputLayer", {"batch_shape": [None, 10]}), ("Dense", {"units": 10, "activation": "softmax"})],
        [("Reshape", {"target_shape": [5, 2]}), ("SpatialDropout1D", {"rate": 0.1}), ("Flatten", {}), END],
    ],
)
def test_the_last_activation_may_be_a_layer_of_its_own(tail: list[tuple[str, dict[str, Any]]]) -> None:
    assert fit(tail).shape == (10,)


def test_every_field_is_set_and_checking_again_changes_nothing() -> None:
    once = check_configs(as_configs(*CLASSIC), PATH)
    assert set(once[0]["config"]) == set(LAYERS["Dense"].fields)
    assert check_configs(once, PATH) == once


ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 10**9) | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)


@st.composite
def wild_layers(draw: st.DrawFn) -> list[dict[str, Any]]:
    layers = []
    for _ in range(draw(st.integers(1, 4))):
        name = draw(st.sampled_from([*LAYERS, "InputLayer", "Bidirectional", "Lambda"]))
        fields = [*LAYERS[name].fields] if name in LAYERS else ["layer", "shape"]
        config = draw(st.dictionaries(st.sampled_from([*fields, "name", "x"]), ANY_JSON, max_size=3))
        layers.append({"class_name": name, "config": config})
    return layers


@given(layers=wild_layers(), row=st.lists(st.integers(1, 9), min_size=1, max_size=3).map(tuple))
def test_anything_at_all_is_fitted_or_refused_by_name(layers: list[dict[str, Any]], row: tuple[int, ...]) -> None:
    message = f"{PATH}["
    try:
        fit_layers(check_configs(layers, PATH), row, 3, "classification", PATH)
    except Unprocessable as error:
        message = error.message
    assert message.startswith(f"{PATH}[")


def test_an_initializer_keeps_its_seed_and_numbers() -> None:
    config = {"units": 3, "kernel_initializer": {"class_name": "he_normal", "config": {"seed": 5}}, "activation": None}
    checked = check_configs(as_configs(("Dense", config)), PATH)[0]["config"]
    assert checked["kernel_initializer"]["class_name"] == "HeNormal"
    assert checked["kernel_initializer"]["config"] == {"seed": 5}
    assert checked["activation"] == "linear"


@pytest.mark.parametrize(
    ("layer", "param"),
    [
        ({"class_name": "Dense", "weights": 1}, "weights"),
        (
            {"class_name": "Dense", "config": [1]},
            "config",
        ),
    ],
)
def test_a_layer_is_a_class_and_a_config(layer: dict[str, Any], param: str) -> None:
    with pytest.raises(Unprocessable) as caught:
        check_configs([layer], PATH)
    assert caught.value.param == f"{PATH}[0].{param}"
