"""From a request to a complete job: every default filled, and said."""

import json
from typing import Any

import numpy as np
import pytest

from app.preprocessing.prepare import prepare
from app.recipes.optimizers import COMMON, OPTIMIZERS
from tests.preprocessing.memory import MemoryDataset
from tests.recipes.asking import DATA, RANDOM, ask, refused


def test_three_fields_are_enough_and_everything_is_set() -> None:
    resolved = ask().resolved
    assert json.loads(json.dumps(resolved, allow_nan=False)) == resolved
    assert resolved["task"] == "classification"
    assert resolved["columns"]["input"] == [
        "size", "rooms", "home town", "new", "sold.at", "vector", "price", "code",
    ]  # fmt: skip
    assert resolved["preprocessing"]["split"]["method"] == "stratified"
    training = resolved["training"]
    assert training["loss"] == "sparse_categorical_crossentropy"
    assert training["metrics"] == ["accuracy"]
    assert training["epochs"] >= 1
    assert 1 <= training["batch_size"] <= 96
    assert training["optimizer"]["learning_rate"] > 0
    assert training["early_stopping"]["monitor"] == "val_loss"
    assert all(isinstance(units, int) for units in resolved["params"]["architecture"]["units"])


def test_what_was_resolved_can_be_prepared_and_estimated() -> None:
    resolution = ask()
    prepared = prepare(json.loads(json.dumps(resolution.resolved)), DATA)
    rows = len(prepared.splits["train"])
    training = resolution.resolved["training"]
    assert resolution.estimate["steps"] == training["epochs"] * -(-rows // training["batch_size"])
    assert resolution.estimate["parameters"] > 1000
    assert resolution.estimate["memory_bytes"] > 100 * 2**20
    assert resolution.estimate["seconds"] > 0


def test_a_resolved_request_resolves_to_itself() -> None:
    first = ask(training={"epochs": 3, "optimizer": {"name": "sgd", "momentum": 0.5}}).resolved
    columns = {key: value for key, value in first["columns"].items() if key not in ("input_named", "target", "input")}
    architecture = {
        key: value for key, value in first["params"]["architecture"].items() if key not in ("width", "num_layers")
    }
    again = ask(
        columns=columns,
        preprocessing=first["preprocessing"],
        params={"architecture": architecture},
        training=first["training"],
    ).resolved
    assert again["training"] == first["training"]
    assert again["preprocessing"] == first["preprocessing"]
    assert again["params"] == first["params"]


def test_a_regression_has_its_own_defaults() -> None:
    resolved = ask("tabular-regression", "price").resolved
    assert resolved["preprocessing"]["split"]["method"] == "random"
    assert resolved["training"]["loss"] == "mean_squared_error"
    assert resolved["training"]["metrics"] == ["mae", "rmse"]


def test_several_targets_are_labels() -> None:
    resolved = ask(target=["new", "code"]).resolved
    assert resolved["multilabel"]
    assert resolved["training"]["loss"] == "binary_crossentropy"
    assert resolved["preprocessing"]["split"]["method"] == "random"


def test_a_list_of_one_target_is_that_target() -> None:
    assert ask(target=["kind"]).resolved == ask(target="kind").resolved


@pytest.mark.parametrize(("first", "scaling"), [("Rescaling", "none"), ("Activation", "standard")])
def test_layers_that_scale_by_themselves_get_the_data_as_it_is(first: str, scaling: str) -> None:
    config = {"scale": 0.1} if first == "Rescaling" else {"activation": "linear"}
    layers = [
        {"class_name": first, "config": config},
        {"class_name": "Dense", "config": {"units": 3, "activation": "softmax"}},
    ]
    resolved = ask(
        params={"architecture": {"type": "layers", "layers": layers}}, columns={"input": ["vector"]}
    ).resolved
    assert resolved["preprocessing"]["numbers"]["scaling"] == scaling


@pytest.mark.parametrize(("role", "method"), [("group", "group"), ("time", "time")])
def test_a_group_or_time_column_chooses_the_split(role: str, method: str) -> None:
    column = "rooms" if role == "group" else "sold.at"
    resolved = ask(columns={role: column}).resolved
    assert resolved["preprocessing"]["split"]["method"] == method
    assert column not in resolved["columns"]["input"]


def test_roles_and_excluded_columns_are_no_inputs() -> None:
    resolved = ask(columns={"exclude": ["price"], "weight": "rooms", "id": "code"}).resolved
    assert resolved["columns"]["input"] == ["size", "home town", "new", "sold.at", "vector"]


def test_dropout_of_regularization_is_the_architectures() -> None:
    resolved = ask(training={"regularization": {"dropout": 0.37}}).resolved
    assert resolved["params"]["architecture"]["dropout"] == 0.37
    assert resolved["training"]["regularization"]["dropout"] == 0.37


def test_width_and_num_layers_become_units() -> None:
    resolved = ask(params={"architecture": {"width": 8, "num_layers": 2}}).resolved
    assert resolved["params"]["architecture"]["units"] == [8, 8]


def test_without_validation_nothing_waits_for_it() -> None:
    split = {"train": 0.9, "validation": 0.0, "test": 0.1}
    assert ask(preprocessing={"split": split}).resolved["training"]["early_stopping"] is None
    error = refused(preprocessing={"split": split}, training={"early_stopping": {"monitor": "val_loss"}})
    assert error.param == "training.early_stopping.monitor"


def test_early_stopping_can_be_switched_off() -> None:
    assert ask(training={"early_stopping": False}).resolved["training"]["early_stopping"] is None


def test_a_batch_larger_than_the_data_is_cut_and_said() -> None:
    resolution = ask(training={"batch_size": 5000})
    assert resolution.resolved["training"]["batch_size"] == 96
    assert "batch_size_reduced" in [warning["code"] for warning in resolution.warnings]


def test_a_monitored_metric_keeps_one_name() -> None:
    resolved = ask(training={"metrics": ["acc"], "early_stopping": {"monitor": "val_acc"}}).resolved
    assert resolved["training"]["metrics"] == ["accuracy"]
    assert resolved["training"]["early_stopping"]["monitor"] == "val_accuracy"


def parts(**columns: Any) -> MemoryDataset:
    base = {"x": ("number", RANDOM.normal(size=40)), "y": ("category", ["a", "b"] * 20)}
    return MemoryDataset({name: value for name, value in {**base, **columns}.items() if value is not None})


@pytest.mark.parametrize(
    ("data", "param", "said"),
    [
        ({"train": parts(), "test": parts(x=None)}, "dataset.test", "no column 'x'"),
        ({"train": parts(), "test": parts(y=None)}, "dataset.test", "no column 'y'"),
        ({"train": parts(), "validation": parts(x=("category", ["u"] * 40))}, "dataset.validation", "of type category"),
        ({"all": MemoryDataset({"x": ("number", [1, 2])}, {"test": 2})}, "dataset", "there is no 'train'"),
    ],
)
def test_data_sets_that_do_not_fit_together_are_refused(data: dict[str, Any], param: str, said: str) -> None:
    error = refused(target="y", data=data)
    assert error.param == param
    assert said in error.message


def test_a_column_the_test_set_does_not_need_may_be_absent() -> None:
    data = {"train": parts(z=("number", RANDOM.normal(size=40))), "test": parts()}
    resolved = ask(target="y", data=data, columns={"exclude": ["z"]}).resolved
    assert resolved["columns"]["input"] == ["x"]


def test_integers_and_numbers_fit_together() -> None:
    data = {"train": parts(), "test": parts(x=("integer", range(40)))}
    assert ask(target="y", data=data).resolved["columns"]["input"] == ["x"]


def large(rare: int) -> dict[str, MemoryDataset]:
    labels = ["a"] * 3000 + ["b"] * 3000
    labels[1 : 2 * rare : 2] = ["c"] * rare
    numbers = np.random.default_rng(0).normal(size=(2, 6000))
    columns = {"x": ("number", numbers[0]), "z": ("number", numbers[1]), "y": ("category", labels)}
    return {"all": MemoryDataset(columns)}


def test_a_large_data_set_is_looked_at_through_a_sample(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = ask(target="y", data=large(0))
    monkeypatch.setattr("app.recipes.sampling.MAX_CELLS", 3000)
    monkeypatch.setattr("app.recipes.sampling.LEAST_ROWS", 1000)
    sampled = ask(target="y", data=large(0))
    assert "every 6th row" in sampled.estimate["basis"]
    assert sampled.estimate["steps"] == pytest.approx(whole.estimate["steps"], rel=0.05)
    assert sampled.resolved["columns"] == whole.resolved["columns"]


def test_a_class_that_a_sample_misses_still_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    data = large(20)
    layers = [{"class_name": "Dense", "config": {"units": 3, "activation": "softmax"}}]
    params = {"architecture": {"type": "layers", "layers": layers}}
    monkeypatch.setattr("app.recipes.sampling.MAX_CELLS", 9000)
    monkeypatch.setattr("app.recipes.sampling.LEAST_ROWS", 1000)
    resolution = ask(target="y", data=data, params=params)
    assert "every" in resolution.estimate["basis"]
    assert resolution.warnings == []
    two = [{"class_name": "Dense", "config": {"units": 2, "activation": "softmax"}}]
    error = refused(target="y", data=data, params={"architecture": {"type": "layers", "layers": two}})
    assert "3 numbers a row" in error.message


def test_what_a_sample_cannot_train_on_is_looked_at_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    labels = ["b" if row % 2 else "a" for row in range(6000)]
    data = {
        "all": MemoryDataset({"x": ("number", np.random.default_rng(0).normal(size=6000)), "y": ("category", labels)})
    }
    monkeypatch.setattr("app.recipes.sampling.MAX_CELLS", 6000)
    monkeypatch.setattr("app.recipes.sampling.LEAST_ROWS", 1000)
    assert "every" not in ask(target="y", data=data).estimate["basis"]  # every second row is of one class


def test_what_auto_became_of_copies_is_said() -> None:
    assert ask().resolved["preprocessing"]["clean"]["drop_duplicates"] is True
    bits = {name: ("boolean", RANDOM.integers(0, 2, 200)) for name in ("p", "y")}
    assert (
        ask(target="y", data={"all": MemoryDataset(bits)}).resolved["preprocessing"]["clean"]["drop_duplicates"]
        is False
    )


def test_a_time_budget_bounds_the_estimate() -> None:
    assert ask(training={"max_seconds": 0.5, "epochs": 5000}).estimate["seconds"] == 0.5


def test_named_class_weights_are_kept() -> None:
    assert ask(training={"class_weight": {"flat": 2.0}}).resolved["training"]["class_weight"] == {"flat": 2.0}


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [
        ({"name": "step"}, {"decay_rate": 0.1, "decay_epochs": 3.0}),
        ({"name": "exponential", "decay_rate": 0.5}, {"decay_rate": 0.5, "decay_epochs": 1.0}),
        ({"name": "cosine", "warmup_steps": 7}, {"end_ratio": 0.0, "warmup_steps": 7, "warmup_ratio": 0.0}),
        ({"name": "slanted-triangular"}, {"warmup_ratio": 0.1}),
        ({"name": "linear", "warmup_ratio": 0.2}, {"warmup_ratio": 0.2, "end_ratio": 0.0}),
    ],
)
def test_schedules_are_complete(schedule: dict[str, Any], expected: dict[str, Any]) -> None:
    resolved = ask(training={"epochs": 9, "schedule": schedule}).resolved["training"]["schedule"]
    assert expected.items() <= resolved.items()


@pytest.mark.parametrize("name", list(OPTIMIZERS))
def test_every_optimizer_has_all_its_fields(name: str) -> None:
    resolved = ask(training={"optimizer": {"name": name}}).resolved["training"]["optimizer"]
    assert resolved.keys() == {"name", *COMMON, *OPTIMIZERS[name]}
    assert resolved["learning_rate"] > 0
