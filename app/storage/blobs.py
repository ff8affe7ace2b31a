"""Blobs by key in one place chosen by URL: a local folder or an S3-compatible bucket."""

import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import unquote, urlsplit

import obstore
from obstore.exceptions import BaseError
from obstore.store import S3Store

CHUNK_BYTES = 1 << 20


class BlobStore(Protocol):
    """What a blob store does. Keys are made of ids only: never of a client's text.

    A file appears whole under its key or not at all. `put_tree` writes `manifest.json`
    last, so that a tree with a manifest is whole.
    """

    def put_file(self, key: str, path: Path) -> None:
        """Store the file at `path` under `key`."""

    def put_bytes(self, key: str, content: bytes) -> None:
        """Store `content` under `key`."""

    def get_file(self, key: str, path: Path) -> None:
        """Write the blob to `path`; FileNotFoundError when there is none."""

    def get_bytes(self, key: str) -> bytes:
        """Return the blob; FileNotFoundError when there is none."""

    def stream(self, key: str) -> Iterator[bytes]:
        """Yield the blob in chunks; FileNotFoundError when there is none."""

    def keys(self, prefix: str) -> list[str]:
        """Return all keys under the folder `prefix`, sorted."""

    def modified(self, prefix: str) -> Iterator[tuple[str, datetime]]:
        """Yield every key under the folder `prefix`, with the instant it was written, on the store's clock."""

    def delete_tree(self, prefix: str) -> None:
        """Remove everything under the folder `prefix`; nothing there is no error."""

    def ping(self) -> None:
        """Raise OSError when the store cannot be written."""


def put_tree(store: BlobStore, prefix: str, folder: Path) -> int:
    """Store every file of `folder` under `prefix`, `manifest.json` last; return the bytes."""
    files = sorted((p for p in folder.rglob("*") if p.is_file()), key=lambda p: p.name == "manifest.json")
    for path in files:
        store.put_file(f"{prefix}/{path.relative_to(folder).as_posix()}", path)
    return sum(path.stat().st_size for path in files)


def get_tree(store: BlobStore, prefix: str, folder: Path) -> None:
    """Write everything under `prefix` into `folder`; FileNotFoundError when there is nothing."""
    keys = store.keys(prefix)
    if not keys:
        raise FileNotFoundError(prefix)
    for key in keys:
        path = folder / key[len(prefix) + 1 :]
        path.parent.mkdir(parents=True, exist_ok=True)
        store.get_file(key, path)


class LocalBlobs:
    """A folder. Written to a temporary name, fsynced, renamed."""

    def __init__(self, root: Path) -> None:
        self.root = root
        root.mkdir(parents=True, exist_ok=True)

    def path(self, key: str) -> Path:
        """Return where `key` lies; ValueError when it would lie outside of the root."""
        path = (self.root / key).resolve()
        if not path.is_relative_to(self.root.resolve()):
            raise ValueError("key leaves the blob store")
        return path

    def put_file(self, key: str, path: Path) -> None:
        target = self.path(key)
        target.parent.mkdir(parents=True, exist_ok=True)
        descriptor, temporary = tempfile.mkstemp(dir=target.parent, prefix=".put-")
        try:
            with os.fdopen(descriptor, "wb") as sink, path.open("rb") as source:
                shutil.copyfileobj(source, sink, CHUNK_BYTES)
                sink.flush()
                os.fsync(sink.fileno())
            Path(temporary).replace(target)
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise
        _sync_folder(target.parent)

    def put_bytes(self, key: str, content: bytes) -> None:
        with tempfile.NamedTemporaryFile(dir=self.root, prefix=".put-") as source:
            source.write(content)
            source.flush()
            self.put_file(key, Path(source.name))

    def get_file(self, key: str, path: Path) -> None:
        shutil.copyfile(self.path(key), path)

    def get_bytes(self, key: str) -> bytes:
        return self.path(key).read_bytes()

    def stream(self, key: str) -> Iterator[bytes]:
        with self.path(key).open("rb") as source:
            while chunk := source.read(CHUNK_BYTES):
                yield chunk

    def keys(self, prefix: str) -> list[str]:
        folder = self.path(prefix) if prefix else self.root
        found = (p for p in folder.rglob("*") if p.is_file() and not p.name.startswith(".put-"))
        return sorted(p.relative_to(self.root.resolve()).as_posix() for p in found)

    def modified(self, prefix: str) -> Iterator[tuple[str, datetime]]:
        # Unlike `keys`, with what a writer left that was killed while it wrote.
        for path in self.path(prefix).rglob("*"):
            try:
                status = path.stat()
            except FileNotFoundError:
                continue  # renamed or removed meanwhile
            if stat.S_ISREG(status.st_mode):
                yield path.relative_to(self.root.resolve()).as_posix(), datetime.fromtimestamp(status.st_mtime, UTC)

    def delete_tree(self, prefix: str) -> None:
        shutil.rmtree(self.path(prefix), ignore_errors=True)

    def ping(self) -> None:
        if not os.access(self.root, os.W_OK):
            raise OSError("the blob folder cannot be written")


@contextmanager
def _as_os_error() -> Iterator[None]:
    try:
        yield
    except BaseError as error:
        raise OSError(f"the object store failed: {type(error).__name__}") from error


class ObjectBlobs:
    """An S3-compatible bucket through obstore; an object appears whole by the protocol itself.

    Trouble with the network or the bucket is an OSError, as trouble with a folder is.
    """

    def __init__(self, store: Any) -> None:
        self.store = store

    @_as_os_error()
    def put_file(self, key: str, path: Path) -> None:
        obstore.put(self.store, key, path)

    @_as_os_error()
    def put_bytes(self, key: str, content: bytes) -> None:
        obstore.put(self.store, key, content)

    def get_file(self, key: str, path: Path) -> None:
        with path.open("wb") as sink:
            for chunk in self.stream(key):
                sink.write(chunk)

    @_as_os_error()
    def get_bytes(self, key: str) -> bytes:
        return bytes(obstore.get(self.store, key).bytes())

    def stream(self, key: str) -> Iterator[bytes]:
        with _as_os_error():
            for chunk in obstore.get(self.store, key).stream(min_chunk_size=CHUNK_BYTES):
                yield bytes(chunk)

    @_as_os_error()
    def keys(self, prefix: str) -> list[str]:
        found = [entry["path"] for batch in obstore.list(self.store, prefix=prefix or None) for entry in batch]
        return sorted(found)

    def modified(self, prefix: str) -> Iterator[tuple[str, datetime]]:
        with _as_os_error():
            for batch in obstore.list(self.store, prefix=prefix or None):
                for entry in batch:
                    yield entry["path"], entry["last_modified"]

    @_as_os_error()
    def delete_tree(self, prefix: str) -> None:
        keys = self.keys(prefix)
        if keys:
            obstore.delete(self.store, keys)

    @_as_os_error()
    def ping(self) -> None:
        next(iter(obstore.list(self.store, chunk_size=1)), None)


def open_blobs(url: str) -> BlobStore:
    """Open `file:///folder` or `s3://bucket/prefix` (credentials and endpoint from AWS_* variables)."""
    parts = urlsplit(url)
    if parts.scheme == "file":
        return LocalBlobs(Path(unquote(parts.path)))
    if parts.scheme == "s3":
        return ObjectBlobs(S3Store(parts.netloc, prefix=parts.path.strip("/") or None))
    raise ValueError(f"storage URL must start with file:// or s3://, not {parts.scheme}://")


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
