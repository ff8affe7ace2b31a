"""Every way in which a request can be wrong is named, with the choices there are."""

from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from tests.preprocessing.memory import MemoryDataset
from tests.recipes.asking import COLUMNS, N, ask, refused

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


@pytest.mark.parametrize("cut", [{"train": 0.8, "validation": 0.1, "test": 0.2}, {"train": 0.0, "test": 1.0}])
def test_shares_that_do_not_add_up_are_refused(cut: dict[str, float]) -> None:
    with pytest.raises(ValidationError, match="must"):
        ask(preprocessing={"split": {"validation": 0.0, **cut}})


def test_a_label_that_never_changes_is_refused() -> None:
    data = {"all": MemoryDataset({"x": COLUMNS["size"], "p": COLUMNS["new"], "q": ("boolean", [True] * N)})}
    error = refused(target=["p", "q"], data=data)
    assert error.param == "columns.target[1]"
    assert "the same in every row" in error.message
