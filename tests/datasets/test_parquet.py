"""Parquet: the types of the file, and what is refused."""

import datetime as dt
import gzip
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet

from app.core.errors import TooLarge, Unprocessable
from app.datasets.options import Limits
from tests.datasets.conftest import TakeIn


@pytest.fixture
def write(tmp_path: Path) -> Any:
    def run(columns: dict[str, Any], **options: Any) -> Path:
        path = tmp_path / "table.parquet"
        parquet.write_table(pa.table(columns), path, **options)
        return path

    return run


def test_types_of_the_file_are_kept(take_in: TakeIn, write: Any) -> None:
    path = write(
        {
            "i": pa.array([1, None, 3], pa.int8()),
            "u": pa.array([1, 2, 3], pa.uint64()),
            "f": pa.array([1.5, float("nan"), float("inf")], pa.float32()),
            "b": pa.array([True, None, False]),
            "s": pa.array(["001", "b", None]),
            "d": pa.array(["x", "y", "x"]).dictionary_encode(),
            "date": pa.array([dt.date(2024, 1, 31), None, dt.date(1969, 12, 31)]),
            "ts": pa.array([dt.datetime(2024, 1, 1, 12)] * 3, pa.timestamp("ns", "Europe/Berlin")),
            "dec": pa.array([Decimal("1.50"), None, Decimal("-2.25")]),
            "a.b": pa.array([1, 2, 3], pa.int16()),
            "a": pa.array([7, 8, 9], pa.int16()),
            "vec": pa.array([[1, 2], [3, 4], [5, 6]], pa.list_(pa.float32(), 2)),
            "none": pa.nulls(3),
        }
    )
    taken = take_in(path)
    assert taken.types == {
        "i": "integer", "u": "integer", "f": "number", "b": "boolean", "s": "category", "d": "category",
        "date": "datetime", "ts": "datetime", "dec": "number", "a.b": "integer", "a": "integer", "vec": "array",
        "none": "category",
    }  # fmt: skip
    rows = taken.stored.page(0, 9)
    assert rows[0] == {
        "i": 1, "u": 1, "f": 1.5, "b": True, "s": "001", "d": "x", "date": "2024-01-31T00:00:00Z",
        "ts": "2024-01-01T12:00:00Z", "dec": 1.5, "a.b": 1, "a": 7, "vec": [1.0, 2.0], "none": None,
    }  # fmt: skip
    assert [row["f"] for row in rows] == [1.5, None, None]
    assert taken.notes("infinite_missing")[0]["count"] == 1
    assert taken.stored.read(["vec"])["vec"].dtype == np.float32
    assert {"decimal_rounded"} <= set(taken.actions)


def test_integers_beyond_2_53_are_words(take_in: TakeIn, write: Any) -> None:
    ids = [2**60, 2**60 + 1, -1]
    taken = take_in(write({"id": pa.array(ids), "n": pa.array([1, 2, 2**53])}))
    assert taken.types == {"id": "category", "n": "integer"}
    assert taken.values("id") == [str(i) for i in ids]


@pytest.mark.parametrize(
    "column",
    [
        pa.array([{"a": 1}]),
        pa.array([[1, 2]]),
        pa.array([["a"]], pa.list_(pa.string(), 1)),
        pa.array([b"raw"]),
        pa.array([dt.time(1, 2)]),
        pa.array([[("k", 1)]], pa.map_(pa.string(), pa.int64())),
    ],
    ids=lambda column: str(column.type),
)
def test_types_without_a_place_are_refused_by_name(take_in: TakeIn, write: Any, column: Any) -> None:
    with pytest.raises(Unprocessable, match="Column 'odd' has the parquet type") as caught:
        take_in(write({"n": pa.array([1]), "odd": column}))
    assert caught.value.code == "dataset_invalid"


def test_declared_types(take_in: TakeIn, write: Any) -> None:
    columns = {"i": pa.array([1, 2]), "s": pa.array(["3", "x"]), "b": pa.array([True, False])}
    taken = take_in(write(columns), types={"i": "category", "s": "number", "b": "category"}, on_bad_rows="skip")
    assert taken.stored.page(0, 9) == [{"i": "1", "s": 3.0, "b": "true"}]
    assert taken.schema["rejected"]["rows"] == [{"line": 2, "reason": "s is 'x', which is no number"}]
    with pytest.raises(Unprocessable, match="Row 2: s is 'x', which is no number"):
        take_in(write(columns), types={"s": "number"})


def test_missing_element_of_a_list_makes_the_row_bad(take_in: TakeIn, write: Any) -> None:
    vectors = pa.array([[1, 2], None, [3, None], [5, 6]], pa.list_(pa.int32(), 2))
    taken = take_in(write({"v": vectors, "n": pa.array([0, 1, 2, 3])}), on_bad_rows="skip")
    assert taken.values("v") == [[1, 2], [5, 6]]
    assert [row["line"] for row in taken.schema["rejected"]["rows"]] == [2, 3]


def test_gzip_around_it_and_no_parquet(take_in: TakeIn, write: Any) -> None:
    content = write({"n": pa.array([1, 2])}).read_bytes()
    assert take_in(gzip.compress(content), file_name="t.parquet.gz").stored.rows == 2
    with pytest.raises(Unprocessable, match="no whole parquet file"):
        take_in(content[:-20], format="parquet")
    with pytest.raises(Unprocessable, match="no parquet file"):
        take_in(b"a,b\n1,2\n", format="parquet")
    damaged = bytearray(content)
    damaged[8:24] = b"\xff" * 16
    with pytest.raises(Unprocessable, match=r"damaged|no whole parquet"):
        take_in(bytes(damaged), format="parquet")


def test_unpacked_size_is_bounded_by_the_footer(take_in: TakeIn, write: Any) -> None:
    path = write({"s": pa.array(["x" * 1000 + str(i) for i in range(2000)])}, compression="zstd", use_dictionary=False)
    assert path.stat().st_size < 200_000
    with pytest.raises(TooLarge, match="max_upload_bytes = 500000"):
        take_in(path, limits=Limits(500_000, 1 << 30, 60.0, 0))


def test_no_rows(take_in: TakeIn, write: Any) -> None:
    with pytest.raises(Unprocessable, match="has no rows"):
        take_in(write({"n": pa.array([], pa.int64())}))


def test_nul_in_a_text_is_refused(take_in: TakeIn, write: Any) -> None:
    with pytest.raises(Unprocessable, match="Column 's' has a NUL character"):
        take_in(write({"s": pa.array(["a", "b\0c"])}))
