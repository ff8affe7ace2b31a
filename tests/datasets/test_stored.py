"""A stored data set: pages over row groups, columns by name, and what is not there."""

import json

import numpy as np
import pytest

from app.datasets.stored import StoredDataset
from tests.datasets.conftest import TakeIn


@pytest.fixture
def small_groups(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.datasets.writer._GROUP_ROWS", 10)
    monkeypatch.setattr("app.datasets.readers.delimited._BLOCK_BYTES", 64)


@pytest.mark.usefixtures("small_groups")
def test_pages_over_row_groups(take_in: TakeIn) -> None:
    stored = take_in("n,c\n" + "".join(f"{i},{'ab'[i % 2]}\n" for i in range(95))).stored
    everything = [{"n": i, "c": "ab"[i % 2]} for i in range(95)]
    for offset in range(0, 100, 7):
        for limit in (1, 10, 23, 200):
            assert stored.page(offset, limit) == everything[offset : offset + limit]
    assert np.array_equal(stored.read(["n"])["n"], np.arange(95.0))


def test_columns_by_name(take_in: TakeIn) -> None:
    stored = take_in("a,b,c\n1,2,x\n").stored
    assert list(stored.read(["c", "a"])) == ["c", "a"]
    assert list(stored.read()) == ["a", "b", "c"]
    assert stored.read([]) == {}
    assert stored.column("b").type == "integer"
    for wrong in (lambda: stored.read(["z"]), lambda: stored.column("z"), lambda: stored.read(split="train")):
        with pytest.raises(KeyError):
            wrong()


def test_arrays_own_their_memory_and_can_be_written_to(take_in: TakeIn) -> None:
    stored = take_in(json.dumps({"x": [1.0, 2.0], "n": 1}) + "\n", format="jsonl").stored
    arrays = stored.read()
    arrays["x"][0, 0] = 7.0
    arrays["n"][0] = 7.0
    assert stored.read()["x"][0, 0] == 1.0


def test_profile_is_at_hand(take_in: TakeIn) -> None:
    stored = take_in("c\nx\ny\nx\n").stored
    assert stored.columns[0].profile["top"] == [["x", 2], ["y", 1]]
    assert StoredDataset.open(stored.folder).columns == stored.columns


def test_no_folder(take_in: TakeIn) -> None:
    with pytest.raises(FileNotFoundError):
        StoredDataset.open(take_in("a\n1\n").stored.folder / "none")
