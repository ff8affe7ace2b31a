"""JSON lines and JSON lists."""

import json

import numpy as np
import pytest

from app.core.errors import Unprocessable
from app.datasets.readers import json_rows
from tests.datasets.conftest import TakeIn


def lines(*rows: object) -> str:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def test_values_keep_their_json_type(take_in: TakeIn) -> None:
    rows = [
        {"id": "001", "n": 1, "x": 0.5, "ok": True, "when": "2024-01-01T00:00:00Z", "text": "无题"},
        {"id": "002", "n": 2, "x": 3, "ok": None, "when": None, "text": ""},
        {"id": "003", "x": 1e300, "extra": "late"},
    ]
    taken = take_in(lines(*rows), format="jsonl")
    assert taken.types == {
        "id": "category", "n": "integer", "x": "number", "ok": "boolean", "when": "datetime",
        "text": "category", "extra": "category",
    }  # fmt: skip
    assert taken.values("id") == ["001", "002", "003"]
    assert taken.values("n") == [1, 2, None]
    assert taken.values("x") == [0.5, 3.0, 1e300]
    assert taken.values("extra") == [None, None, "late"]
    assert taken.column("when")["max"] == "2024-01-01T00:00:00Z"


def test_empty_text_stays_a_text(take_in: TakeIn) -> None:
    rows = [{"text": f"sentence {i} with several words"} for i in range(30)]
    taken = take_in(lines(*rows, {"text": ""}, {"text": None}), format="jsonl")
    assert taken.types == {"text": "text"}
    assert taken.values("text")[-2:] == ["", None]


def test_numbers_as_texts_stay_texts_unless_declared(take_in: TakeIn) -> None:
    content = lines({"zip": "10115"}, {"zip": "90210"})
    assert take_in(content, format="jsonl").values("zip") == ["10115", "90210"]
    assert take_in(content, format="jsonl", types={"zip": "integer"}).values("zip") == [10115, 90210]


def test_spelled_missing_among_numbers(take_in: TakeIn) -> None:
    taken = take_in(lines({"n": 1}, {"n": "NA"}, {"n": ""}, {"n": 4}), format="jsonl")
    assert taken.types == {"n": "integer"}
    assert taken.values("n") == [1, None, None, 4]
    assert taken.notes("missing_spelling")[0]["count"] == 1


def test_mixed_types_become_words_and_are_said(take_in: TakeIn) -> None:
    taken = take_in(lines({"v": 1}, {"v": "one"}, {"v": True}, {"v": 2.5}), format="jsonl")
    assert taken.values("v") == ["1", "one", "true", "2.5"]
    assert "boolean, integer, number, string" in taken.notes("kept_as_words")[0]["message"]


@pytest.mark.parametrize("number", [2**53 + 1, 2**64, 10**30, -(2**63) - 1])
def test_whole_numbers_too_long_to_be_exact_stay_as_spelled(take_in: TakeIn, number: int) -> None:
    taken = take_in(lines({"v": number}, {"v": number + 1}), format="jsonl")
    assert taken.values("v") == [str(number), str(number + 1)]


def test_lists_of_numbers_are_an_array_column(take_in: TakeIn) -> None:
    rows = [{"x": [[i, 2], [3, 4.5]], "k": [i, 1], "b": [True, False], "y": i} for i in range(5)]
    taken = take_in(lines(*rows), format="jsonl")
    assert taken.column("x")["shape"] == [2, 2]
    assert [taken.column(name)["dtype"] for name in "xkb"] == ["float64", "int64", "bool"]
    arrays = taken.stored.read()
    assert np.array_equal(arrays["x"], [row["x"] for row in rows])
    assert arrays["k"].dtype == np.int64
    assert arrays["b"].dtype == np.bool_
    assert taken.values("k")[3] == [3, 1]


def test_bad_lines_are_named_one_by_one(take_in: TakeIn) -> None:
    content = (
        '{"a": 1, "x": [1, 2]}\n'
        "\n"
        '{"a": NaN, "x": [1, 2]}\n'
        "[1, 2]\n"
        '{"a": 1, "a": 2, "x": [1, 2]}\n'
        '{"a": {"b": 1}, "x": [1, 2]}\n'
        '{"a": 1, "x": [1, 2, 3]}\n'
        '{"a": 1, "x": [1, "two"]}\n'
        '{"a": "\\ud800", "x": [1, 2]}\n'
        '{"a": "nul\\u0000", "x": [1, 2]}\n'
        '{"a": 1e999, "x": [1, 2]}\n'
        '{"a": 2}\n'
        '{"a": 3, "x": [1, null]}\n'
        "no json\n"
        '{"a": 4, "x": [5, 6]}'
    )
    with pytest.raises(Unprocessable, match="Line 3: it is not valid JSON") as caught:
        take_in(content, format="jsonl")
    assert [detail["line"] for detail in caught.value.details] == [3, 4, 5, 6, 7, 8, 9, 10, 11, 13, 14]
    taken = take_in(content, format="jsonl", on_bad_rows="skip")
    assert taken.values("a") == [1, 4]
    reasons = {row["line"]: row["reason"] for row in taken.schema["rejected"]["rows"]}
    assert sorted(reasons) == [3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14]
    assert taken.schema["rejected"]["count"] == 12
    assert reasons[5] == "it has the key 'a' twice"
    assert reasons[6] == "'a' is an object; nested objects are not supported"
    assert reasons[7] == "'x' has shape [3] where [2] is expected"
    assert reasons[12].startswith("x is missing or no list")


def test_a_list_among_single_values_is_a_bad_row(take_in: TakeIn) -> None:
    content = lines({"v": [1, 2]}, {"v": 1}, {"v": 2}, {"v": 3})
    taken = take_in(content, format="jsonl", on_bad_rows="skip")
    assert taken.types == {"v": "integer"}
    assert taken.values("v") == [1, 2, 3]


def test_document_of_objects_and_of_lists(take_in: TakeIn) -> None:
    objects = [{"a": i, "text": f'say "{i}" [x]'} for i in range(1000)]
    assert take_in(json.dumps(objects, indent=1), format="json").stored.page(0, 5000) == objects
    pairs = json.dumps([[row["a"], row["text"]] for row in objects])
    taken = take_in(pairs, format="json", header=["a", "text"])
    assert taken.stored.page(0, 5000) == objects
    with pytest.raises(Unprocessable, match="name their columns in header") as caught:
        take_in(pairs, format="json")
    assert caught.value.param == "header"


def test_document_is_read_in_small_pieces(take_in: TakeIn, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_rows, "_READ_CHARS", 3)
    objects = [{"a": i, "text": "ä" * i, "x": [1.5, -2e3]} for i in range(50)]
    assert take_in(json.dumps(objects, ensure_ascii=False), format="json").stored.page(0, 100) == objects


def test_bad_elements_of_a_document_are_named(take_in: TakeIn) -> None:
    content = '[{"a": 1},\n{"a": NaN}, 7,\n{"a": 2}]'
    taken = take_in(content, format="json", on_bad_rows="skip")
    assert [(row["line"], row["reason"].partition(":")[0]) for row in taken.schema["rejected"]["rows"]] == [
        (2, "element 2"),
        (2, "element 3"),
    ]
    assert taken.values("a") == [1, 2]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('[{"a": 1}, {"a": 2', "Line 1: the JSON document is broken"),
        ('[{"a": 1}\n {"a": 2}]', "Line 2: the JSON document is broken: ',' or ']' is missing"),
        ('[{"a": 1}] x', "there is more after the end of the list"),
        ('{"a": [1]}', "is no list"),
        ("[" * 100_000, "nests too deep"),
        ("[]", "no rows"),
        ("[{}]", "no rows with columns"),
        ('[{"a": ' + "[" * 50_000 + "]" * 50_000 + "}]", "nests too deep"),
    ],
)
def test_broken_documents(take_in: TakeIn, content: str, message: str) -> None:
    with pytest.raises(Unprocessable, match=message):
        take_in(content, format="json")
