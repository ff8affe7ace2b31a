"""The pieces of a batch job alone: rows that the model fails for, words, the order of results, parts."""

import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from app.datasets.stored import ColumnInfo, StoredDataset
from app.inference.runtime import ModelUnusable
from app.inference.table import PredictionTable
from workers.batch.parts import Parts
from workers.batch.pipeline import ordered
from workers.batch.predicting import BatchPredictor
from workers.batch.source import Batch
from workers.batch.words import values_from_words


class Failing:
    """A model that doubles `x`, cannot run rows of 13, and gives infinity for 99."""

    def __init__(self) -> None:
        self.runs = 0
        self.preprocessing = SimpleNamespace(transform=lambda columns: {"x": columns["x"]}, inputs=[])

    def run(self, inputs: dict[str, Any]) -> np.ndarray:
        self.runs += 1
        if (inputs["x"] == 13).any():
            raise ModelUnusable("the model failed: index 13 is out of range")
        return np.where(inputs["x"] == 99, np.inf, 2 * inputs["x"])[:, None]

    def values(self, outputs: np.ndarray) -> np.ndarray:
        return outputs


def test_rows_that_the_model_fails_for_are_found_and_the_others_predicted() -> None:
    x = np.arange(200, dtype=np.float64)
    model = Failing()
    predicted = BatchPredictor(model, (1,)).predict(Batch(None, 0, 200, {"x": x}, None, {50: "x: not a number"}))  # type: ignore[arg-type]
    assert predicted.errors == {
        13: "the model failed: index 13 is out of range", 50: "x: not a number", 99: "the model gave no finite number",
    }  # fmt: skip
    good = predicted.usable
    assert np.flatnonzero(~good).tolist() == [13, 50, 99]
    np.testing.assert_array_equal(predicted.values[good, 0], 2 * x[good])
    assert model.runs < 20  # a row of two hundred is found by halves


@pytest.mark.parametrize(
    ("type_", "words", "values", "wrong"),
    [
        ("number", ["1.5", " 2 ", None, "", "-3e2", "1_000", "nan", "inf", "x"],
         [1.5, 2.0, np.nan, np.nan, -300.0, np.nan, np.nan, np.nan, np.nan], [5, 6, 7, 8]),
        ("boolean", ["true", "No", "1", "2", None], [1.0, 0.0, 1.0, np.nan, np.nan], [3]),
        ("datetime", ["1970-01-02", "1970-01-01T01:00:00+01:00", "soon"], [86400.0, 0.0, np.nan], [2]),
    ],
)  # fmt: skip
def test_words_are_read_as_values(type_: str, words: list[Any], values: list[float], wrong: list[int]) -> None:
    found, errors = values_from_words("c", np.array(words, dtype=object), type_)
    np.testing.assert_array_equal(found, values)
    assert sorted(errors) == wrong
    assert all(message.startswith("c: expected ") for message in errors.values())


def test_results_come_in_order_whichever_thread_is_first() -> None:
    gate = threading.Event()

    def work(item: int) -> int:
        if item == 0:
            gate.wait(10)
        elif item == 2:
            gate.set()
        return item * item

    assert list(ordered(iter(range(50)), work, 3)) == [item * item for item in range(50)]


def test_what_reading_or_predicting_raises_is_raised_and_the_rest_is_dropped() -> None:
    def items() -> Iterator[int]:
        yield 1
        raise OSError("gone")

    with pytest.raises(OSError, match="gone"):
        list(ordered(items(), lambda item: item, 2))
    with pytest.raises(ZeroDivisionError):
        list(ordered(iter([1, 0, 1]), lambda item: 1 // item, 2))
    some = ordered(iter(range(10**9)), lambda item: item, 2)
    assert next(some) == 0
    some.close()


COLUMNS = [ColumnInfo("row", "integer"), ColumnInfo("value", "number"), ColumnInfo("label", "category")]


def rows_of(start: int, rows: int) -> list[Any]:
    number = np.arange(start, start + rows)
    return [pa.array(number), pa.array(np.sqrt(number)), pa.array(["odd" if n % 2 else "even" for n in number])]


def test_parts_that_were_taken_over_give_the_same_data_set(tmp_path: Path) -> None:
    whole = Parts(COLUMNS, tmp_path / "whole", None)
    for start in range(0, 70, 10):
        whole.write(rows_of(start, 10))
    whole.close_part()
    folder, schema = whole.seal()

    first = Parts(COLUMNS, tmp_path / "first", None)
    first.write(rows_of(0, 10))
    saved = [first.close_part()]
    assert first.close_part() is None  # nothing waits
    first.write(rows_of(10, 10))
    first.write(rows_of(20, 10))
    saved.append(first.close_part())
    first.write(rows_of(30, 10))  # lost: in no part
    checkpoint = tmp_path / "checkpoint"
    checkpoint.mkdir()
    for path in saved:
        assert path is not None
        path.rename(checkpoint / path.name)
    second = Parts(COLUMNS, tmp_path / "second", checkpoint)
    assert second.state.rows == 30
    for start in range(30, 70, 10):
        second.write(rows_of(start, 10))
    second.close_part()
    other, other_schema = second.seal()

    assert other_schema["columns"] == schema["columns"]
    assert [rows for _, rows in other_schema["parts"]] == [10, 20, 40]
    stored, again = StoredDataset.open(folder), StoredDataset.open(other)
    assert (stored.rows, again.rows) == (70, 70)
    assert again.page(0, 70) == stored.page(0, 70)
    assert again.page(9, 3) == stored.page(9, 3)
    assert [row["row"] for row in again.page(65, 100)] == [65, 66, 67, 68, 69]
    for name, values in stored.read().items():
        np.testing.assert_array_equal(again.read()[name], values)


@pytest.mark.parametrize(("size", "skip"), [(7, 0), (7, 9), (30, 30), (100, 0), (10, 70)])
def test_a_data_set_is_read_in_batches_from_any_row_on(tmp_path: Path, size: int, skip: int) -> None:
    parts = Parts(COLUMNS, tmp_path, None)
    for start in range(0, 70, 10):
        parts.write(rows_of(start, 10))
        if start in (0, 40):
            parts.close_part()
    parts.close_part()
    stored = StoredDataset.open(parts.seal()[0])
    batches = list(stored.batches(["value"], size, skip=skip, kept=["row"]))
    assert [len(table) for _, table in batches] == [
        min(size, 70 - start) for start in range(skip, 70, size)
    ]  # fmt: skip
    numbers = [number for _, table in batches for number in table.column("row").to_pylist()]
    assert numbers == list(range(skip, 70))
    values = np.concatenate([arrays["value"] for arrays, _ in batches]) if batches else np.empty(0)
    np.testing.assert_array_equal(values, np.sqrt(np.arange(skip, 70)))


@pytest.mark.parametrize(
    ("table", "names"),
    [
        (PredictionTable([True, False], False, (2,), []), {"label": "boolean"}),
        (PredictionTable([1, 2.5], False, (2,), []), {"label": "number", "score_2.5": "number"}),
        (PredictionTable(None, False, (1,), ["price"]), {"value": "number"}),
        (PredictionTable(None, False, (2,), ["a", "b"]), {"value_a": "number", "value_b": "number"}),
        (PredictionTable(None, False, (4, 3), []), {"output": "array"}),
    ],
)
def test_columns_are_typed_as_the_model_answers(table: PredictionTable, names: dict[str, str]) -> None:
    found = {column.name: column.type for column in table.columns}
    assert names.items() <= found.items()
    values = np.linspace(0, 1, 3 * int(np.prod(table.shape))).reshape(3, *table.shape)
    arrays = table.arrays(values, np.array([True, False, True]))
    assert [len(array) for array in arrays] == [3] * len(table.columns)
    if "output" not in names:
        assert all(array[1].as_py() is None for array in arrays)
