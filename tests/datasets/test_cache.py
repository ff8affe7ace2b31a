"""Local copies of stored data sets."""

import os
import shutil
import threading
import time
from pathlib import Path

import pytest

from app.datasets.cache import DatasetCache, DatasetDamagedError
from app.datasets.stored import StoredDataset
from app.storage.blobs import BlobStore, LocalBlobs, put_tree
from tests.datasets.conftest import TakeIn

SHA = "ab" * 32


class FarBlobs:
    """A store that is not on this disk, and counts what is fetched."""

    def __init__(self, inner: LocalBlobs) -> None:
        self._inner = inner
        self.fetched: list[str] = []

    def __getattr__(self, name: str) -> object:
        return getattr(self._inner, name)

    def get_file(self, key: str, path: Path) -> None:
        self.fetched.append(key)
        self._inner.get_file(key, path)


@pytest.fixture(params=["local", "far"])
def blobs(request: pytest.FixtureRequest, tmp_path: Path, take_in: TakeIn) -> BlobStore:
    local = LocalBlobs(tmp_path / "blobs")
    put_tree(local, "datasets/ds_1", take_in("a\n1\n2\n").stored.folder)
    put_tree(local, "datasets/ds_2", take_in("b\n" + "\n".join(map(str, range(10_000)))).stored.folder)
    return local if request.param == "local" else FarBlobs(local)  # type: ignore[return-value]


def test_a_copy_is_fetched_once(blobs: BlobStore, tmp_path: Path) -> None:
    cache = DatasetCache(blobs, tmp_path / "work")
    folder = cache.folder("ds_1", SHA)
    assert StoredDataset.open(folder).read()["a"].tolist() == [1.0, 2.0]
    assert cache.folder("ds_1", SHA) == folder
    assert DatasetCache(blobs, tmp_path / "work").folder("ds_1", SHA) == folder
    if isinstance(blobs, FarBlobs):
        assert len(blobs.fetched) == len(list(folder.iterdir()))


def test_what_is_not_there(blobs: BlobStore, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        DatasetCache(blobs, tmp_path / "work").folder("ds_3", SHA)
    assert list((tmp_path / "work" / "datasets").iterdir()) == []


def test_copy_outlives_the_blob_until_it_is_forgotten(blobs: BlobStore, tmp_path: Path) -> None:
    cache = DatasetCache(blobs, tmp_path / "work")
    folder = cache.folder("ds_1", SHA)
    blobs.delete_tree("datasets/ds_1")
    assert StoredDataset.open(folder).read()["a"].tolist() == [1.0, 2.0]
    cache.forget("ds_1")
    assert not folder.exists()


def test_least_recently_used_makes_room(blobs: BlobStore, tmp_path: Path) -> None:
    cache = DatasetCache(blobs, tmp_path / "work", max_bytes=10_000)
    first = cache.folder("ds_1", SHA)
    cache.folder("ds_2", SHA)
    assert first.exists(), "what was asked for within the hour stays"
    cache.forget("ds_2")
    two_hours_ago = time.time() - 7200
    os.utime(first, (two_hours_ago, two_hours_ago))
    cache.folder("ds_2", SHA)
    assert not first.exists()


def test_many_at_once_get_one_whole_folder(blobs: BlobStore, tmp_path: Path) -> None:
    start = threading.Barrier(8)
    found: list[list[float]] = []

    def fetch() -> None:
        start.wait()
        folder = DatasetCache(blobs, tmp_path / "work").folder("ds_1", SHA)
        found.append(StoredDataset.open(folder).read()["a"].tolist())

    threads = [threading.Thread(target=fetch) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [[1.0, 2.0]] * 8
    assert [path.name for path in (tmp_path / "work" / "datasets").iterdir()] == [f"ds_1-{SHA[:16]}"]


def test_leftovers_of_a_killed_process_are_removed(blobs: BlobStore, tmp_path: Path) -> None:
    left = tmp_path / "work" / "datasets" / ".arriving-x"
    left.mkdir(parents=True)
    os.utime(left, (0, 0))
    DatasetCache(blobs, tmp_path / "work").folder("ds_1", SHA)
    assert not left.exists()
    shutil.rmtree(tmp_path / "work")


def test_damaged_tree_is_refused(blobs: BlobStore, tmp_path: Path) -> None:
    inner = blobs if isinstance(blobs, LocalBlobs) else blobs._inner  # type: ignore[attr-defined]
    path = inner.path("datasets/ds_1/rows.parquet")
    content = bytearray(path.read_bytes())
    content[20] ^= 1
    path.write_bytes(content)
    cache = DatasetCache(blobs, tmp_path / "work")
    for _ in range(2):
        with pytest.raises(DatasetDamagedError, match=r"ds_1 is damaged: rows\.parquet"):
            cache.folder("ds_1", SHA)
    path.unlink()
    with pytest.raises(FileNotFoundError):
        cache.folder("ds_1", SHA)
