"""An object store keeps the promises of a folder; its trouble is an OSError too."""

from pathlib import Path

import pytest
from obstore.store import MemoryStore, S3Store

from app.storage.blobs import ObjectBlobs, get_tree, put_tree


@pytest.fixture
def blobs() -> ObjectBlobs:
    return ObjectBlobs(MemoryStore())


@pytest.fixture
def nowhere() -> ObjectBlobs:
    """A bucket on a port where nobody listens."""
    store = S3Store(
        "bucket", endpoint="http://127.0.0.1:9", access_key_id="a", secret_access_key="b", region="us-east-1",
        client_options={"allow_http": True}, retry_config={"max_retries": 0},
    )  # fmt: skip
    return ObjectBlobs(store)


def test_trees_come_back_as_they_went(blobs: ObjectBlobs, tmp_path: Path) -> None:
    source = tmp_path / "a"
    source.mkdir()
    (source / "x.bin").write_bytes(bytes(range(256)) * 9000)
    (source / "manifest.json").write_bytes(b"{}")
    put_tree(blobs, "bundles/job_1/1", source)
    get_tree(blobs, "bundles/job_1/1", tmp_path / "b")
    assert (tmp_path / "b" / "x.bin").read_bytes() == (source / "x.bin").read_bytes()
    blobs.put_bytes("bundles/job_1/10/x", b"other")
    blobs.delete_tree("bundles/job_1/1")
    assert blobs.keys("") == ["bundles/job_1/10/x"]
    assert [key for key, _ in blobs.modified("bundles")] == ["bundles/job_1/10/x"]
    blobs.ping()


def test_what_is_not_there_is_a_missing_file(blobs: ObjectBlobs, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        blobs.get_bytes("a")
    with pytest.raises(FileNotFoundError):
        list(blobs.stream("a"))
    with pytest.raises(FileNotFoundError):
        get_tree(blobs, "a", tmp_path)


def test_a_store_that_does_not_answer_is_an_os_error(nowhere: ObjectBlobs, tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"1")
    for call in (
        lambda: nowhere.put_file("a", tmp_path / "x"),
        lambda: nowhere.put_bytes("a", b"1"),
        lambda: nowhere.get_file("a", tmp_path / "y"),
        lambda: nowhere.get_bytes("a"),
        lambda: list(nowhere.stream("a")),
        lambda: nowhere.keys("a"),
        lambda: list(nowhere.modified("a")),
        lambda: nowhere.delete_tree("a"),
        nowhere.ping,
    ):
        with pytest.raises(OSError, match="object store"):
            call()
