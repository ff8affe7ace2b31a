"""What a config of any Keras becomes, without Keras."""

import copy
import json
from typing import Any

import pytest

from app.models.intake.rewrite import Refused, Rewritten, rewrite
from app.models.intake.rewrite.objects import hard_sigmoid_of_keras2


def layer(class_name: str, name: str = "", **config: Any) -> dict[str, Any]:
    return {"class_name": class_name, "config": {"name": name or class_name.lower(), **config}}


def sequential(*layers: dict[str, Any]) -> dict[str, Any]:
    return {"class_name": "Sequential", "config": {"name": "model", "layers": list(layers)}}


def functional(*layers: tuple[dict[str, Any], Any], inputs: Any = None, outputs: Any) -> dict[str, Any]:
    entries = [{**entry, "name": entry["config"]["name"], "inbound_nodes": nodes} for entry, nodes in layers]
    ends = {"input_layers": inputs or [["x", 0, 0]], "output_layers": outputs}
    return {"class_name": "Model", "config": {"name": "model", "layers": entries, **ends}}


X = (layer("InputLayer", "x", batch_input_shape=[None, 5], dtype="float32", sparse=False), [])


def layers_of(rewritten: Rewritten) -> dict[str, dict[str, Any]]:
    return {entry["config"]["name"]: entry for entry in rewritten.config["config"]["layers"]}


def history(entry: dict[str, Any], call: int = 0) -> Any:
    return entry["inbound_nodes"][call]["args"][0]["config"]["keras_history"]


def test_the_given_config_is_left_alone() -> None:
    given = functional(X, (layer("Dense", "d/1", units=2, activation="hard_sigmoid"), [[["x", 0, 0, {}]]]),
                       outputs=[["d/1", 0, 0]])  # fmt: skip
    before = copy.deepcopy(given)
    rewrite(given, "2.2.4")
    assert given == before


def test_the_first_layer_of_a_sequential_gives_the_input() -> None:
    rewritten = rewrite(sequential(layer("Dense", "d", batch_input_shape=[32, 7], units=2, activation="relu")), "2.1.6")
    first = rewritten.config["config"]["layers"][0]
    assert (first["class_name"], first["config"]["batch_shape"]) == ("InputLayer", [None, 7])
    assert {"layer": "d_input", "what": "the batch size 32 was fixed and is free now"} in rewritten.changes.made


def test_a_sequential_that_was_built_by_a_shape_has_that_input() -> None:
    config = sequential(layer("Dense", "d", units=2))
    config["config"]["build_input_shape"] = {"class_name": "TensorShape", "items": [None, 784]}
    [first, _] = rewrite(config, "2.2.4-tf").config["config"]["layers"]
    assert first["config"]["batch_shape"] == [None, 784]


@pytest.mark.parametrize(
    ("version", "expected"), [("1.2.2", "old"), ("2.15.0", "old"), ("2.2.4-tf", "old"), ("3.0.0", "new")]
)
def test_hard_sigmoid_means_what_it_meant_in_its_keras(version: str, expected: str) -> None:
    dense = layer("Dense", "d", batch_input_shape=[None, 7], units=2, activation="hard_sigmoid")
    entry = layers_of(rewrite(sequential(dense), version))["d"]
    assert entry["config"]["activation"] == (hard_sigmoid_of_keras2() if expected == "old" else "hard_sigmoid")


def test_what_was_taken_in_and_is_sent_again_stays() -> None:
    config = sequential(layer("Dense", "d", batch_shape=[None, 7], units=2, activation=hard_sigmoid_of_keras2()))
    assert layers_of(rewrite(config, "3.15.1"))["d"]["config"]["activation"] == hard_sigmoid_of_keras2()


@pytest.mark.parametrize(
    ("entry", "key", "value"),
    [
        (layer("LeakyReLU", alpha={"type": "ndarray", "value": 0.25}), "negative_slope", 0.25),
        (layer("LeakyReLU", alpha=0.1), "negative_slope", 0.1),
        (layer("ThresholdedReLU", theta=2.0), "threshold", 2.0),
        (layer("BatchNormalization", axis=[3]), "axis", 3),
        (layer("BatchNormalization", axis=-1, scale=1), "scale", True),
        (layer("GRU", units=3), "reset_after", False),
        (layer("CuDNNGRU", units=3), "reset_after", True),
        (layer("LSTM", units=3, stateful=True), "stateful", False),
        (layer("LSTM", units=3, unroll=True), "unroll", False),
        (
            layer("Dense", units=3, dtype={"class_name": "Policy", "config": {"name": "mixed_float16"}}),
            "dtype",
            "float32",
        ),
        (layer("Activation", activation="softmax_v2"), "activation", "softmax"),
    ],
)
def test_arguments_get_their_names_and_values_of_today(entry: dict[str, Any], key: str, value: Any) -> None:
    rewritten = rewrite(sequential(layer("InputLayer", "x", batch_input_shape=[None, 4, 4]), entry), "2.4.0")
    assert rewritten.config["config"]["layers"][1]["config"][key] == value


def test_dead_arguments_are_dropped_and_told() -> None:
    dead = {"groups": 1, "time_major": False, "implementation": 2, "batch_input_shape": [None, 4, 4, 1]}
    entry = layer("DepthwiseConv2D", "d", kernel_size=[3, 3], kernel_initializer=None, **dead)
    rewritten = rewrite(sequential(entry), "2.14.0")
    assert not {*dead, "kernel_initializer"} & set(layers_of(rewritten)["d"]["config"])
    [told] = [made["what"] for made in rewritten.changes.made if made["layer"] == "d"]
    assert told.endswith("left out: batch_input_shape, groups, implementation, kernel_initializer, time_major")


@pytest.mark.parametrize(
    ("entry", "code"),
    [
        (layer("Lambda", "it", function=["x", None, None]), "unsafe_layer"),
        (layer("FixedPointQuantizer", "it"), "custom_layer"),
        (layer("Custom>Dense", "it"), "custom_layer"),
        ({**layer("Dense", "it", units=2), "registered_name": "mine>Dense"}, "custom_layer"),
        (layer("LocallyConnected1D", "it"), "unsupported_layer"),
        (layer("TFOpLambda", "it", function="io.read_file"), "unsupported_operation"),
        (layer("LSTM", "it", units=2, time_major=True), "unsupported_argument"),
        (layer("DepthwiseConv2D", "it", groups=2), "unknown_argument"),
        (layer("Dense", "it", units=2, hook="os.system"), "unknown_argument"),
        (layer("Dense", "it", units=2, activation="my_activation"), "custom_object"),
        (layer("BatchNormalization", "it", axis=[1, 2]), "unsupported_argument"),
    ],
)
def test_what_cannot_be_taken_in_is_refused_by_layer(entry: dict[str, Any], code: str) -> None:
    with pytest.raises(Refused) as refused:
        rewrite(sequential(layer("InputLayer", "x", batch_input_shape=[None, 4]), entry), "2.9.0")
    assert (refused.value.code, refused.value.where) == (code, "it")


@pytest.mark.parametrize(
    "config", [{}, [], None, {"class_name": "MyModel", "config": {"units": 3}}, {"class_name": []}]
)
def test_a_class_of_its_own_is_refused(config: Any) -> None:
    with pytest.raises(Refused) as refused:
        rewrite(config, "2.9.0")
    assert refused.value.code == "subclassed_model"


def test_states_passed_as_inputs_become_initial_state_and_the_mask_is_kept() -> None:
    embedding = layer("Embedding", "e", input_dim=9, output_dim=4, mask_zero=True)
    encoder = layer("LSTM", "encoder", units=3, return_state=True)
    decoder = layer("LSTM", "decoder", units=3)
    config = functional(
        X,
        (embedding, [[["x", 0, 0, {}]]]),
        (encoder, [[["e", 0, 0, {}]]]),
        (decoder, [[["e", 0, 0, {}], ["encoder", 0, 1, {}], ["encoder", 0, 2, {}]]]),
        outputs=[["decoder", 0, 0]],
    )
    layers = layers_of(rewrite(config, "2.2.4"))
    call = layers["decoder"]["inbound_nodes"][0]
    assert history(layers["decoder"]) == ["e", 0, 0]
    states = [state["config"]["keras_history"] for state in call["kwargs"]["initial_state"]]
    assert states == [["encoder", 0, 1], ["encoder", 0, 2]]
    assert call["kwargs"]["mask"]["config"]["keras_history"] == ["decoder_mask", 0, 0]
    assert history(layers["decoder_mask"]) == ["e", 0, 0]
    assert layers["decoder_mask"]["registered_name"] == "trainyard>SequenceMask"
    # Keras 3 did not mind the mask there, so a file of Keras 3 is left to it.
    assert "decoder_mask" not in layers_of(rewrite(config, "3.1.0"))


def test_calls_of_an_inner_model_count_from_zero() -> None:
    def inner(class_name: str) -> dict[str, Any]:
        whole = functional(X, (layer("Dense", "d", units=2), [[["x", 0, 0, {}]]]), outputs=[["d", 0, 0]])
        return {"class_name": class_name, "config": {**whole["config"], "name": "inner"}}

    for class_name, output in (("Model", 2), ("Sequential", 1)):
        config = functional(
            X,
            (inner(class_name), [[["x", 0, 0, {}]], [["x", 0, 0, {}]]]),
            (layer("Add", "sum"), [[["inner", 1, 0, {}], ["inner", 2, 0, {}]]]),
            outputs=[["sum", 0, 0], ["inner", 2, 0]],
        )
        rewritten = rewrite(config, "2.3.1")
        [[first, second]] = layers_of(rewritten)["sum"]["inbound_nodes"][0]["args"]
        calls = [reference["config"]["keras_history"][1] for reference in (first, second)]
        assert calls == [0, 1]
        assert rewritten.config["config"]["output_layers"][1] == ["inner", output, 0]


def test_an_activation_that_is_a_layer_follows_as_a_layer() -> None:
    dense = layer("Dense", "d", units=2, activation={"class_name": "LeakyReLU", "config": {"alpha": 0.3}})
    config = functional(X, (dense, [[["x", 0, 0, {}]]]), outputs=[["d", 0, 0]])
    rewritten = rewrite(config, "2.6.0")
    layers = layers_of(rewritten)
    assert layers["d"]["config"]["activation"] == "linear"
    assert layers["d_activation"]["config"]["negative_slope"] == 0.3
    assert history(layers["d_activation"]) == ["d", 0, 0]
    assert rewritten.config["config"]["output_layers"] == ["d_activation", 0, 0]


def test_slashes_in_names_become_underscores_and_the_files_name_is_kept() -> None:
    config = functional(X, (layer("Dense", "a/b", units=2), [[["x", 0, 0, {}]]]), outputs=[["a/b", 0, 0]])
    rewritten = rewrite(config, "2.2.0")
    assert rewritten.changes.named == {"a_b": "a/b"}
    assert rewritten.config["config"]["output_layers"] == ["a_b", 0, 0]


def test_layers_are_found_by_class_in_the_order_of_the_file() -> None:
    layers = [layer("Dense", "z"), layer("SeparableConv2D", "s"), layer("Dense", "a"), layer("CuDNNLSTM", "l")]
    for entry in layers:
        entry["config"]["units" if entry["class_name"] != "SeparableConv2D" else "filters"] = 2
    stored = rewrite(
        sequential(layer("InputLayer", "x", batch_input_shape=[None, 4]), *layers), "2.13.1"
    ).changes.stored_as
    assert stored == {
        "x": "input_layer", "z": "dense", "s": "separable_conv2d", "a": "dense_1", "l": "cu_dnnlstm"
    }  # fmt: skip


def test_tensorflow_operations_become_operations_of_keras() -> None:
    operation = layer("TFOpLambda", "tf.math.truediv", function="math.truediv")
    cut = layer("SlicingOpLambda", "cut", function="__operators__.getitem")
    config = functional(
        X,
        (operation, [["x", 0, 0, {"y": 127.5, "name": None}]]),
        (cut, [["tf.math.truediv", 0, 0, {"slice_spec": [{"start": None, "stop": None, "step": None}, -1]}]]),
        outputs=[["cut", 0, 0]],
    )
    layers = layers_of(rewrite(config, "2.8.0"))
    divide = layers["tf.math.truediv"]
    assert (divide["module"], divide["class_name"]) == ("keras.src.ops.numpy", "TrueDivide")
    assert divide["inbound_nodes"][0]["args"][1] == 127.5
    whole = {"class_name": "__slice__", "config": {"start": None, "stop": None, "step": None}}
    assert layers["cut"]["inbound_nodes"][0]["args"][1] == [whole, -1]


def test_the_form_says_the_version_where_the_file_does_not() -> None:
    keras1 = sequential(layer("Dense", "d", output_dim=2, inner_activation="x", batch_input_shape=[None, 3]))
    keras3 = sequential(layer("InputLayer", "x", batch_shape=[None, 3]), layer("Dense", "d", units=2))
    keras2 = json.loads(json.dumps(keras3).replace("batch_shape", "batch_input_shape"))
    with pytest.raises(Refused):
        rewrite(keras1)
    assert [rewrite(config).origin.keras for config in (keras2, keras3)] == [2, 3]
