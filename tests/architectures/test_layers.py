"""Networks from a list of Keras layer configs."""

from typing import Any

import numpy as np
import pytest

pytestmark = pytest.mark.recipes


def _dense(units: int, activation: str) -> dict[str, Any]:
    return {"class_name": "Dense", "config": {"units": units, "activation": activation}}


def test_the_classic_network_on_an_array_is_built_as_written() -> None:
    from workers.architectures.layers import build_layers
    from workers.architectures.mlp import TabularInputs

    configs = [_dense(64, "relu"), _dense(64, "relu"), _dense(10, "softmax")]
    built = build_layers(configs, TabularInputs(array=(10,)), 10, "classification")
    assert built.serving_model is built.training_model
    assert not built.from_logits
    assert built.serving_model.count_params() == 10 * 64 + 64 + 64 * 64 + 64 + 64 * 10 + 10
    answer = np.asarray(built.serving_model({"x": np.ones((3, 10), "float32")}))
    np.testing.assert_allclose(answer.sum(axis=1), 1.0, atol=1e-5)


def test_columns_of_a_table_enter_side_by_side() -> None:
    from workers.architectures.layers import build_layers
    from workers.architectures.mlp import TabularInputs

    inputs = TabularInputs(numbers=2, cardinalities=(3, 4), edges=((0.0, 1.0), (0.0, 1.0)))
    built = build_layers([_dense(1, "linear")], inputs, 1, "regression")
    assert built.serving_model.count_params() == 2 + 3 + 4 + 1


def test_one_sigmoid_stands_for_two_classes() -> None:
    from workers.architectures.layers import build_layers
    from workers.architectures.mlp import TabularInputs

    built = build_layers([_dense(1, "sigmoid")], TabularInputs(array=(4,)), 2, "classification")
    answer = np.asarray(built.serving_model({"x": np.ones((5, 4), "float32")}))
    assert answer.shape == (5, 2)
    np.testing.assert_allclose(answer.sum(axis=1), 1.0, atol=1e-6)


def test_a_last_layer_of_another_size_is_refused_with_both_sizes() -> None:
    from workers.architectures.layers import build_layers
    from workers.architectures.mlp import TabularInputs

    with pytest.raises(ValueError, match=r"must give 3 numbers a row.*\(10,\)"):
        build_layers([_dense(10, "softmax")], TabularInputs(array=(4,)), 3, "classification")


def test_a_layer_that_does_not_fit_is_named() -> None:
    from workers.architectures.layers import build_layers
    from workers.architectures.mlp import TabularInputs

    configs = [_dense(4, "relu"), {"class_name": "Conv2D", "config": {"filters": 2, "kernel_size": 3}}]
    with pytest.raises(ValueError, match=r"layers\[1\] \(Conv2D\)"):
        build_layers(configs, TabularInputs(array=(4,)), 3, "classification")


@pytest.mark.parametrize("class_name", ["Lambda", "TFSMLayer", "Layer"])
def test_a_class_that_is_not_allowed_is_never_built(class_name: str) -> None:
    from app.core.errors import Unprocessable
    from workers.architectures.layers import build_layers
    from workers.architectures.mlp import TabularInputs

    with pytest.raises(Unprocessable, match=class_name):
        build_layers([{"class_name": class_name, "config": {}}], TabularInputs(array=(4,)), 3, "classification")


def test_nested_layers_and_penalties_are_built_from_checked_configs() -> None:
    from workers.architectures.layers import build_layers
    from workers.architectures.mlp import TabularInputs

    last = _dense(3, "softmax")
    last["config"]["kernel_regularizer"] = {"class_name": "L2", "config": {"l2": 0.01}}
    lstm = {"class_name": "LSTM", "config": {"units": 4}}
    configs = [
        {"class_name": "InputLayer", "config": {"shape": [8]}},
        {"class_name": "Reshape", "config": {"target_shape": [8, 1]}},
        {"class_name": "Bidirectional", "config": {"layer": lstm}},
        last,
    ]
    built = build_layers(configs, TabularInputs(array=(8,)), 3, "classification")
    assert built.serving_model.count_params() == 2 * 4 * 4 * (1 + 4 + 1) + 8 * 3 + 3
    assert len(built.training_model.losses) == 1
