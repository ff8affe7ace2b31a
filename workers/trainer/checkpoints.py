"""Checkpoints: folders that are whole or not there.

    arrays.npz      weights, optimizer, noise generators, sums of the epoch, best weights
    state.json      position, stopper, history, seconds trained
    manifest.json   the hash of both; written last

Written under a temporary name, flushed to disk, renamed, and the parent flushed: a crash at
any moment leaves the checkpoint before. `.weights.h5` would not do: 58 of 60 single-bit
flips in one load without an error (RELIABILITY.md, finding 6).
"""

import hashlib
import io
import os
import shutil
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import orjson

FORMAT = 1
ARRAYS, STATE, MANIFEST = "arrays.npz", "state.json", "manifest.json"
PREFIX = "checkpoint-"
# The one before the last stays in case the last turns out to be damaged; a third may still be on its way out.
KEPT = 3


class CheckpointCorrupt(Exception):
    """A checkpoint is not what its manifest says."""


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint that was read back whole."""

    arrays: dict[str, np.ndarray[Any, Any]]
    state: dict[str, Any]


def write_checkpoint(parent: Path, step: int, arrays: dict[str, np.ndarray[Any, Any]], state: dict[str, Any]) -> Path:
    """Write a checkpoint of the update `step` into `parent` and return its folder; OSError when the disk is full."""
    folder = parent / f"{PREFIX}{step:012d}"
    temporary = parent / f".{folder.name}.tmp"
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    try:
        _fill(temporary, arrays, state)
        if folder.exists():
            # The same step again, after a resume: equal content, but only one of them can have the name.
            shutil.rmtree(folder)
        temporary.rename(folder)
    except OSError:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    _flush_folder(parent)
    return folder


def _fill(folder: Path, arrays: dict[str, np.ndarray[Any, Any]], state: dict[str, Any]) -> None:
    buffer = io.BytesIO()
    np.savez(buffer, allow_pickle=False, **arrays)
    contents: dict[str, bytes | memoryview] = {
        ARRAYS: buffer.getbuffer(),
        STATE: orjson.dumps({"format": FORMAT, **state}, option=orjson.OPT_SERIALIZE_NUMPY),
    }
    manifest: dict[str, Any] = {"format": FORMAT, "files": {}}
    for name, content in contents.items():
        _write_flushed(folder / name, content)
        manifest["files"][name] = {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    _write_flushed(folder / MANIFEST, orjson.dumps(manifest))
    _flush_folder(folder)


def read_checkpoint(folder: Path) -> Checkpoint:
    """Read and check a checkpoint; CheckpointCorrupt when a file is missing, cut short or altered."""
    try:
        manifest = orjson.loads((folder / MANIFEST).read_bytes())
        contents = {name: (folder / name).read_bytes() for name in (ARRAYS, STATE)}
        for name, content in contents.items():
            facts = manifest["files"][name]
            if len(content) != facts["bytes"] or hashlib.sha256(content).hexdigest() != facts["sha256"]:
                raise CheckpointCorrupt(f"{name} is not what the manifest says")
        with np.load(io.BytesIO(contents[ARRAYS]), allow_pickle=False) as stored:
            arrays = {name: stored[name] for name in stored.files}
        state = orjson.loads(contents[STATE])
    except (OSError, KeyError, TypeError, ValueError, zipfile.BadZipFile) as error:
        raise CheckpointCorrupt(f"the checkpoint cannot be read: {type(error).__name__}") from error
    if state.get("format") != FORMAT:
        raise CheckpointCorrupt("the checkpoint is of another format")
    return Checkpoint(arrays, state)


def latest_whole(parent: Path) -> Checkpoint | None:
    """Return the newest whole checkpoint in `parent` (or `parent` itself, where it is one), or None."""
    if (parent / MANIFEST).is_file():
        candidates = [parent]
    elif parent.is_dir():
        candidates = sorted((p for p in parent.iterdir() if p.name.startswith(PREFIX)), reverse=True)
    else:
        candidates = []
    for folder in candidates:
        try:
            return read_checkpoint(folder)
        except CheckpointCorrupt:
            continue
    return None


def remove_old(parent: Path) -> None:
    """Remove all but the newest few checkpoints in `parent`."""
    folders = sorted(p for p in parent.iterdir() if p.name.startswith(PREFIX))
    for folder in folders[:-KEPT]:
        shutil.rmtree(folder, ignore_errors=True)


def _write_flushed(path: Path, content: bytes | memoryview) -> None:
    with path.open("wb") as sink:
        sink.write(content)
        sink.flush()
        os.fsync(sink.fileno())


def _flush_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
