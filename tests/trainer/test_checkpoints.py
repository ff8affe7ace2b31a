"""A checkpoint is whole or not there (RELIABILITY.md, P6)."""

import errno
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from workers.trainer import checkpoints
from workers.trainer.checkpoints import (
    ARRAYS,
    KEPT,
    MANIFEST,
    STATE,
    CheckpointCorrupt,
    latest_whole,
    read_checkpoint,
    remove_old,
    write_checkpoint,
)

ARRAY = {"model.000000": np.arange(12, dtype=np.float32).reshape(3, 4), "sums": np.zeros(5)}


def test_what_was_written_is_read_back(tmp_path: Path) -> None:
    folder = write_checkpoint(tmp_path, 7, ARRAY, {"epoch": 1, "history": [{"loss": float("nan")}]})
    found = read_checkpoint(folder)
    assert found.arrays["model.000000"].dtype == np.float32
    np.testing.assert_array_equal(found.arrays["model.000000"], ARRAY["model.000000"])
    assert found.state["epoch"] == 1
    assert {path.name for path in folder.iterdir()} == {ARRAYS, STATE, MANIFEST}


def test_every_flipped_bit_is_noticed_and_the_one_before_is_used(tmp_path: Path) -> None:
    write_checkpoint(tmp_path, 1, ARRAY, {"epoch": 1})
    folder = write_checkpoint(tmp_path, 2, ARRAY, {"epoch": 2})
    rng = np.random.default_rng(0)
    for name in (ARRAYS, STATE):
        content = (folder / name).read_bytes()
        for position in rng.integers(0, len(content), 30):
            damaged = bytearray(content)
            damaged[position] ^= 1 << int(rng.integers(0, 8))
            (folder / name).write_bytes(damaged)
            with pytest.raises(CheckpointCorrupt):
                read_checkpoint(folder)
            found = latest_whole(tmp_path)
            assert found is not None
            assert found.state["epoch"] == 1
        (folder / name).write_bytes(content)
    assert read_checkpoint(folder).state["epoch"] == 2


def test_every_truncation_is_noticed(tmp_path: Path) -> None:
    folder = write_checkpoint(tmp_path, 1, ARRAY, {"epoch": 1})
    for name in (ARRAYS, STATE, MANIFEST):
        content = (folder / name).read_bytes()
        for part in range(64):
            (folder / name).write_bytes(content[: len(content) * part // 64])
            with pytest.raises(CheckpointCorrupt):
                read_checkpoint(folder)
        (folder / name).write_bytes(content)
    assert latest_whole(folder) is not None


def test_without_a_whole_one_there_is_none(tmp_path: Path) -> None:
    assert latest_whole(tmp_path / "nothing") is None
    folder = write_checkpoint(tmp_path, 1, ARRAY, {})
    (folder / ARRAYS).unlink()
    assert latest_whole(tmp_path) is None


def test_objects_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="allow_pickle"):
        write_checkpoint(tmp_path, 1, {"x": np.array([{}], dtype=object)}, {})


def test_a_crash_before_the_rename_leaves_the_one_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_checkpoint(tmp_path, 1, ARRAY, {"epoch": 1})

    def full(*args: Any) -> None:
        raise OSError(errno.ENOSPC, "full")

    for function in ("_write_flushed", "_flush_folder"):
        with monkeypatch.context() as patched:
            patched.setattr(checkpoints, function, full)
            with pytest.raises(OSError, match="full"):
                write_checkpoint(tmp_path, 2, ARRAY, {"epoch": 2})
        found = latest_whole(tmp_path)
        assert found is not None
        assert found.state["epoch"] == 1
    assert [path for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_the_same_step_may_be_written_again(tmp_path: Path) -> None:
    write_checkpoint(tmp_path, 3, ARRAY, {"epoch": 1})
    write_checkpoint(tmp_path, 3, ARRAY, {"epoch": 2})
    found = latest_whole(tmp_path)
    assert found is not None
    assert found.state["epoch"] == 2


def test_only_the_newest_few_are_kept(tmp_path: Path) -> None:
    for step in range(6):
        write_checkpoint(tmp_path, step, ARRAY, {"epoch": step})
    remove_old(tmp_path)
    assert len(list(tmp_path.iterdir())) == KEPT
    found = latest_whole(tmp_path)
    assert found is not None
    assert found.state["epoch"] == 5
