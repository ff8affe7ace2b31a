"""The arithmetic of parameters and shapes, against what Keras builds."""

import itertools
from typing import Any

import numpy as np
import pytest

from app.preprocessing.prepare import prepare
from app.recipes.layer_rules import LAYERS, RECURRENT
from app.recipes.layers import check_configs, fit_layers
from app.recipes.request import JobRequest
from app.recipes.resolve import resolve
from app.recipes.tabular_counts import count_mlp
from tests.preprocessing.memory import MemoryDataset
from tests.recipes.test_layers import END, SHAPES, as_configs

pytestmark = pytest.mark.recipes

RANDOM = np.random.default_rng(0)
N = 150
DATA = {
    "all": MemoryDataset(
        {
            "a": ("number", [None if index % 9 == 0 else value for index, value in enumerate(RANDOM.normal(size=N))]),
            "b": ("integer", RANDOM.integers(0, 5, N)),
            "c": ("category", [f"c{index}" for index in RANDOM.integers(0, 6, N)]),
            "d": ("category", [f"d{index}" for index in RANDOM.integers(0, 3, N)]),
            "y": ("category", [f"y{index}" for index in RANDOM.integers(0, 3, N)]),
        }
    )
}
EMBEDDINGS = [{"type": "none"}, {"type": "piecewise-linear", "bins": 7, "width": 4}, {"type": "periodic", "width": 4}]


@pytest.mark.parametrize(
    ("numbers", "categories", "members", "normalization"),
    [
        *itertools.product(EMBEDDINGS, [{"type": "one-hot"}, {"type": "embedding", "width": 3}], [1, 4], ["none"]),
        (EMBEDDINGS[0], {"type": "one-hot"}, 1, "batch"),
        (EMBEDDINGS[0], {"type": "one-hot"}, 4, "layer"),
    ],
)
def test_parameters_of_an_mlp_are_counted_exactly(
    numbers: dict[str, Any], categories: dict[str, Any], members: int, normalization: str
) -> None:
    from workers.recipes.registry import BUILDERS

    architecture = {
        "units": [16, 8],
        "members": members,
        "normalization": normalization,
        "number_embeddings": numbers,
        "category_embeddings": categories,
    }
    body = {
        "recipe": "tabular-classification",
        "dataset": "ds_1",
        "columns": {"target": "y"},
        "params": {"architecture": architecture},
    }
    resolution = resolve(JobRequest.model_validate(body), DATA)
    prepared = prepare(resolution.resolved, DATA)
    built = BUILDERS["tabular-classification"](resolution.resolved, prepared)
    counted = count_mlp(resolution.resolved["params"]["architecture"], prepared.preprocessing, 3)
    assert counted.parameters == built.serving_model.count_params()
    assert resolution.estimate["parameters"] == counted.parameters


@pytest.mark.parametrize(("layer", "row"), [one[:2] for one in SHAPES], ids=[one[0][0] for one in SHAPES])
def test_a_layer_of_the_allow_list_is_what_keras_makes_of_it(layer: tuple[str, Any], row: tuple[int, ...]) -> None:
    from workers.architectures.layers import build_layers
    from workers.architectures.mlp import TabularInputs

    configs = check_configs(as_configs(layer, ("Flatten", {}), END), "layers")
    totals = fit_layers(configs, row, 10, "classification", "layers")
    built = build_layers(configs, TabularInputs(array=row), 10, "classification")
    assert built.serving_model.count_params() == totals.parameters
    assert built.serving_model.output_shape == (None, *totals.shape)


@pytest.mark.parametrize("name", list(LAYERS))
def test_what_keras_writes_of_a_layer_is_accepted_and_rebuilt(name: str) -> None:
    import keras

    needed: dict[str, Any] = {
        "Dense": {"units": 3},
        "Activation": {"activation": "relu"},
        "Rescaling": {"scale": 2.0},
        "Reshape": {"target_shape": (4, 2)},
        "Permute": {"dims": (2, 1)},
        "RepeatVector": {"n": 3},
        "GaussianNoise": {"stddev": 0.5},
        "AveragePooling1D": {"pool_size": 2},
        "AveragePooling2D": {"pool_size": 2},
    }.get(name, {})
    fields = LAYERS[name].fields
    needed |= {"rate": 0.5} if "rate" in fields else {}
    needed |= {"filters": 4} if "filters" in fields else {}
    needed |= {"kernel_size": 2} if "kernel_size" in fields else {}
    needed |= {"units": 3} if name in RECURRENT else {}
    written = keras.saving.serialize_keras_object(getattr(keras.layers, name)(**needed))
    layer = {"class_name": written["class_name"], "config": written["config"], "module": written["module"]}
    checked = check_configs([layer], "layers")[0]
    rebuilt = getattr(keras.layers, name).from_config(checked["config"])
    assert check_configs([{"class_name": name, "config": rebuilt.get_config()}], "layers")[0] == checked
