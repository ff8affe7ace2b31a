"""Warnings: they fire on what they are about, and on nothing that is merely good."""

import csv
from pathlib import Path

import numpy as np
import pytest

from app.preprocessing.clean import hash_table
from app.preprocessing.columns import Table
from app.preprocessing.findings import TOLD, class_findings, shared_rows, telling_columns
from app.preprocessing.labels import ClassTarget, LabelsTarget, ValueTarget
from app.preprocessing.oracle import classes_told, values_told
from tests.preprocessing.memory import MemoryColumn, as_column, resolved_for

RANDOM = np.random.default_rng(5)
N = 2000
CLEAN = resolved_for(["x"], "y")["preprocessing"]["clean"]


def tell(kind: str, values: object, classes: np.ndarray) -> list[str]:
    table = Table({"x": as_column(kind, values)}, np.arange(len(classes)))  # type: ignore[arg-type]
    target = ClassTarget("y", "integer", tuple(range(int(classes.max()) + 1)))
    found = telling_columns(table, [MemoryColumn("x", kind)], target, classes.astype(np.int32))
    return [warning["column"] for warning in found]


CLASSES = RANDOM.integers(0, 3, N)


def test_a_renamed_target_is_told() -> None:
    assert tell("category", [["no", "maybe", "yes"][value] for value in CLASSES], CLASSES) == ["x"]


def test_a_number_that_orders_the_classes_is_told() -> None:
    assert tell("number", CLASSES + RANDOM.uniform(0.1, 0.9, N), CLASSES) == ["x"]


def test_a_column_that_is_missing_exactly_for_one_class_is_told() -> None:
    classes = RANDOM.integers(0, 2, N)
    values = [None if value else number for value, number in zip(classes, RANDOM.normal(size=N), strict=True)]
    assert tell("number", values, classes) == ["x"]


@pytest.mark.parametrize("errors", [0.03, 0.1, 0.3])
def test_a_strong_column_is_not_told(errors: float) -> None:
    wrong = RANDOM.random(N) < errors
    values = np.where(wrong, RANDOM.integers(0, 3, N), CLASSES)
    assert tell("integer", values, CLASSES) == []


def test_a_value_of_its_own_in_every_row_tells_nothing_of_new_rows() -> None:
    assert tell("category", [f"row {number}" for number in range(N)], CLASSES) == []
    assert tell("number", RANDOM.normal(size=N), CLASSES) == []


def test_a_rare_class_that_few_rows_have_is_no_proof() -> None:
    classes = np.zeros(N, dtype=int)
    classes[:5] = 1
    assert tell("integer", classes, classes) == []


def test_elements_of_an_array_are_looked_at_one_by_one() -> None:
    values = RANDOM.normal(size=(N, 4))
    values[:, 2] = CLASSES
    assert tell("array", values, CLASSES) == ["x"]


def test_one_of_several_labels_is_told() -> None:
    labels = RANDOM.integers(0, 2, (N, 2)).astype(np.float32)
    table = Table({"x": labels[:, 1].astype(float)}, np.arange(N))
    assert telling_columns(table, [MemoryColumn("x", "number")], LabelsTarget(("a", "b")), labels)


@pytest.mark.parametrize("function", [lambda y: 3 * y - 2, np.exp, lambda y: y**3, lambda y: -1 / (y - 10)])
def test_a_function_of_a_value_is_told(function) -> None:  # type: ignore[no-untyped-def]
    goal = RANDOM.normal(size=N)
    assert values_told(function(goal), goal) >= TOLD


def test_a_noisy_value_is_not_told_and_scores_as_much_as_it_explains() -> None:
    goal = RANDOM.normal(size=N)
    share = values_told(goal + RANDOM.normal(size=N), goal)
    assert share == pytest.approx(0.5, abs=0.06)


def test_nothing_is_told_by_noise() -> None:
    assert classes_told(RANDOM.normal(size=N), CLASSES, 3, 10) < 0.1
    assert values_told(RANDOM.normal(size=N), RANDOM.normal(size=N)) < 0.1


def test_titanic_alive_is_told_and_no_honest_column(data_dir: Path) -> None:
    with (data_dir / "tabular" / "titanic.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    classes = np.array([int(row["survived"]) for row in rows])
    told = {
        name: tell("category", [row[name] or None for row in rows], classes) for name in rows[0] if name != "survived"
    }
    assert [name for name, found in told.items() if found] == ["alive"]


def table_of(values: list[int]) -> Table:
    return hash_table(Table({"x": np.array(values, float)}, np.arange(len(values))), ["x"], CLEAN)


def test_rows_in_two_splits_are_counted() -> None:
    found = shared_rows({"train": table_of([1, 2, 3]), "validation": table_of([4]), "test": table_of([3, 3, 5, 6])})
    assert [(one["figures"]["split"], one["figures"]["other"], one["figures"]["rows"]) for one in found] == [
        ("test", "train", 2)
    ]
    assert found[0]["figures"]["share"] == 0.5


def test_classes_that_a_split_lacks_are_named() -> None:
    target = ClassTarget("y", "category", ("a", "b", "c"))
    found = class_findings(target, {"train": np.array([0, 1, 2]), "test": np.array([0, 2, 2])})
    assert [(one["code"], one["figures"]["split"], one["figures"]["labels"]) for one in found] == [
        ("class_missing", "test", ["b"])
    ]


def test_heavy_imbalance_is_said_and_slight_is_not() -> None:
    target = ClassTarget("y", "category", ("a", "b"))
    heavy = class_findings(target, {"train": np.array([0] * 400 + [1] * 10)})
    slight = class_findings(target, {"train": np.array([0] * 100 + [1] * 10)})
    assert [one["code"] for one in heavy] == ["class_imbalance"]
    assert slight == []


def test_values_have_no_classes_to_warn_of() -> None:
    target = ValueTarget(("y",), (0.0,), (1.0,))
    assert class_findings(target, {"train": np.zeros((3, 1), np.float32)}) == []
