"""What a job reads, brought to this host: the models, and the checkpoint to go on from. Nothing damaged is used."""

import hashlib
import json
import logging
import shutil
from pathlib import Path

from app.jobs import repository as jobs
from app.models.bundle import MANIFEST, SERVING_FILES, read_manifest
from app.storage.blobs import BlobStore, get_tree

log = logging.getLogger(__name__)


class ModelGone(Exception):
    """The files of a model version that the job reads are not in the store."""


def fetch_models(blobs: BlobStore, job: jobs.ClaimedJob, folder: Path, *, whole: bool) -> dict[str, Path]:
    """Return the folder of each bundle that the job reads, by role; all of it, or what serves.

    ModelGone when the store has it no more. Its hashes are checked by whoever opens it.
    """
    folders = {}
    for role, ref in job.models.items():
        target = folder / role
        target.mkdir(parents=True)
        try:
            blobs.get_file(f"{ref.blob_prefix}/{MANIFEST}", target / MANIFEST)
            for name in read_manifest(target / MANIFEST)["files"]:
                if whole or name in SERVING_FILES:
                    blobs.get_file(f"{ref.blob_prefix}/{name}", target / name)
        except FileNotFoundError:
            raise ModelGone(f"{ref.name}@{ref.version}") from None
        folders[role] = target
    return folders


def fetch_checkpoint(blobs: BlobStore, job: jobs.ClaimedJob, target: Path) -> Path | None:
    """Return the newest whole checkpoint in `target`; None where there is none."""
    for ref in job.checkpoints:
        shutil.rmtree(target, ignore_errors=True)
        if _fetch(blobs, job, ref, target):
            return target
    shutil.rmtree(target, ignore_errors=True)
    return None


def fetch_chain(blobs: BlobStore, job: jobs.ClaimedJob, target: Path) -> Path | None:
    """Return `target` with a folder for each whole checkpoint, as far as each follows on the one before."""
    rows = 0
    while True:
        following = None
        for ref in reversed(job.checkpoints):
            if ref.step <= rows or _start_of(blobs, ref) != rows:
                continue
            folder = target / f"{ref.step:012d}"
            if _fetch(blobs, job, ref, folder):
                following = ref.step
                break
            shutil.rmtree(folder, ignore_errors=True)
        if following is None:
            return target if rows else None
        rows = following


def _start_of(blobs: BlobStore, ref: jobs.CheckpointRef) -> int | None:
    """Return how many rows were written before a part; None where that cannot be read."""
    try:
        return int(json.loads(blobs.get_bytes(f"{ref.blob_prefix}/state.json"))["start"])
    except (OSError, ValueError, KeyError):
        return None


def _fetch(blobs: BlobStore, job: jobs.ClaimedJob, ref: jobs.CheckpointRef, target: Path) -> bool:
    try:
        get_tree(blobs, ref.blob_prefix, target)
        if _is_whole(target, ref.sha256):
            return True
    except (OSError, ValueError, KeyError) as problem:
        log.warning("checkpoint unreadable", extra={"job": job.id, "error": str(problem)})
    log.warning("a damaged checkpoint is passed over", extra={"job": job.id, "checkpoint": ref.step})
    return False


def _is_whole(folder: Path, manifest_sha256: str) -> bool:
    """Tell whether the manifest is the one that was recorded and every file is what it says."""
    content = (folder / "manifest.json").read_bytes()
    if hashlib.sha256(content).hexdigest() != manifest_sha256:
        return False
    for name, facts in json.loads(content).get("files", {}).items():
        with (folder / name).open("rb") as source:
            if hashlib.file_digest(source, "sha256").hexdigest() != facts["sha256"]:
                return False
    return True
