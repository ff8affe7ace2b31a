"""What the supervisor asks while the trainer runs: cancel, pause, drain; and to die when it is gone."""

import os
import threading
from dataclasses import dataclass
from typing import Literal

import orjson

Wish = Literal["cancel", "pause", "drain"]
# Not a code that anything else ends with: the supervisor is gone, nobody reads it but a person.
EXIT_ORPHANED = 70


@dataclass(frozen=True)
class Request:
    """The latest thing asked for. `keep` says what a cancel publishes: `none` or `best`."""

    wish: Wish
    keep: Literal["none", "best"] = "none"


class Control:
    """Reads JSON lines from a file descriptor in a thread of its own.

    The end of the file means that the supervisor is gone: the process ends at once, in the
    middle of whatever it does, so that no zombie holds a device.
    """

    def __init__(self, descriptor: int | None) -> None:
        self._request: Request | None = None
        self._lock = threading.Lock()
        if descriptor is not None:
            threading.Thread(target=self._read, args=(descriptor,), name="control", daemon=True).start()

    @property
    def request(self) -> Request | None:
        """What was asked for, or None. A cancel is never replaced by a weaker wish."""
        return self._request

    def take(self, line: bytes) -> None:
        """Act on one line; what is not understood is left alone."""
        try:
            message = orjson.loads(line)
        except orjson.JSONDecodeError:
            return
        wish = message.get("type") if isinstance(message, dict) else None
        with self._lock:
            if wish == "cancel":
                keep: Literal["none", "best"] = "best" if message.get("keep") == "best" else "none"
                self._request = Request("cancel", keep)
            elif wish in ("pause", "drain") and (self._request is None or self._request.wish != "cancel"):
                self._request = Request("pause" if wish == "pause" else "drain")

    def _read(self, descriptor: int) -> None:
        pending = b""
        while chunk := self._read_chunk(descriptor):
            *lines, pending = (pending + chunk).split(b"\n")
            for line in lines:
                self.take(line)
        os._exit(EXIT_ORPHANED)

    @staticmethod
    def _read_chunk(descriptor: int) -> bytes:
        try:
            return os.read(descriptor, 65536)
        except OSError:
            return b""
