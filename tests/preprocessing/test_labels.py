"""Targets: labels keep their type, values come back in their unit."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.preprocessing.labels import (
    ClassTarget,
    LabelsTarget,
    ValueTarget,
    distinct_labels,
    target_from_json,
    target_to_json,
)
from tests.preprocessing.memory import as_column


@pytest.mark.parametrize(
    ("kind", "values", "labels"),
    [
        ("integer", [3, 1, None, 1], [1, 3]),
        ("number", [0.5, 2.0, 0.5], [0.5, 2.0]),
        ("boolean", [True, None, False], [False, True]),
        ("category", ["b", " a", None, "a ", ""], ["a", "b"]),
        ("text", ["猫", "犬"], sorted(["猫", "犬"])),
    ],
)
def test_labels_have_the_type_of_the_data_set(kind: str, values: list[object], labels: list[object]) -> None:
    found = distinct_labels(as_column(kind, values), kind, strip=True)
    assert found == labels
    assert [type(label) for label in found] == [type(label) for label in labels]
    assert json.loads(json.dumps(found)) == labels


def test_a_class_is_the_place_of_its_label() -> None:
    columns = {"y": as_column("category", ["b", "a", "b", "c"])}
    target = ClassTarget.fit(columns, "y", "category", strip=True)
    new = {"y": as_column("category", ["c", "a", "?", None, " b "])}
    assert target.encode(new, strip=True).tolist() == [2, 0, -1, -1, 1]


@given(values=st.lists(st.floats(-1e12, 1e12), min_size=2, max_size=50))
def test_values_come_back_in_their_unit(values: list[float]) -> None:
    columns = {"y": np.array(values)}
    target = ValueTarget.fit(columns, ["y"])
    back = target.unscale(target.encode(columns, strip=True))[:, 0]
    spread = max(values) - min(values)
    assert np.allclose(back, values, rtol=1e-5, atol=1e-5 * max(spread, 1e-6))


@pytest.mark.parametrize("scale", [1e-300, 1.0, 1e300])
def test_values_of_any_size_are_standardised(scale: float) -> None:
    columns = {"y": np.array([1.0, 2.0, 3.0]) * scale}
    encoded = ValueTarget.fit(columns, ["y"]).encode(columns, strip=True)
    assert np.allclose(encoded[:, 0], [-1.2247449, 0, 1.2247449], atol=1e-5)


def test_several_labels_are_zeros_and_ones() -> None:
    target = LabelsTarget(("a", "b"))
    encoded = target.encode({"a": np.array([0.0, 1.0]), "b": np.array([1.0, 1.0])}, strip=True)
    assert encoded.tolist() == [[0.0, 1.0], [1.0, 1.0]]
    assert encoded.dtype == np.float32


@pytest.mark.parametrize(
    "target",
    [
        ClassTarget("y", "boolean", (False, True)),
        ClassTarget("y", "number", (0.1, 0.30000000000000004)),
        LabelsTarget(("a", "b")),
        ValueTarget(("y",), (1 / 3,), (2e-17,)),
    ],
)
def test_a_target_survives_json_exactly(target: ClassTarget | LabelsTarget | ValueTarget) -> None:
    assert target_from_json(json.loads(json.dumps(target_to_json(target)))) == target
