"""npz: columns, official splits, and archives that lie."""

import io
import zipfile
from typing import Any

import numpy as np
import pytest

from app.core.errors import TooLarge, Unprocessable
from app.datasets.options import Limits
from tests.datasets.conftest import TakeIn


def npz(compressed: bool = True, **arrays: Any) -> bytes:
    sink = io.BytesIO()
    (np.savez_compressed if compressed else np.savez)(sink, **arrays)
    return sink.getvalue()


def test_arrays_become_columns(take_in: TakeIn) -> None:
    rng = np.random.default_rng(0)
    arrays = {
        "x": rng.normal(size=(50, 10)).astype(np.float32),
        "image": rng.integers(0, 256, (50, 4, 3)).astype(np.uint8),
        "mask": rng.random((50, 2)) < 0.5,
        "y": rng.integers(0, 10, 50).astype(np.uint8),
        "w": rng.random(50),
        "ok": rng.random(50) < 0.5,
        "name": np.array(["a", "ü"] * 25),
        "raw": np.array([b"p", b"q"] * 25),
        "when": np.array(["2024-01-01", "NaT"] * 25, "datetime64[D]"),
        "one": rng.integers(0, 3, (50, 1)),
    }
    taken = take_in(npz(**arrays), file_name="d.npz")
    assert taken.types == {
        "x": "array", "image": "array", "mask": "array", "y": "integer", "w": "number", "ok": "boolean",
        "name": "category", "raw": "category", "when": "datetime", "one": "integer",
    }  # fmt: skip
    assert taken.column("x")["shape"] == [10]
    read = taken.stored.read()
    for name in ("x", "image", "mask"):
        assert read[name].dtype == arrays[name].dtype
        assert np.array_equal(read[name], arrays[name])
    assert np.array_equal(read["y"], arrays["y"])
    assert np.array_equal(read["w"], arrays["w"])
    assert read["name"].tolist()[:2] == ["a", "ü"]
    assert read["raw"].tolist()[:2] == ["p", "q"]
    assert np.isnan(read["when"][1])
    assert taken.notes("axis_dropped")[0]["column"] == "one"


def test_official_splits(take_in: TakeIn) -> None:
    def part(n: int, value: int) -> tuple[Any, Any]:
        return np.full((n, 2), value, np.float32), np.full(n, value)

    (xt, yt), (xv, yv), (xe, ye) = part(7, 0), part(2, 1), part(3, 2)
    content = npz(x_test=xe, y_test=ye, x_train=xt, y_train=yt, x_val=xv, y_val=yv)
    taken = take_in(content, file_name="d.npz")
    assert taken.schema["splits"] == {"train": 7, "validation": 2, "test": 3}
    assert taken.schema["rows"] == 12
    assert taken.stored.splits == {"train": 7, "validation": 2, "test": 3}
    assert taken.stored.read(["y"], "test")["y"].tolist() == [2.0] * 3
    assert taken.stored.read(["y"])["y"].tolist() == [0.0] * 7 + [1.0] * 2 + [2.0] * 3
    assert taken.stored.page(6, 2) == [{"x": [0.0, 0.0], "y": 0}, {"x": [1.0, 1.0], "y": 1}]
    assert taken.stored.page(1, 9, "test") == [{"x": [2.0, 2.0], "y": 2}] * 2


def test_fortran_order_and_big_endian(take_in: TakeIn) -> None:
    x = np.asfortranarray(np.arange(24, dtype=">f4").reshape(6, 4))
    taken = take_in(npz(x=x, y=np.arange(6, dtype=">i8")), file_name="d.npz")
    read = taken.stored.read()
    assert np.array_equal(read["x"], x)
    assert read["x"].dtype == np.float32
    assert read["y"].tolist() == list(range(6))


def test_elements_that_are_not_finite_are_kept_and_said(take_in: TakeIn) -> None:
    x = np.array([[1.0, np.nan], [np.inf, 2.0]])
    taken = take_in(npz(x=x, w=np.array([np.nan, 1.0])), file_name="d.npz")
    assert np.array_equal(taken.stored.read(["x"])["x"], x, equal_nan=True)
    assert taken.notes("not_finite_kept")[0]["count"] == 2
    assert taken.stored.page(0, 2) == [{"x": [1.0, None], "w": None}, {"x": [None, 2.0], "w": 1.0}]


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"x": np.zeros((3, 2)), "y": np.zeros(4)}, "differ in their first axis"),
        ({"x": np.array([{}, []], object)}, "type object, which is not supported"),
        ({"x": np.zeros(3, complex)}, "type complex128"),
        ({"x": np.zeros((3, 0))}, "no empty axis"),
        ({"x": np.zeros((0, 2))}, "no empty axis"),
        ({"x": np.float64(3)}, "a column has rows"),
        ({"x": np.zeros(3, [("a", int)])}, "is not supported"),
        ({"x": np.array([["a"]])}, "holds numbers only"),
        ({"x_train": np.zeros((3, 2)), "x_test": np.zeros((3, 4))}, "same shape and type in every split"),
        ({"x_train": np.zeros(3), "x_test": np.zeros(3), "y_train": np.zeros(3)}, "'y' is not in every split"),
        ({"x_val": np.zeros(3), "x_validation": np.zeros(3)}, "two arrays for one split"),
        ({"y": np.array([2**60])}, "beyond ±2"),
    ],
)
def test_arrays_that_cannot_be_columns(take_in: TakeIn, arrays: dict[str, Any], message: str) -> None:
    with pytest.raises(Unprocessable, match=message) as caught:
        take_in(npz(**arrays), file_name="d.npz")
    assert caught.value.code == "dataset_invalid"


def test_pickles_are_never_loaded(take_in: TakeIn, tmp_path: Any) -> None:
    class Bomb:
        def __reduce__(self) -> Any:
            return (open, (str(tmp_path / "ran"), "w"))

    with pytest.raises(Unprocessable, match="type object"):
        take_in(npz(x=np.array([Bomb(), Bomb()], object)), file_name="d.npz")
    assert not (tmp_path / "ran").exists()


def with_header(shape: str, descr: str = "'<f8'", body: bytes = b"") -> bytes:
    header = f"{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}, }}".encode()
    header += b" " * (-(len(header) + 11) % 64) + b"\n"
    npy = b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + body
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("x.npy", npy)
    return sink.getvalue()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (with_header("(1000000000000, 8)"), "not the size that its header says"),
        (with_header("(3,)", body=b"\0" * 23), "not the size that its header says"),
        (with_header("(-3,)"), "no empty axis"),
        (with_header("3"), "broken header"),
        (with_header("__import__('os').getcwd()"), "broken header"),
        (with_header("(3,)", descr="'|O'"), "type object"),
        (with_header("(1, 1, 1, 1, 1, 1, 1, 1, 1)", body=b"\0" * 8), "a column has rows"),
        (npz(x=np.zeros(5))[:-30], "no whole npz archive"),
        (b"PK\x03\x04 nonsense", "no whole npz archive"),
    ],
)
def test_archives_that_lie(take_in: TakeIn, content: bytes, message: str) -> None:
    with pytest.raises(Unprocessable, match=message):
        take_in(content, file_name="d.npz")


def test_archives_with_other_members(take_in: TakeIn) -> None:
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w") as archive:
        archive.writestr("../../etc/passwd", "x")
    with pytest.raises(Unprocessable, match="that is no array"):
        take_in(sink.getvalue(), file_name="d.npz")


def test_zip_bomb_is_refused_by_its_directory(take_in: TakeIn) -> None:
    content = npz(x=np.zeros((4000, 1000)))
    assert len(content) < 100_000
    with pytest.raises(TooLarge, match="max_upload_bytes = 10000000"):
        take_in(content, file_name="d.npz", limits=Limits(10_000_000, 1 << 30, 60.0, 0))


def test_damaged_data_is_refused(take_in: TakeIn) -> None:
    content = bytearray(npz(x=np.random.default_rng(0).normal(size=(500, 4))))
    content[len(content) // 2] ^= 0xFF
    with pytest.raises(Unprocessable, match="damaged"):
        take_in(bytes(content), file_name="d.npz")
