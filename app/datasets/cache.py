"""Local copies of stored data sets: fetched once, shared by all processes of this host, bounded."""

import hashlib
import json
import os
import shutil
import time
from pathlib import Path
from typing import Final

from app.core.ids import new_id
from app.datasets.stored import SCHEMA_FILE
from app.storage.blobs import BlobStore, LocalBlobs, get_tree

_DEFAULT_BYTES: Final = 20 * 2**30
# A reader opens the files of a folder one after the other; what was asked for this recently stays.
_IN_USE_SECONDS: Final = 3600.0


class DatasetDamagedError(FileNotFoundError):
    """A stored data set is not what was stored: a file is missing or has another hash."""


class DatasetCache:
    """Folders of data sets under `work_dir`, by id and hash; least recently used out first.

    Several processes may use one folder at once: a copy is made beside it and renamed into place.
    """

    def __init__(self, blobs: BlobStore, work_dir: Path, max_bytes: int = _DEFAULT_BYTES) -> None:
        self._blobs = blobs
        self._root = work_dir / "datasets"
        self._max_bytes = max_bytes

    def folder(self, dataset_id: str, sha256: str) -> Path:
        """Return a local folder with the stored data set; FileNotFoundError when there is none, or it is damaged."""
        folder = self._root / f"{dataset_id}-{sha256[:16]}"
        if not (folder / SCHEMA_FILE).is_file():
            self._fetch(dataset_id, folder)
        os.utime(folder)
        return folder

    def forget(self, dataset_id: str) -> None:
        """Remove the local copies of a data set that is gone."""
        for folder in self._root.glob(f"{dataset_id}-*"):
            shutil.rmtree(folder, ignore_errors=True)

    def _fetch(self, dataset_id: str, folder: Path) -> None:
        self._root.mkdir(parents=True, exist_ok=True)
        arriving = self._root / f".arriving-{new_id('x')}"
        arriving.mkdir()
        try:
            _copy_tree(self._blobs, f"datasets/{dataset_id}", arriving)
            _check_hashes(dataset_id, arriving)
            self._make_room(sum(path.stat().st_size for path in arriving.iterdir()))
            try:
                arriving.rename(folder)
            except OSError:
                if not (folder / SCHEMA_FILE).is_file():  # another process was first, otherwise
                    raise
        finally:
            shutil.rmtree(arriving, ignore_errors=True)

    def _make_room(self, needed_bytes: int) -> None:
        """Remove the folders that were not asked for longest, and what a killed process left behind."""
        now = time.time()
        folders = []
        for folder in self._root.iterdir():
            try:
                used = folder.stat().st_mtime
                size = sum(path.stat().st_size for path in folder.iterdir() if path.is_file())
            except (FileNotFoundError, NotADirectoryError):
                continue
            if folder.name.startswith(".arriving-"):
                if now - used > _IN_USE_SECONDS:
                    shutil.rmtree(folder, ignore_errors=True)
                continue
            folders.append((used, size, folder))
        total = needed_bytes + sum(size for _, size, _ in folders)
        for used, size, folder in sorted(folders, key=lambda item: item[0]):
            if total <= self._max_bytes or now - used < _IN_USE_SECONDS:
                return
            shutil.rmtree(folder, ignore_errors=True)
            total -= size


def _check_hashes(dataset_id: str, folder: Path) -> None:
    """Compare every file with the manifest, once a fetch: half a second for a gigabyte."""
    files = json.loads((folder / "manifest.json").read_bytes())["files"]
    for name, facts in files.items():
        try:
            with (folder / name).open("rb") as source:
                digest = hashlib.file_digest(source, "sha256").hexdigest()
        except FileNotFoundError:
            digest = "missing"
        if digest != facts["sha256"]:
            raise DatasetDamagedError(f"data set {dataset_id} is damaged: {name}")


def _copy_tree(blobs: BlobStore, prefix: str, folder: Path) -> None:
    """Fetch a tree; from a local store on the same disk by hard links (its files never change)."""
    if isinstance(blobs, LocalBlobs):
        try:
            for key in blobs.keys(prefix):
                os.link(blobs.path(key), folder / key.removeprefix(f"{prefix}/"))
        except OSError:
            shutil.rmtree(folder)
            folder.mkdir()
        else:
            if any(folder.iterdir()):
                return
    get_tree(blobs, prefix, folder)
