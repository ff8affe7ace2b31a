"""Blobs appear whole, and stay inside their folder."""

from pathlib import Path

import pytest

from app.storage.blobs import LocalBlobs, get_tree, open_blobs, put_tree


@pytest.fixture
def blobs(tmp_path: Path) -> LocalBlobs:
    return LocalBlobs(tmp_path / "blobs")


def test_trees_come_back_as_they_went(blobs: LocalBlobs, tmp_path: Path) -> None:
    source, target = tmp_path / "a", tmp_path / "b"
    (source / "deep").mkdir(parents=True)
    (source / "manifest.json").write_bytes(b"{}")
    (source / "deep" / "x.bin").write_bytes(bytes(range(256)) * 9000)
    assert put_tree(blobs, "bundles/job_1/1", source) == 2 + 256 * 9000
    get_tree(blobs, "bundles/job_1/1", target)
    assert (target / "deep" / "x.bin").read_bytes() == (source / "deep" / "x.bin").read_bytes()
    assert blobs.keys("bundles/job_1/1") == ["bundles/job_1/1/deep/x.bin", "bundles/job_1/1/manifest.json"]
    assert b"".join(blobs.stream("bundles/job_1/1/manifest.json")) == b"{}"
    blobs.delete_tree("bundles/job_1/1")
    assert blobs.keys("bundles/job_1/1") == []
    with pytest.raises(FileNotFoundError):
        get_tree(blobs, "bundles/job_1/1", target)


def test_the_manifest_is_written_last(blobs: LocalBlobs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = tmp_path / "a"
    source.mkdir()
    for name in ("manifest.json", "a.bin", "z.bin"):
        (source / name).write_bytes(b"x")
    order: list[str] = []
    monkeypatch.setattr(blobs, "put_file", lambda key, _path: order.append(key.rsplit("/", 1)[1]))
    put_tree(blobs, "t", source)
    assert order[-1] == "manifest.json"
    assert sorted(order) == ["a.bin", "manifest.json", "z.bin"]


def test_a_failed_write_leaves_nothing(blobs: LocalBlobs, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        blobs.put_file("a/b", tmp_path / "missing")
    assert blobs.keys("") == []
    assert [p for p in blobs.root.rglob("*") if p.is_file()] == []


@pytest.mark.parametrize("key", ["../x", "a/../../x", "/etc/passwd"])
def test_no_key_leaves_the_folder(blobs: LocalBlobs, key: str) -> None:
    with pytest.raises(ValueError, match="leaves"):
        blobs.put_bytes(key, b"x")
    with pytest.raises(ValueError, match="leaves"):
        blobs.get_bytes(key)


def test_urls(tmp_path: Path) -> None:
    store = open_blobs(f"file://{tmp_path}/with%20space")
    store.put_bytes("a/b", b"1")
    assert (tmp_path / "with space" / "a" / "b").read_bytes() == b"1"
    with pytest.raises(ValueError, match="file:// or s3://"):
        open_blobs("ftp://x/y")
