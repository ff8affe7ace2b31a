"""Answers as API.md §6 writes them."""

from typing import Any

import numpy as np
import orjson
import pytest

from app.inference.answers import ClassAnswers, MultiLabelAnswers, ValueAnswers, label_key, nested_lists, probabilities


def test_a_label_keeps_its_type() -> None:
    outputs = np.array([[0.1, 0.7, 0.2]], np.float32)
    for labels, expected in ([["a", "b", "c"], "b"], [[3, 5, 7], 5], [[0.5, 1.5, 2.5], 1.5]):
        (answer,) = ClassAnswers(labels)(outputs)
        assert answer["label"] == expected
        assert type(answer["label"]) is type(expected)
        assert list(answer["scores"]) == [label_key(label) for label in labels]
        assert answer["score"] == answer["scores"][label_key(expected)] == pytest.approx(0.7)
    (answer,) = ClassAnswers([False, True])(np.array([[0.2, 0.8]], np.float32))
    assert answer["label"] is True
    assert set(answer["scores"]) == {"false", "true"}


def test_one_sigmoid_output_stands_for_two_classes() -> None:
    no, yes = ClassAnswers(["no", "yes"])(probabilities(np.array([[0.25], [0.75]], np.float32), ["no", "yes"]))
    assert no == {"label": "no", "score": 0.75, "scores": {"no": 0.75, "yes": 0.25}}
    assert yes == {"label": "yes", "score": 0.75, "scores": {"no": 0.25, "yes": 0.75}}


def test_labels_from_one_half_up() -> None:
    (answer,) = MultiLabelAnswers(["wet", "windy", "cold"])(np.array([[0.5, 0.49, 0.9]], np.float64))
    assert answer == {"labels": ["wet", "cold"], "scores": {"wet": 0.5, "windy": 0.49, "cold": 0.9}}


def test_values() -> None:
    assert ValueAnswers()(np.array([[3.5], [-1.0]])) == [{"value": 3.5}, {"value": -1.0}]
    assert ValueAnswers()(np.array([[3.5, 1.0]])) == [{"value": [3.5, 1.0]}]


def test_what_is_not_a_number_is_null() -> None:
    undefined, defined = ClassAnswers(["a", "b"])(np.array([[np.nan, 0.5], [0.4, 0.6]], np.float64))
    assert undefined == {"label": None, "score": None, "scores": {"a": None, "b": 0.5}}
    assert defined["label"] == "b"
    assert MultiLabelAnswers(["a"])(np.array([[np.nan]])) == [{"labels": [], "scores": {"a": None}}]
    assert ValueAnswers()(np.array([[np.inf]])) == [{"value": None}]
    assert ValueAnswers()(np.array([[np.inf, 1.0]])) == [{"value": [None, 1.0]}]
    assert nested_lists(np.array([[np.nan, 1.0]], np.float32)) == [[None, 1.0]]


@pytest.mark.parametrize("label", ['quote"', "new\nline", "", "Ω", "100%", "%s", "{}"])
def test_any_text_is_a_label(label: str) -> None:
    (answer,) = ClassAnswers([label, "other"])(np.array([[0.75, 0.25]], np.float32))
    assert answer["scores"][label] == 0.75
    (encoded,) = ClassAnswers([label, "other"]).encode(np.array([[0.75, 0.25]], np.float32))
    assert orjson.loads(encoded) == answer


@pytest.mark.parametrize("labels", [["a", "b", "c"], [1, 2, 3], [0.5, 1.5, 2.5]])
@pytest.mark.parametrize("kind", [ClassAnswers, MultiLabelAnswers])
def test_the_short_way_to_json_says_the_same(labels: list[Any], kind: type[ClassAnswers]) -> None:
    values = np.random.default_rng(5).dirichlet([0.1] * 3, 200).astype(np.float32)
    values[0] = [1.0, 0.0, 0.0]
    values[1] = [1e-30, 1e-7, 1.0]
    values[2] = [0.5, 0.5, 0.0]
    answers = kind(labels)
    for table in (values, values.astype(np.float64), values[:1], values[::-2]):
        for encoded, answer in zip(answers.encode(table), answers(table), strict=True):
            read = orjson.loads(encoded)
            assert list(read) == list(answer)
            assert read["scores"] == pytest.approx(answer["scores"], rel=1e-6)
            assert {**read, "scores": 0, "score": 0} == {**answer, "scores": 0, "score": 0}
    assert [orjson.loads(row) for row in answers.encode(np.full((2, 3), np.nan))] == answers(np.full((2, 3), np.nan))
