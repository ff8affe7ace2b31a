"""Bundles on this host: fetched once from the blob store, under the hash of their manifest."""

import contextlib
import hashlib
import logging
import shutil
import tempfile
from pathlib import Path

from app.inference.catalogue import VersionEntry
from app.inference.predictor import Predictor
from app.models.bundle import MANIFEST, BundleCorrupt, read_manifest, serving_files
from app.storage.blobs import BlobStore

_log = logging.getLogger(__name__)


class BundleStore:
    """A folder of bundles, each with what serving needs of it. Safe under several processes."""

    def __init__(self, blobs: BlobStore, folder: Path) -> None:
        self._blobs = blobs
        self._folder = folder

    def load(self, entry: VersionEntry) -> Predictor:
        """Return a predictor of the version, fetched if need be and with its hashes checked.

        Raises BundleCorrupt or ModelUnusable for a version that cannot be served and OSError
        when the blob store does not give it.
        """
        target = self._folder / entry.sha256
        if (target / MANIFEST).is_file():
            try:
                return self._open(target, entry)
            except BundleCorrupt:
                # What lies here was altered or half removed; the blob store has the original.
                _log.warning("bundle fetched again", extra={"model": entry.name, "version": entry.version})
                shutil.rmtree(target, ignore_errors=True)
        self._fetch(entry, target)
        return self._open(target, entry)

    def prune(self, keep: set[str]) -> None:
        """Remove the bundles whose manifest hash is not in `keep`."""
        with contextlib.suppress(OSError):  # what cannot be removed now is removed after the next change
            for path in list(self._folder.iterdir()):
                if path.name not in keep and not path.name.startswith("."):
                    shutil.rmtree(path, ignore_errors=True)

    def _open(self, folder: Path, entry: VersionEntry) -> Predictor:
        try:
            digest = hashlib.sha256((folder / MANIFEST).read_bytes()).hexdigest()
        except FileNotFoundError as error:
            # Another process, which did not know the version yet, removed it.
            raise BundleCorrupt("the bundle has no manifest") from error
        if digest != entry.sha256:
            raise BundleCorrupt("the manifest is not the one that was published")
        return Predictor.load(folder)

    def _fetch(self, entry: VersionEntry, target: Path) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(dir=self._folder, prefix=".fetch-"))
        try:
            self._blobs.get_file(f"{entry.blob_prefix}/{MANIFEST}", temporary / MANIFEST)
            manifest = read_manifest(temporary / MANIFEST)
            for name in manifest["files"]:
                if name in serving_files(manifest):
                    self._blobs.get_file(f"{entry.blob_prefix}/{name}", temporary / name)
            try:
                temporary.rename(target)
            except OSError:
                # Another process was first.
                if not (target / MANIFEST).is_file():
                    raise
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
