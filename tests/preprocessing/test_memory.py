"""The data set in memory reads as the stored one does: the same columns, types, arrays and splits."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from app.preprocessing.columns import RowSource
from app.preprocessing.prepare import prepare
from tests.preprocessing.memory import MemoryDataset, resolved_for
from tests.recipes.real import take_in

ROWS = 60
RANDOM = np.random.default_rng(3)
NUMBERS = [None if row % 7 == 0 else round(value, 3) for row, value in enumerate(RANDOM.normal(size=ROWS).tolist())]
WHOLE = RANDOM.integers(0, 9, ROWS).tolist()
TRUTHS = [None if row % 11 == 0 else bool(row % 3) for row in range(ROWS)]
WORDS = [None if row % 5 == 0 else ["甲", "b c", "d"][row % 3] for row in range(ROWS)]
DAYS = [f"2024-0{1 + row % 9}-1{row % 7}T00:00:00Z" for row in range(ROWS)]
SECONDS = [float(np.datetime64(day[:-1], "s").astype(int)) for day in DAYS]


def in_memory(_folder: Path) -> RowSource:
    return MemoryDataset(
        {
            "a number": ("number", NUMBERS),
            "whole": ("integer", WHOLE),
            "truth": ("boolean", TRUTHS),
            "字.x": ("category", WORDS),
            "day": ("datetime", SECONDS),
        }
    )


def stored(folder: Path) -> RowSource:
    file = folder / "rows.jsonl"
    with file.open("w", encoding="utf-8") as lines:
        for row in zip(NUMBERS, WHOLE, TRUTHS, WORDS, DAYS, strict=True):
            names = ("a number", "whole", "truth", "字.x", "day")
            lines.write(json.dumps(dict(zip(names, row, strict=True))) + "\n")
    return take_in(file, folder)


def split_in_memory(_folder: Path) -> RowSource:
    values = np.arange(60, dtype=np.float32).reshape(20, 3)
    return MemoryDataset({"x": ("array", values), "y": ("integer", np.arange(20) % 2)}, {"train": 14, "test": 6})


def split_stored(folder: Path) -> RowSource:
    values, classes = np.arange(60, dtype=np.float32).reshape(20, 3), np.arange(20) % 2
    np.savez(folder / "a.npz", x_train=values[:14], x_test=values[14:], y_train=classes[:14], y_test=classes[14:])
    return take_in(folder / "a.npz", folder)


@pytest.mark.parametrize("pair", [(in_memory, stored), (split_in_memory, split_stored)])
def test_both_read_the_same(pair: tuple[Callable[[Path], RowSource], ...], tmp_path: Path) -> None:
    memory, disk = (make(tmp_path) for make in pair)
    assert [(one.name, one.type, one.shape) for one in memory.columns] == [
        (one.name, one.type, one.shape) for one in disk.columns
    ]
    assert memory.rows == disk.rows
    assert memory.splits == disk.splits
    names = [column.name for column in memory.columns]
    for split in [None, *(memory.splits or ())]:
        left, right = memory.read(names, split), disk.read(names, split)
        assert list(left) == list(right) == names
        for name in names:
            assert left[name].shape == right[name].shape
            assert np.array_equal(left[name], right[name], equal_nan=left[name].dtype != object)


def test_both_are_prepared_alike(tmp_path: Path) -> None:
    resolved = resolved_for(["a number", "whole", "字.x", "day"], "truth")
    memory, disk = (prepare(resolved, {"all": make(tmp_path)}) for make in (in_memory, stored))
    assert memory.preprocessing.to_json() == disk.preprocessing.to_json()
    assert memory.preprocessing.labels == [False, True]
    for name, split in memory.splits.items():
        assert split.target.tolist() == disk.splits[name].target.tolist()
        for key, values in split.inputs.items():
            assert values.tolist() == disk.splits[name].inputs[key].tolist()
