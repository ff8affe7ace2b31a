"""The fitted preprocessing of a table: a row alone equals that row in a batch, and JSON brings back the same."""

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.preprocessing.columns import ColumnArrays
from app.preprocessing.labels import ClassTarget
from app.preprocessing.tabular import CHUNK_ROWS, Options, TabularPreprocessing
from tests.preprocessing.memory import MemoryColumn, as_column

COLUMNS = [
    MemoryColumn("a number", "number"),
    MemoryColumn("whole.part", "integer"),
    MemoryColumn("是否", "boolean"),
    MemoryColumn("城市", "category"),
    MemoryColumn("note", "text"),
    MemoryColumn("when", "datetime"),
    MemoryColumn("pair", "array", (2,)),
]
TARGET = ClassTarget("y", "category", ("n", "y"))
CELLS: dict[str, st.SearchStrategy[Any]] = {
    "number": st.one_of(st.none(), st.floats(allow_nan=False)),
    "integer": st.one_of(st.none(), st.integers(-100, 100)),
    "boolean": st.one_of(st.none(), st.booleans()),
    "category": st.one_of(st.none(), st.sampled_from(["Rome", " Rome", "东京", "", "x"])),
    "text": st.one_of(st.none(), st.text(max_size=3)),
    "datetime": st.one_of(st.none(), st.floats(-1e10, 1e10)),
    "array": st.lists(st.floats(-1e3, 1e3), min_size=2, max_size=2),
}
ROW = st.tuples(*(CELLS[column.type] for column in COLUMNS))
ROWS = st.lists(ROW, min_size=1, max_size=12)
OPTIONS = st.builds(
    Options,
    strip=st.booleans(),
    lowercase=st.booleans(),
    impute=st.sampled_from(["median", "mean", "zero", "most_frequent"]),
    scaling=st.sampled_from(["standard", "quantile", "none"]),
    min_count=st.integers(1, 3),
    bins=st.sampled_from([0, 4]),
)


def table(rows: list[tuple[Any, ...]]) -> ColumnArrays:
    return {column.name: as_column(column.type, [row[index] for row in rows]) for index, column in enumerate(COLUMNS)}


def fit(rows: list[tuple[Any, ...]], options: Options = Options()) -> TabularPreprocessing:  # noqa: B008
    return TabularPreprocessing.fit(table(rows), COLUMNS, [MemoryColumn("y", "category")], TARGET, options)


@settings(max_examples=40)
@given(train=ROWS, rows=ROWS, options=OPTIONS)
def test_a_row_alone_equals_that_row_in_a_batch(train: list[Any], rows: list[Any], options: Options) -> None:
    fitted = fit(train, options)
    together = fitted.transform(table(rows))
    for index, row in enumerate(rows):
        alone = fitted.transform(table([row]))
        for name, values in together.items():
            assert alone[name][0].tolist() == values[index].tolist()


@settings(max_examples=40)
@given(train=ROWS, rows=ROWS, options=OPTIONS)
def test_what_json_brings_back_is_the_same(train: list[Any], rows: list[Any], options: Options) -> None:
    fitted = fit(train, options)
    document = json.loads(json.dumps(fitted.to_json(), allow_nan=False))
    again = TabularPreprocessing.from_json(document)
    assert again.to_json() == fitted.to_json()
    assert again.inputs == fitted.inputs
    for name, values in fitted.transform(table(rows)).items():
        assert again.transform(table(rows))[name].tolist() == values.tolist()


@settings(max_examples=40)
@given(train=ROWS, rows=ROWS, options=OPTIONS)
def test_inputs_have_the_stated_shape_and_are_finite(train: list[Any], rows: list[Any], options: Options) -> None:
    fitted = fit(train, options)
    arrays = fitted.transform(table(rows))
    assert list(arrays) == [spec.name for spec in fitted.inputs]
    for spec in fitted.inputs:
        assert arrays[spec.name].shape == (len(rows), *spec.shape)
        assert arrays[spec.name].dtype == spec.dtype
        assert np.isfinite(arrays[spec.name]).all()
    categories = arrays["categories"]
    assert (categories >= 0).all()
    assert (categories < np.array(fitted.category_sizes)).all()
    assert len(fitted.number_names) == arrays["numbers"].shape[1]
    assert not options.bins or len(fitted.number_edges) == len(fitted.number_names)


def test_more_rows_than_a_chunk_are_transformed_as_few() -> None:
    random = np.random.default_rng(0)
    rows = 2 * CHUNK_ROWS + 3
    columns = {
        "a number": random.normal(size=rows),
        "when": random.uniform(0, 1e9, rows),
        "城市": as_column("category", [["x", "y", None][index % 3] for index in range(rows)]),
    }
    infos = [column for column in COLUMNS if column.name in columns]
    fitted = TabularPreprocessing.fit(columns, infos, [], TARGET, Options(scaling="quantile"))
    together = fitted.transform(columns)
    for start in (0, CHUNK_ROWS - 1, rows - 1):
        part = fitted.transform({name: column[start : start + 2] for name, column in columns.items()})
        for name, values in part.items():
            assert values.tolist() == together[name][start : start + 2].tolist()


def test_a_column_that_is_not_there_counts_as_missing() -> None:
    rows = [(1.0, 2, True, "x", "n", 1e9, [1.0, 2.0]), (None, None, None, None, None, None, [0.0, 1.0])] * 3
    fitted = fit(rows)
    whole = fitted.transform(table([(None, None, None, None, None, None, [1.0, 2.0])]))
    part = fitted.transform({"pair": np.array([[1.0, 2.0]])})
    assert all(part[name].tolist() == whole[name].tolist() for name in whole)


def test_a_missing_boolean_is_what_most_rows_are() -> None:
    column = MemoryColumn("b", "boolean")
    train = {"b": as_column("boolean", [True, True, False, None])}
    fitted = TabularPreprocessing.fit(train, [column], [], TARGET, Options(impute="median"))
    missing, yes = fitted.transform({"b": np.array([np.nan, 1.0])})["numbers"]
    assert missing[0] == yes[0]
    assert (missing[1], yes[1]) == (1.0, 0.0)


@pytest.mark.parametrize(("shape", "dtype"), [((10,), np.float32), ((4, 4), np.uint8), ((4, 4, 3), np.float64)])
def test_one_array_column_is_the_only_input(shape: tuple[int, ...], dtype: type) -> None:
    values = np.random.default_rng(0).integers(0, 255, (50, *shape)).astype(dtype)
    fitted = TabularPreprocessing.fit({"x": values}, [MemoryColumn("x", "array", shape)], [], TARGET, Options())
    scaled = fitted.transform({"x": values})["x"]
    assert scaled.shape == (50, *shape)
    assert fitted.inputs[0] == ("x", "float32", shape)
    assert fitted.bare
    axes = 0 if len(shape) == 1 else None  # a flat array is scaled by element, a picture as a whole
    assert np.allclose(scaled.mean(axis=axes), 0, atol=0.01)
    assert np.allclose(scaled.std(axis=axes), 1, atol=0.01)


def test_many_pictures_are_scaled_as_one_is(monkeypatch: pytest.MonkeyPatch) -> None:
    values = np.random.default_rng(0).integers(0, 255, (50, 6, 6)).astype(np.uint8)
    column = MemoryColumn("x", "array", (6, 6))
    whole = TabularPreprocessing.fit({"x": values}, [column], [], TARGET, Options()).transform({"x": values})["x"]
    monkeypatch.setattr("app.preprocessing.tabular.CHUNK_VALUES", 100)
    fitted = TabularPreprocessing.fit({"x": values}, [column], [], TARGET, Options())
    assert (fitted.transform({"x": values})["x"] == whole).all()
    assert fitted.transform({"x": values[:0]})["x"].shape == (0, 6, 6)


def test_a_picture_without_scaling_stays_as_it_is() -> None:
    values = np.arange(32, dtype=np.uint8).reshape(2, 4, 4)
    fitted = TabularPreprocessing.fit(
        {"x": values}, [MemoryColumn("x", "array", (4, 4))], [], TARGET, Options(scaling="none")
    )
    assert (fitted.transform({"x": values})["x"] == values).all()


def test_missing_elements_of_an_array_are_filled() -> None:
    values = np.array([[1.0, 5.0], [3.0, np.nan], [2.0, 7.0]])
    fitted = TabularPreprocessing.fit({"x": values}, [MemoryColumn("x", "array", (2,))], [], TARGET, Options())
    scaled = fitted.transform({"x": values})["x"]
    assert np.isfinite(scaled).all()
    assert scaled[0, 1] < scaled[1, 1] < scaled[2, 1]


@pytest.mark.parametrize("change", [{"kind": "image"}, {"format": 99}])
def test_another_kind_or_format_is_refused(change: dict[str, Any]) -> None:
    document = {**fit([(1.0, 2, True, "x", "n", 1e9, [1.0, 2.0])]).to_json(), **change}
    with pytest.raises(ValueError, match="format 1"):
        TabularPreprocessing.from_json(document)
