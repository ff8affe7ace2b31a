"""Instances: what is wrong is named by instance and column, what is absent is missing."""

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.core.errors import Unprocessable
from app.preprocessing.instances import columns_from_instances

TABLE = [
    {"name": "age", "type": "number"},
    {"name": "rooms", "type": "integer"},
    {"name": "paid", "type": "boolean"},
    {"name": "城市.名", "type": "category"},
    {"name": "when", "type": "datetime"},
    {"name": "vector", "type": "array", "shape": [2]},
    {"name": "label", "type": "category", "ignored": True},
]
ONE = [{"name": "x", "type": "array", "shape": [2, 2]}, {"name": "y", "type": "integer", "ignored": True}]
TEXT = [{"name": "word", "type": "category"}]


def test_values_become_columns_of_the_training_form() -> None:
    columns = columns_from_instances(
        [
            {"age": 3, "rooms": 2.5, "paid": True, "城市.名": "京", "when": "1970-01-02T00:00:00Z", "vector": [1, 2]},
            {"age": 0.5, "paid": 0, "when": "1970-01-01"},
        ],
        TABLE,
    )
    assert list(columns) == ["age", "rooms", "paid", "城市.名", "when", "vector"]
    assert columns["age"].tolist() == [3.0, 0.5]
    assert columns["rooms"][0] == 2.5
    assert columns["paid"].tolist() == [1.0, 0.0]
    assert columns["城市.名"].tolist() == ["京", None]
    assert columns["when"].tolist() == [86_400.0, 0.0]
    assert columns["vector"][0].tolist() == [1.0, 2.0]
    assert np.isnan(columns["vector"][1]).all()
    assert np.isnan(columns["rooms"][1])


def test_absent_and_null_are_the_same() -> None:
    names = [column["name"] for column in TABLE]
    absent = columns_from_instances([{}], TABLE)
    null = columns_from_instances([dict.fromkeys(names)], TABLE)
    for name in absent:
        assert np.array_equal(absent[name], null[name], equal_nan=absent[name].dtype != object)


def test_what_the_model_does_not_read_is_ignored_whatever_it_is() -> None:
    assert "label" not in columns_from_instances([{"age": 1, "label": {"any": ["thing"]}}], TABLE)


@pytest.mark.parametrize(
    ("instance", "message"),
    [
        ({"age": "old"}, "instances[1].age: expected a number, got 'old'"),
        ({"age": True}, "instances[1].age: expected a number, got True"),
        ({"age": [1]}, "instances[1].age: expected a number, got [1]"),
        ({"age": 10**400}, "instances[1].age: expected a number that fits a double, got 1000"),
        ({"rooms": "3"}, "instances[1].rooms: expected a number, got '3'"),
        ({"paid": 2}, "instances[1].paid: expected true or false, got 2"),
        ({"paid": "yes"}, "instances[1].paid: expected true or false, got 'yes'"),
        ({"城市.名": 5}, "instances[1].城市.名: expected a string, got 5"),
        ({"when": "soon"}, "instances[1].when: expected an instant such as 2026-01-31T08:00:00Z, got 'soon'"),
        ({"when": 5}, "instances[1].when: expected an instant"),
        ({"vector": [1]}, "instances[1].vector: expected numbers in the shape [2], got [1]"),
        ({"vector": [[1, 2]]}, "instances[1].vector: expected numbers in the shape [2], got [1, 2]"),
        ({"vector": [1, "a"]}, "instances[1].vector: expected a number"),
        ({"vector": [True, False]}, "instances[1].vector: expected a number"),
        ({"vector": "ab"}, "instances[1].vector: expected numbers in the shape [2], got 'ab'"),
        ({"vector": {"b64": ""}}, "instances[1].vector: expected numbers in the shape [2]"),
        ({"ages": 3}, "instances[1].ages: the training data had no such column; the model reads age, rooms"),
        ([3], "instances[1]: expected an object with the columns age, rooms"),
        (None, "instances[1]: expected an object with the columns age, rooms"),
    ],
)
def test_what_is_wrong_is_named(instance: Any, message: str) -> None:
    with pytest.raises(Unprocessable) as caught:
        columns_from_instances([{"age": 1}, instance], TABLE)
    assert caught.value.message.startswith(message)
    assert caught.value.param is not None
    assert caught.value.message.startswith(f"{caught.value.param}: ")


def test_a_model_of_one_column_takes_bare_values_and_objects() -> None:
    columns = columns_from_instances([[[1, 2], [3, 4]], {"x": [[5, 6], [7, None]]}, {"y": 3}], ONE)
    assert columns["x"].shape == (3, 2, 2)
    assert columns["x"][1, 0].tolist() == [5.0, 6.0]
    assert math.isnan(columns["x"][1, 1, 1])
    assert np.isnan(columns["x"][2]).all()
    assert columns_from_instances(["a", None], TEXT)["word"].tolist() == ["a", None]


@pytest.mark.parametrize(
    ("instance", "message"),
    [
        ([1, 2, 3, 4], "instances[0]: expected numbers in the shape [2, 2], got [4]"),
        ([[1, 2], [3]], "instances[0]: expected numbers in the shape [2, 2]"),
        (7, "instances[0]: expected numbers in the shape [2, 2], got 7"),
    ],
)
def test_a_bare_value_is_named_by_its_instance_alone(instance: Any, message: str) -> None:
    with pytest.raises(Unprocessable) as caught:
        columns_from_instances([instance], ONE)
    assert caught.value.message.startswith(message)


def test_a_long_value_is_not_repeated_whole() -> None:
    with pytest.raises(Unprocessable) as caught:
        columns_from_instances([{"age": "x" * 10_000}], TABLE)
    assert len(caught.value.message) < 200


def test_no_instances_are_no_rows() -> None:
    assert all(len(column) == 0 for column in columns_from_instances([], TABLE).values())


JSON = st.recursive(
    st.none() | st.booleans() | st.floats(allow_nan=False, allow_infinity=False) | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


OBJECTS = st.fixed_dictionaries({}, optional={"age": JSON, "vector": JSON})


@given(instances=st.lists(st.one_of(JSON, OBJECTS), max_size=4), columns=st.sampled_from([TABLE, ONE, TEXT]))
def test_any_json_gives_columns_or_one_clear_error(instances: list[Any], columns: list[dict[str, Any]]) -> None:
    message, lengths = "instances[", {len(instances)}
    try:
        lengths = {len(column) for column in columns_from_instances(instances, columns).values()}
    except Unprocessable as error:
        message = error.message
    assert message.startswith("instances[")
    assert lengths == {len(instances)}
