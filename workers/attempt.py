"""The folder of one attempt on this host: order, log, output. Removed when the attempt ends.

    work/attempts/<job>-<attempt>/   owner.lock  order.json  log.txt  models/  checkpoint/  output/

Its owner holds a lock on `owner.lock`; what a killed owner left behind has none, and is swept.
"""

import fcntl
import json
import logging
import os
import re
import shutil
import sys
from pathlib import Path
from typing import IO, Any, Protocol

from app.storage.blobs import BlobStore
from workers.child import Order

log = logging.getLogger(__name__)

LOG_BYTES = 1_000_000  # a job's log, at most: its end
# What an error shows of it: enough for a stack trace, and still a row that is quick to read.
TAIL_LINES, TAIL_BYTES = 30, 4000
# Colours, cursor moves and other control characters, but tab and line feed.
_CONTROL = re.compile(rb"\x1b\[[0-9;?]*[A-Za-z]|[\x00-\x08\x0b-\x1f\x7f]")


class DataFolders(Protocol):
    """Local copies of data sets: `app.datasets.cache.DatasetCache`."""

    def folder(self, dataset_id: str, sha256: str) -> Path:
        """Return where the columns lie; FileNotFoundError when the store has none."""


class AttemptFolder:
    """The folder of one attempt, held by this process."""

    def __init__(self, work_dir: Path, job_id: str, attempt: int) -> None:
        """Make it anew, whatever an earlier process of the same attempt left there."""
        self.path = attempts_dir(work_dir) / f"{job_id}-{attempt}"
        shutil.rmtree(self.path, ignore_errors=True)
        self.path.mkdir(parents=True, mode=0o700)
        self._lock: IO[bytes] = (self.path / "owner.lock").open("wb")
        fcntl.flock(self._lock, fcntl.LOCK_EX)
        self.output.mkdir()
        self.log.touch(0o600)

    @property
    def log(self) -> Path:
        """What the trainer prints."""
        return self.path / "log.txt"

    @property
    def output(self) -> Path:
        """Where the trainer writes checkpoints and its bundle."""
        return self.path / "output"

    @property
    def checkpoint(self) -> Path:
        """Where the checkpoint to go on from is put."""
        return self.path / "checkpoint"

    @property
    def models(self) -> Path:
        """Where the bundles that the job reads are put, by role."""
        return self.path / "models"

    def write_order(self, order: dict[str, Any], *, nice: int, threads: int) -> Order:
        """Write `order.json` and return what the spawner needs."""
        path = self.path / "order.json"
        path.write_text(json.dumps(order), "utf-8")
        return Order(path=path, log=self.log, nice=nice, threads=threads)

    def remove(self) -> None:
        """Remove everything, then let go of it."""
        shutil.rmtree(self.path, ignore_errors=True)
        self._lock.close()


def attempts_dir(work_dir: Path) -> Path:
    """Where the attempts of this host are."""
    return work_dir / "attempts"


def remove_orphans(work_dir: Path) -> int:
    """Remove the folders whose owner is gone; return how many."""
    removed = 0
    for folder in attempts_dir(work_dir).glob("*-*"):
        try:
            with (folder / "owner.lock").open("rb") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(folder, ignore_errors=True)
                removed += 1
        except (BlockingIOError, FileNotFoundError):  # owned, or just being made or removed
            continue
    return removed


class LogShipper:
    """Keeps `logs/<job>/<attempt>.txt` in the blob store up to date with the end of the log file."""

    def __init__(self, blobs: BlobStore, folder: AttemptFolder, key: str, hidden: list[Path]) -> None:
        """`hidden` are folders of this host whose names no client may see (API.md §1)."""
        self._blobs = blobs
        self._path = folder.log
        self._key = key
        self._hidden = [os.fsencode(p) for p in (folder.path, *hidden, Path(sys.prefix), Path(sys.base_prefix))]
        self._shipped_bytes = 0

    def ship(self) -> None:
        """Upload the end of the log where it has grown. Trouble with the store is logged, no more."""
        try:
            size = self._path.stat().st_size
            if size == self._shipped_bytes:
                return
            with self._path.open("rb") as source:
                source.seek(max(0, size - LOG_BYTES))
                text = source.read(LOG_BYTES)
            self._blobs.put_bytes(self._key, self._clean(text))
            self._shipped_bytes = size
        except OSError as error:
            log.warning("the job's log could not be stored", extra={"error": str(error), "key": self._key})

    def tail(self) -> str:
        """Return the last lines as they may be shown; "" where the log cannot be read."""
        try:
            with self._path.open("rb") as source:
                source.seek(max(0, source.seek(0, os.SEEK_END) - TAIL_BYTES))
                text = source.read(TAIL_BYTES)
        except OSError:
            return ""
        lines = self._clean(text).decode("utf-8", "replace").splitlines()[-TAIL_LINES:]
        return "\n".join(lines)

    def _clean(self, text: bytes) -> bytes:
        for path in self._hidden:
            text = text.replace(path, b"...")
        return _CONTROL.sub(b"", text)
