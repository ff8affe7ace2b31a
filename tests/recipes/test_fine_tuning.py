"""Jobs that start from a model, as they are resolved: what the base decides, and what does not fit. No TensorFlow."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from app.core.errors import Unprocessable
from app.preprocessing.arrays import ArraysPreprocessing
from app.preprocessing.labels import ClassTarget
from app.recipes.base import BaseModel, open_base
from app.recipes.request import JobRequest
from app.recipes.resolve import Resolution, resolve
from tests.preprocessing.memory import MemoryDataset


def head(**config: Any) -> dict[str, Any]:
    return {"class_name": "Dense", "config": {"units": 2, "activation": "softmax", **config}}


SOFTMAX = head()


def layer(name: str, class_name: str, reads: list[str], shape: list[int], **more: Any) -> dict[str, Any]:
    entry = {"name": name, "class": class_name, "inputs": reads, "shape": shape, "activation": None, "parameters": 0}
    return {**entry, "trainable": 0, "operations": 0, "kernels": [], **more}


def dense(name: str, reads: str, width: int, units: int, activation: str) -> dict[str, Any]:
    size = (width + 1) * units
    facts = {"parameters": size, "trainable": size, "operations": size, "kernels": [[width, units]]}
    return layer(name, "Dense", [reads], [units], activation=activation, **facts)


def uploaded(shape: list[int], scale: dict[str, float] | None = None, labels: list[Any] | None = None) -> BaseModel:
    """A dense classifier of three classes, as one that was taken in."""
    width = int(np.prod(shape))
    layers = [
        layer("in", "InputLayer", [], shape),
        layer("flat", "Flatten", ["in"], [width]),
        dense("hidden", "flat", width, 8, "relu"),
        dense("out", "hidden", 8, 3, "softmax"),
    ]
    signature: dict[str, Any] = {"inputs": [{"name": "in", "dtype": "float32", "shape": [-1, *shape]}], "outputs": []}
    fitted = {"kind": "tensors", "format": 1, **signature, "input_scale": scale, "labels": labels}
    return open_base("up", 1, {"layers": layers, "signature": signature, "labels": labels}, fitted)


@dataclass(frozen=True)
class ProfiledColumn:
    """A column whose least and largest value are known."""

    name: str
    type: str
    profile: dict[str, float]
    shape: tuple[int, ...] | None = None


def table(rows: int = 60, classes: int = 2, low: float = -1.0, high: float = 1.0) -> MemoryDataset:
    """Four numbers from `low` to `high`, and a kind."""
    rng = np.random.default_rng(0)
    columns: dict[str, Any] = {f"n{index}": ("number", rng.uniform(low, high, rows)) for index in range(4)}
    data = MemoryDataset({**columns, "kind": ("category", [f"k{row % classes}" for row in range(rows)])})
    profile = {"min": low, "max": high}
    data.columns = [ProfiledColumn(one.name, one.type, profile) for one in data.columns]  # type: ignore[misc]
    return data


def ask(base: BaseModel | None, params: dict[str, Any], data: MemoryDataset, **request: Any) -> Resolution:
    columns = {"target": "kind", **request.pop("columns", {})}
    named = {"base": base.ref} if base is not None else {}
    body = {"recipe": "tabular-classification", "dataset": "ds_x", "columns": columns, "params": {**named, **params}}
    return resolve(JobRequest.model_validate({**body, **request}), {"all": data}, base)


def refused(base: BaseModel | None, params: dict[str, Any], **request: Any) -> Unprocessable:
    with pytest.raises(Unprocessable) as caught:
        ask(base, params, request.pop("data", table()), **request)
    return caught.value


def test_number_columns_are_one_vector_in_their_order() -> None:
    resolution = ask(uploaded([4]), {}, table(), columns={"input": ["n3", "n0", "n1", "n2"]})
    params, arrays = resolution.resolved["params"], resolution.resolved["preprocessing"]["arrays"]
    assert arrays["inputs"] == [{"name": "in", "dtype": "float32", "shape": [4], "columns": ["n3", "n0", "n1", "n2"]}]
    assert (params["base"], params["cut_at"]) == ("up@1", "hidden")
    assert params["head"][-1]["config"]["units"] == 2
    # 5 · 8 of the base, 9 · 2 of the head.
    assert (resolution.estimate["parameters"], resolution.estimate["trainable_parameters"]) == (58, 58)


def test_what_is_trained_is_counted() -> None:
    def trainable(**params: Any) -> Any:
        return ask(uploaded([4]), params, table()).estimate["trainable_parameters"]

    assert trainable(freeze="backbone") == 18
    assert trainable(freeze=1) == 58
    assert trainable(freeze=2) == 18
    assert trainable(lora_rank=2) == 18 + 2 * (4 + 8)


def test_textbook_heads_can_be_said() -> None:
    on_output = ask(uploaded([4]), {"head": [SOFTMAX]}, table())
    assert on_output.resolved["params"]["cut_at"] == "out"
    assert [warning["code"] for warning in on_output.warnings if warning["code"].startswith("head")] == [
        "head_on_chances"
    ]
    replaced = ask(uploaded([4]), {"head": [SOFTMAX], "cut_at": "hidden"}, table())
    assert replaced.resolved["params"]["cut_at"] == "hidden"
    assert not [warning for warning in replaced.warnings if warning["code"].startswith("head")]


def test_the_same_classes_are_trained_on_as_they_are() -> None:
    base = uploaded([4], labels=["k2", "k0", "k1"])
    resolved = ask(base, {}, table(classes=3)).resolved
    assert (resolved["params"]["cut_at"], resolved["params"]["head"]) == ("out", [])
    assert ask(base, {}, table(classes=2)).resolved["params"]["cut_at"] == "hidden"


def test_an_array_column_of_another_shape_is_refused_with_both_shapes() -> None:
    data = MemoryDataset(
        {"a": ("array", np.random.default_rng(0).normal(size=(40, 3, 2))), "kind": ("category", ["x", "y"] * 20)}
    )
    error = refused(uploaded([2, 3]), {}, data=data)
    assert (error.code, error.param) == ("base_misfit", "params.base")
    assert "[2, 3]" in error.message
    assert "[3, 2]" in error.message
    assert ask(uploaded([3, 2]), {}, data).resolved["columns"]["input"] == ["a"]
    assert ask(uploaded([3, 2, 1]), {}, data).resolved["preprocessing"]["arrays"]["inputs"][0]["shape"] == [3, 2, 1]


@pytest.mark.parametrize(
    ("params", "param"),
    [
        ({"cut_at": "nowhere"}, "params.cut_at"),
        ({"cut_at": "in"}, "params.cut_at"),
        ({"freeze": "backbone", "lora_rank": 2}, "params.lora_rank"),
        ({"freeze": "backbone", "head_epochs": 2}, "params.head_epochs"),
        ({"freeze": 99}, "params.freeze"),
        ({"freeze": 2, "lora_rank": 2}, "params.lora_rank"),
        ({"lora_alpha": 2.0}, "params.lora_alpha"),
        ({"head_epochs": 1000}, "params.head_epochs"),
        ({"architecture": {"type": "mlp"}}, "params.architecture"),
        ({"head": [head(units=5)]}, "params.head[0].config.units"),
        ({"head": [{"class_name": "Lambda", "config": {}}]}, "params.head[0].class_name"),
        ({"head": [head(name="out")]}, "params.head[0].config.name"),
        ({"base_learning_rate_ratio": 0.0}, "params.base_learning_rate_ratio"),
    ],
)  # fmt: skip
def test_what_contradicts_itself_is_refused_by_name(params: dict[str, Any], param: str) -> None:
    assert refused(uploaded([4]), params).param == param


def test_fields_of_fine_tuning_need_a_base() -> None:
    assert refused(None, {"freeze": "backbone"}).param == "params.freeze"
    assert refused(None, {"input_scale": {"multiply": 2.0}}).param == "params.input_scale"
    assert "freeze" not in ask(None, {}, table()).resolved["params"]


def test_an_unknown_layer_is_answered_with_those_there_are() -> None:
    error = refused(uploaded([4]), {"cut_at": "nowhere"})
    assert error.code == "layer_unknown"
    assert "flat, hidden, out" in error.message


def test_the_scale_is_the_uploads_and_what_is_plainly_off_is_said() -> None:
    byte = {"multiply": 1 / 255, "add": 0.0}
    codes = {code["code"] for code in ask(uploaded([4], byte), {}, table(low=0.0)).warnings if "input" in code["code"]}
    assert codes == {"input_range"}
    resolution = ask(uploaded([4], byte), {}, table(low=0.0, high=255.0))
    assert resolution.resolved["params"]["input_scale"] == byte
    assert not [warning for warning in resolution.warnings if "input" in warning["code"]]
    raw = ask(uploaded([4]), {}, table(low=0.0, high=255.0))
    assert raw.resolved["params"]["input_scale"] == {"multiply": 1.0, "add": 0.0}
    assert [warning["code"] for warning in raw.warnings if "input" in warning["code"]] == ["input_scale_unknown"]
    given = ask(uploaded([4]), {"input_scale": byte}, table(low=0.0, high=255.0))
    assert given.resolved["preprocessing"]["arrays"]["input_scale"] == byte


def test_arrays_are_scaled_filled_and_kept_as_json() -> None:
    train = {"a": np.array([1.0, np.nan, 5.0]), "b": np.array([0.0, 2.0, 4.0])}
    plan = {
        "inputs": [
            {"name": "both", "dtype": "float32", "shape": [2], "columns": ["b", "a"]},
            {"name": "ids", "dtype": "int32", "shape": [1], "columns": ["a"]},
        ],
        "input_scale": {"multiply": 0.5, "add": 1.0},
    }
    columns = MemoryDataset({name: ("number", values) for name, values in train.items()}).columns
    target = ClassTarget("kind", "category", ("x", "y"))
    fitted = ArraysPreprocessing.fit(train, columns, [], target, plan, True)
    again = ArraysPreprocessing.from_json(fitted.to_json())
    for one in (fitted, again):
        given = one.transform(train)
        # A missing number becomes the median of the training rows; ids are not scaled.
        np.testing.assert_array_equal(given["both"], [[1.0, 1.5], [2.0, 2.5], [3.0, 3.5]])
        np.testing.assert_array_equal(given["ids"], [[1], [3], [5]])
        assert given["ids"].dtype == np.int32
    without = again.transform({"b": np.zeros(2)})
    np.testing.assert_array_equal(without["both"], [[1.0, 2.5], [1.0, 2.5]])
