"""The bundle: the folder that a finished model is (DESIGN.md §6).

    manifest.json        what it is, and the hash of every other file; written last
    model.keras          to train on from
    model.onnx           to serve
    preprocessing.json   how rows become model inputs
    tokenizer.json       of a model that reads text: its vocabulary

A folder with a manifest is whole: the files are on disk before the manifest has its name.
Nothing in a bundle is code, and nothing is read before its hash is checked.
"""

import hashlib
import os
import re
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from app import RELEASE
from app.core.clock import to_rfc3339, utc_now

FORMAT = 1
MANIFEST = "manifest.json"
# What a prediction needs; `model.keras` is left where it is.
SERVING_FILES = frozenset({"model.onnx", "explain.onnx", "preprocessing.json", "tokenizer.json", "decode.onnx"})
# Manifests are a few kilobytes; a larger one was not written here.
MAX_MANIFEST_BYTES = 16 << 20

_FILE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,126}")
_CHUNK_BYTES = 1 << 20
_FACTS: dict[str, Any] = {
    "recipe": None,
    "task": None,
    "job": None,
    "dataset": None,
    "signature": {"inputs": [], "outputs": []},
    "instance": {"columns": [], "bare": False},
    "labels": None,
    "multilabel": False,
    "class_shares": None,
    "metrics": {},
    "parameters": 0,
    # Each layer with what it reads and gives: see workers.architectures.graph.describe_layers.
    "layers": [],
    # Ref of the model that the training started from.
    "base": None,
    "runtime": "onnx",
    # Of a model that embeds texts: the graph's output, "mean", "first" or "max", and whether vectors have length 1.
    "embedding": None,
    "fingerprint": {},
}


def serving_files(manifest: dict[str, Any]) -> frozenset[str]:
    """Return the names of the files that a prediction may need; the Keras file where Keras itself serves."""
    return SERVING_FILES | {"model.keras"} if manifest["runtime"] == "tensorflow" else SERVING_FILES


class BundleCorrupt(Exception):
    """A bundle is not what its manifest says: a file is missing, cut short or altered."""


@dataclass(frozen=True)
class Bundle:
    """A bundle whose files were checked against its manifest."""

    folder: Path
    manifest: dict[str, Any]

    def path(self, name: str) -> Path:
        """Return where the file `name` lies; BundleCorrupt when the manifest lists none of that name."""
        if name not in self.manifest["files"]:
            raise BundleCorrupt(f"the bundle has no {name}")
        return self.folder / name

    def content(self, name: str) -> bytes | None:
        """Return the content of a file of the bundle; None when it has none of that name."""
        return (self.folder / name).read_bytes() if name in self.manifest["files"] else None

    def json(self, name: str) -> Any:
        """Return the content of a JSON file of the bundle."""
        return orjson.loads(self.path(name).read_bytes())


def write_bundle(folder: Path, facts: dict[str, Any]) -> dict[str, Any]:
    """Seal `folder`, whose other files are there already, with a manifest; return the manifest.

    `facts` are the fields of the manifest but for `format`, `release`, `created_at` and
    `files`, which are made here. Raises ValueError for a fact that is not of the manifest
    or a file that may not lie in a bundle.
    """
    if unknown := sorted(set(facts) - set(_FACTS)):
        raise ValueError(f"not fields of a manifest: {', '.join(unknown)}")
    (folder / MANIFEST).unlink(missing_ok=True)
    files = {path.name: _seal_file(path) for path in sorted(folder.iterdir())}
    manifest = {
        "format": FORMAT,
        "release": RELEASE,
        "created_at": to_rfc3339(utc_now()),
        **_FACTS,
        **facts,
        "files": files,
    }
    temporary = folder / f".{MANIFEST}.tmp"
    with temporary.open("wb") as sink:
        sink.write(orjson.dumps(manifest, option=orjson.OPT_INDENT_2))
        sink.flush()
        os.fsync(sink.fileno())
    temporary.replace(folder / MANIFEST)
    _sync_folder(folder)
    return manifest


def open_bundle(folder: Path, only: Collection[str] | None = None) -> Bundle:
    """Return the bundle in `folder` after checking its files; BundleCorrupt when one is not as written.

    With `only`, files of other names need not be there and are not read.
    """
    manifest = read_manifest(folder / MANIFEST)
    for name, facts in manifest["files"].items():
        if only is None or name in only:
            _check_file(folder / name, facts)
    return Bundle(folder, manifest)


def read_manifest(path: Path) -> dict[str, Any]:
    """Return the manifest at `path`; BundleCorrupt when it is none that this release reads."""
    try:
        if path.stat().st_size > MAX_MANIFEST_BYTES:
            raise BundleCorrupt("the manifest is too large")
        manifest = orjson.loads(path.read_bytes())
    except FileNotFoundError as error:
        raise BundleCorrupt("the bundle has no manifest") from error
    except orjson.JSONDecodeError as error:
        raise BundleCorrupt("the manifest is not JSON") from error
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
        raise BundleCorrupt(f"the manifest is not of format {FORMAT}")
    files = manifest.get("files")
    # Names are checked before they are joined to a folder: a manifest may come from elsewhere.
    if not isinstance(files, dict) or not all(_FILE_NAME.fullmatch(name) for name in files):
        raise BundleCorrupt("the manifest lists files that may not lie in a bundle")
    return {**_FACTS, **manifest}


def _seal_file(path: Path) -> dict[str, Any]:
    if path.is_symlink() or not path.is_file() or not _FILE_NAME.fullmatch(path.name):
        raise ValueError(f"may not lie in a bundle: {path.name}")
    digest = hashlib.sha256()
    size = 0
    with path.open("rb") as source:
        while chunk := source.read(_CHUNK_BYTES):
            digest.update(chunk)
            size += len(chunk)
        os.fsync(source.fileno())
    return {"bytes": size, "sha256": digest.hexdigest()}


def _check_file(path: Path, facts: Any) -> None:
    try:
        expected_bytes, expected_sha256 = facts["bytes"], facts["sha256"]
        with path.open("rb") as source:
            if os.fstat(source.fileno()).st_size != expected_bytes:
                raise BundleCorrupt(f"{path.name} has not the size that the manifest says")
            if hashlib.file_digest(source, "sha256").hexdigest() != expected_sha256:
                raise BundleCorrupt(f"{path.name} has not the hash that the manifest says")
    except (KeyError, TypeError) as error:
        raise BundleCorrupt(f"the manifest does not describe {path.name}") from error
    except OSError as error:
        raise BundleCorrupt(f"{path.name} cannot be read") from error


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
