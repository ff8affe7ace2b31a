"""A bundle is whole or it is refused."""

from pathlib import Path

import orjson
import pytest

from app.models.bundle import SERVING_FILES, BundleCorrupt, open_bundle, read_manifest, write_bundle


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "bundle"
    path.mkdir()
    (path / "model.onnx").write_bytes(b"graph" * 1000)
    (path / "model.keras").write_bytes(b"weights")
    (path / "preprocessing.json").write_bytes(b'{"kind":"tabular"}')
    return path


def rewrite(folder: Path, change: dict[str, object]) -> None:
    path = folder / "manifest.json"
    path.write_bytes(orjson.dumps({**orjson.loads(path.read_bytes()), **change}))


def test_what_was_written_is_read(folder: Path) -> None:
    written = write_bundle(folder, {"recipe": "tabular-classification", "labels": ["no", 3, True, 1.5]})
    bundle = open_bundle(folder)
    assert bundle.manifest == written
    assert bundle.manifest["labels"] == ["no", 3, True, 1.5]
    assert type(bundle.manifest["labels"][1]) is int
    assert bundle.manifest["format"] == 1
    assert set(written["files"]) == {"model.onnx", "model.keras", "preprocessing.json"}
    assert written["files"]["model.keras"]["bytes"] == 7
    assert bundle.json("preprocessing.json") == {"kind": "tabular"}
    assert [path.name for path in folder.iterdir() if path.name.startswith(".")] == []


def test_a_manifest_is_written_anew(folder: Path) -> None:
    write_bundle(folder, {})
    (folder / "model.keras").write_bytes(b"other weights")
    assert "manifest.json" not in write_bundle(folder, {})["files"]
    open_bundle(folder)


@pytest.mark.parametrize("name", ["model.onnx", "model.keras", "preprocessing.json"])
def test_one_flipped_bit_is_found(folder: Path, name: str) -> None:
    write_bundle(folder, {})
    content = bytearray((folder / name).read_bytes())
    content[len(content) // 2] ^= 1
    (folder / name).write_bytes(content)
    with pytest.raises(BundleCorrupt, match=name):
        open_bundle(folder)


def test_a_file_cut_short_or_missing_is_found(folder: Path) -> None:
    write_bundle(folder, {})
    (folder / "model.onnx").write_bytes(b"graph")
    with pytest.raises(BundleCorrupt, match="size"):
        open_bundle(folder)
    (folder / "model.onnx").unlink()
    with pytest.raises(BundleCorrupt, match="cannot be read"):
        open_bundle(folder)


def test_serving_needs_no_file_to_train_on_from(folder: Path) -> None:
    write_bundle(folder, {})
    (folder / "model.keras").unlink()
    bundle = open_bundle(folder, SERVING_FILES)
    assert bundle.path("model.onnx").read_bytes() == b"graph" * 1000
    with pytest.raises(BundleCorrupt):
        open_bundle(folder)


def test_a_folder_without_a_manifest_is_no_bundle(folder: Path) -> None:
    with pytest.raises(BundleCorrupt, match="no manifest"):
        open_bundle(folder)
    (folder / "manifest.json").write_bytes(b'{"format": 1')
    with pytest.raises(BundleCorrupt, match="not JSON"):
        open_bundle(folder)


def test_another_format_is_refused(folder: Path) -> None:
    write_bundle(folder, {})
    rewrite(folder, {"format": 2})
    with pytest.raises(BundleCorrupt, match="format"):
        read_manifest(folder / "manifest.json")


@pytest.mark.parametrize("name", ["../secret", "/etc/passwd", "a/b", "", ".hidden", "a" * 200])
def test_a_manifest_never_leads_out_of_its_folder(folder: Path, name: str) -> None:
    write_bundle(folder, {})
    rewrite(folder, {"files": {name: {"bytes": 1, "sha256": "0" * 64}}})
    with pytest.raises(BundleCorrupt, match="may not lie"):
        open_bundle(folder)


def test_links_and_folders_are_not_sealed(folder: Path) -> None:
    (folder / "link.json").symlink_to("/etc/hostname")
    with pytest.raises(ValueError, match=r"link\.json"):
        write_bundle(folder, {})
    (folder / "link.json").unlink()
    (folder / "sub").mkdir()
    with pytest.raises(ValueError, match="sub"):
        write_bundle(folder, {})


def test_a_fact_that_is_none_of_the_manifest_is_an_error(folder: Path) -> None:
    with pytest.raises(ValueError, match="lables"):
        write_bundle(folder, {"lables": []})
