"""From a request to a complete job, and every way in which a request can be wrong."""

import json
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from app.core.errors import Unprocessable
from app.preprocessing.prepare import prepare
from app.recipes.optimizers import COMMON, OPTIMIZERS
from app.recipes.request import JobRequest
from app.recipes.resolve import Resolution, resolve
from tests.preprocessing.memory import MemoryDataset

RANDOM = np.random.default_rng(2)
N = 120
COLUMNS: dict[str, tuple[str, Any]] = {
    "size": ("number", RANDOM.normal(size=N)),
    "rooms": ("integer", RANDOM.integers(1, 6, N)),
    "home town": ("category", [["Rome", "Oslo", "京都"][index] for index in RANDOM.integers(0, 3, N)]),
    "new": ("boolean", RANDOM.integers(0, 2, N)),
    "sold.at": ("datetime", RANDOM.uniform(0, 1e9, N)),
    "vector": ("array", RANDOM.normal(size=(N, 3))),
    "kind": ("category", [["flat", "house", "hut"][index] for index in RANDOM.integers(0, 3, N)]),
    "price": ("number", RANDOM.normal(100, 20, N)),
    "code": ("integer", RANDOM.integers(0, 2, N)),
    "file": ("image", RANDOM.normal(size=N)),
}
DATA = {"all": MemoryDataset(COLUMNS)}


def ask(recipe: str = "tabular-classification", target: Any = "kind", data: Any = None, **parts: Any) -> Resolution:
    columns = {"target": target, **parts.pop("columns", {})}
    body = {"recipe": recipe, "dataset": "ds_1", "columns": columns, **parts}
    return resolve(JobRequest.model_validate(body), data or DATA)


def refused(**request: Any) -> Unprocessable:
    with pytest.raises(Unprocessable) as caught:
        ask(**request)
    assert caught.value.param is not None
    return caught.value


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


WRONG: list[tuple[dict[str, Any], str, str]] = [
    ({"recipe": "tabular"}, "recipe", "tabular-classification, tabular-regression"),
    ({"target": None}, "columns.target", "home town"),
    ({"target": []}, "columns.target", "needs the column"),
    ({"target": "kinds"}, "columns.target", "size, rooms"),
    ({"target": "vector"}, "columns.target", "of type array"),
    ({"target": ["new", "kind"]}, "columns.target[1]", "booleans, or 0 and 1"),
    ({"target": ["new", "new"]}, "columns.target", "named twice"),
    ({"target": "size"}, "columns.target", "use tabular-regression"),
    ({"recipe": "tabular-regression", "target": "kind"}, "columns.target", "size, rooms, price, code"),
    ({"recipe": "tabular-regression", "target": ["price", "size"]}, "columns.target", "predicts one column"),
    ({"columns": {"input": ["kind"]}}, "columns.input", "also columns.target"),
    ({"columns": {"input": ["size", "nope"]}}, "columns.input[1]", "no column 'nope'"),
    ({"columns": {"input": ["size", "size"]}}, "columns.input", "named twice"),
    ({"columns": {"input": []}}, "columns.input", "no input column"),
    ({"columns": {"input": ["file"]}}, "columns.input[0]", "of type image"),
    ({"columns": {"exclude": ["nope"]}}, "columns.exclude[0]", "no column"),
    ({"columns": {"exclude": ["kind"]}}, "columns.target", "also columns.exclude"),
    ({"columns": {"exclude": [name for name in COLUMNS if name != "kind"]}}, "columns.input", "no input column"),
    ({"columns": {"weight": "home town"}}, "columns.weight", "of type category"),
    ({"columns": {"time": "home town"}}, "columns.time", "of type category"),
    ({"columns": {"id": "kind"}}, "columns.target", "also columns.id"),
    ({"preprocessing": {"split": {"method": "group"}}}, "preprocessing.split.method", "needs columns.group"),
    ({"preprocessing": {"split": {"method": "time"}}}, "preprocessing.split.method", "needs columns.time"),
    (
        {"recipe": "tabular-regression", "target": "price", "preprocessing": {"split": {"method": "stratified"}}},
        "preprocessing.split.method",
        "random, group, time or tail",
    ),
    ({"params": {"arch": {}}}, "params.arch", "architecture"),
    ({"params": {"architecture": {"type": "bert"}}}, "params.architecture.type", "'mlp', 'layers'"),
    ({"params": {"architecture": {"units": [0]}}}, "params.architecture.units[0]", "greater than or equal to 1"),
    ({"params": {"architecture": {"units": [8], "width": 4}}}, "params.architecture.units", "leave num_layers"),
    ({"params": {"architecture": {"activation": "swish2"}}}, "params.architecture.activation", "'relu'"),
    ({"params": {"architecture": {"dropout": 1.0}}}, "params.architecture.dropout", "less than 1"),
    ({"params": {"architecture": {"members": "4"}}}, "params.architecture.members", "integer"),
    (
        {"params": {"architecture": {"number_embeddings": {"bin": 1}}}},
        "params.architecture.number_embeddings.bin",
        "bins",
    ),
    ({"params": {"architecture": {"width": 8192, "num_layers": 32}}}, "params.architecture", "200,000,000"),
    ({"params": {"architecture": {"type": "layers"}}}, "params.architecture.layers", "required"),
    ({"training": {"loss": "mse"}}, "training.loss", "sparse_categorical_crossentropy"),
    ({"training": {"loss": "binary_crossentropy"}}, "training.loss", "3 classes are too many"),
    ({"recipe": "tabular-regression", "target": "price", "training": {"loss": "focal"}}, "training.loss", "huber"),
    ({"training": {"metrics": ["accuracy", "bleu"]}}, "training.metrics[1]", "roc_auc"),
    ({"training": {"optimizer": {"name": "adam", "momentum": 0.9}}}, "training.optimizer.momentum", "beta_1"),
    ({"training": {"optimizer": {"name": "sgd", "nesterov": True}}}, "training.optimizer.nesterov", "momentum"),
    ({"training": {"optimizer": {"clipnorm": 1.0, "clipvalue": 1.0}}}, "training.optimizer.clipvalue", "exclude"),
    ({"training": {"schedule": {"name": "constant", "end_ratio": 0.1}}}, "training.schedule.end_ratio", "warmup"),
    (
        {"training": {"schedule": {"name": "linear", "warmup_ratio": 0.1, "warmup_steps": 5}}},
        "training.schedule.warmup_steps",
        "exclude",
    ),
    (
        {"target": ["new", "code"], "training": {"class_weight": "balanced"}},
        "training.class_weight",
        "a weight for each label",
    ),
    (
        {
            "training": {"regularization": {"dropout": 0.5}},
            "params": {"architecture": {"type": "layers", "layers": [{"class_name": "Flatten"}]}},
        },
        "training.regularization.dropout",
        "set their rate",
    ),
    ({"training": {"class_weight": {"villa": 2.0}}}, "training.class_weight.villa", "flat, house, hut"),
    ({"training": {"class_weight": {"flat": 0.0, "house": 0, "hut": 0}}}, "training.class_weight", "all weights are 0"),
    (
        {"recipe": "tabular-regression", "target": "price", "training": {"class_weight": "balanced"}},
        "training.class_weight",
        "columns.weight",
    ),
    (
        {"recipe": "tabular-regression", "target": "price", "training": {"regularization": {"label_smoothing": 0.1}}},
        "training.regularization.label_smoothing",
        "no labels",
    ),
    ({"training": {"early_stopping": {"monitor": "val_f1"}}}, "training.early_stopping.monitor", "val_accuracy"),
    (
        {"training": {"gradient_accumulation_steps": 4096, "epochs": 2}},
        "training.gradient_accumulation_steps",
        "batches",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("request_", "param", "said"), WRONG, ids=[param + "-" + said for _, param, said in WRONG])
def test_what_is_wrong_is_named_with_the_choices(request_: dict[str, Any], param: str, said: str) -> None:
    error = refused(**request_)
    assert error.param == param
    assert said in error.message


def labelled(labels: list[Any], kind: str = "category") -> dict[str, MemoryDataset]:
    rows = len(labels)
    return {"all": MemoryDataset({"x": ("number", np.arange(rows) * 0.7), "y": (kind, labels)})}


@pytest.mark.parametrize(
    ("labels", "kind", "said"),
    [
        (["a"] * 30, "category", "only the class 'a'"),
        ([None] * 30, "category", "no value"),
        ([f"row {number}" for number in range(30)], "text", "30 different values in 30 rows"),
    ],
)
def test_a_target_that_cannot_be_told_apart_is_refused(labels: list[Any], kind: str, said: str) -> None:
    error = refused(target="y", data=labelled(labels, kind))
    assert error.param == "columns.target"
    assert said in error.message


def test_a_constant_value_cannot_be_learned() -> None:
    error = refused(recipe="tabular-regression", target="y", data=labelled([3.0] * 30, "number"))
    assert "the value 3 in every row" in error.message


def test_a_stratified_split_needs_a_row_of_each_class_for_each_split() -> None:
    labels = ["a"] * 30 + ["b"] * 2
    error = refused(target="y", data=labelled(labels), preprocessing={"split": {"method": "stratified"}})
    assert error.param == "preprocessing.split.method"
    assert "'b' has 2 rows, too few for 3 splits" in error.message
    warnings = ask(target="y", data=labelled(labels)).warnings
    assert any(one["code"] == "class_missing" for one in warnings)


@pytest.mark.parametrize("rows", [1, 2, 3])
def test_too_few_rows_are_refused(rows: int) -> None:
    assert refused(target="y", data=labelled((["a", "b", "a"])[:rows])).param in (
        "preprocessing.split",
        "columns.target",
    )


def test_missing_targets_are_an_error_where_they_may_not_go() -> None:
    data = labelled(["a", "b", None] * 10)
    error = refused(target="y", data=data, preprocessing={"clean": {"drop_missing_target": False}})
    assert "10 rows have no 'y'" in error.message


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


@pytest.mark.parametrize("cut", [{"train": 0.8, "validation": 0.1, "test": 0.2}, {"train": 0.0, "test": 1.0}])
def test_shares_that_do_not_add_up_are_refused(cut: dict[str, float]) -> None:
    with pytest.raises(ValidationError, match="must"):
        ask(preprocessing={"split": {"validation": 0.0, **cut}})


def test_a_label_that_never_changes_is_refused() -> None:
    data = {"all": MemoryDataset({"x": COLUMNS["size"], "p": COLUMNS["new"], "q": ("boolean", [True] * N)})}
    error = refused(target=["p", "q"], data=data)
    assert error.param == "columns.target[1]"
    assert "the same in every row" in error.message


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
