"""What the trainer tells its supervisor: one JSON object a line."""

import math
import threading
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO, TextIO

import orjson

from workers.trainer.journal import line_of

# Twice a second is what a progress bar needs; each line costs the supervisor a database write.
PROGRESS_INTERVAL_SECONDS = 0.5


class Reports:
    """Writes reports; what a person wants to read of them goes into `journal` too, the log of the attempt.

    A number that JSON has no form for is written as null.
    """

    def __init__(self, sink: BinaryIO, journal: TextIO | None = None) -> None:
        self._sink = sink
        self._journal = journal
        self._lock = threading.Lock()
        self._progress_at = -math.inf

    def send(self, kind: str, **fields: Any) -> None:
        """Write one report and flush it."""
        # orjson writes NaN and infinities as null, and NumPy's scalars as numbers.
        line = orjson.dumps({"type": kind, **fields}, option=orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_APPEND_NEWLINE)
        with self._lock:
            self._sink.write(line)
            self._sink.flush()
            if self._journal is not None and (text := line_of(kind, fields)):
                self._journal.write(f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ} {text}\n")
                self._journal.flush()

    def progress(self, *, urgent: bool = False, **fields: Any) -> None:
        """Write progress, unless the last was less than half a second ago and it is not `urgent`."""
        now = time.monotonic()
        if urgent or now - self._progress_at >= PROGRESS_INTERVAL_SECONDS:
            self._progress_at = now
            self.send("progress", **fields)

    def event(self, name: str, **data: Any) -> None:
        """Write something that happened, for the job's events."""
        self.send("event", name=name, data=data)

    def checkpoint(self, folder: Path, **fields: Any) -> None:
        """Write that a whole checkpoint lies in `folder`."""
        self.send("checkpoint", folder=str(folder), **fields)
