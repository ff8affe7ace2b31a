"""What was found wrong with an upload: every reason, each once, and none that repeats the upload at length."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from app.models.intake.rewrite.refused import Refused

MOST_REASONS = 50
_MOST_CHARS = 300
_PATH = re.compile(r"(?<![\w.])(?:\.{1,2}/|~/|/|[A-Za-z]:[\\/]|[a-z]{2,10}://)[^\s'\"]+")
# Reasons that make a 413 of the refusal: the file is fine but for its size.
TOO_LARGE = frozenset({"too_large_unpacked", "too_much_compressed"})


def reason(code: str, message: str, where: str = "") -> dict[str, str]:
    """Return one reason as clients see it: without control characters or paths, and not long.

    A path that a file names is not repeated: an answer would tell whether it is one of the server's.
    """
    return {"code": code, "message": _without_paths(message), "where": _without_paths(where.lstrip("/"))}


def _without_paths(text: str) -> str:
    return _PATH.sub("…", plain(text))


def plain(text: str) -> str:
    """Return `text` in one line, without control characters or lone surrogates, at most 300 characters."""
    line = "".join(char if char.isprintable() else " " for char in text[: 4 * _MOST_CHARS])
    return line if len(line) <= _MOST_CHARS else f"{line[: _MOST_CHARS - 1]}…"


def shown(value: Any) -> str:
    """Return how a value of an upload is named in a message."""
    text = plain(repr(value) if not isinstance(value, dict | list) else f"a {type(value).__name__}")
    return text if len(text) <= 60 else f"{text[:59]}…"


class Findings:
    """Collects reasons; a check goes on after the first, so that a client sees all."""

    def __init__(self) -> None:
        self.reasons: list[dict[str, str]] = []

    def add(self, code: str, message: str, where: str = "") -> None:
        """Add a reason; one said already is not said again, and beyond 50 none is."""
        found = reason(code, message, where)
        if len(self.reasons) < MOST_REASONS and found not in self.reasons:
            self.reasons.append(found)

    @property
    def full(self) -> bool:
        """Whether no further reason would be kept: then there is no use in looking on."""
        return len(self.reasons) >= MOST_REASONS

    @contextmanager
    def collect(self) -> Iterator[None]:
        """Add a refusal that is raised within, and go on after it."""
        try:
            yield
        except Refused as refusal:
            self.add(refusal.code, refusal.message, refusal.where)

    def stop(self) -> None:
        """Raise what was found, where anything was."""
        if self.reasons:
            raise RefusedUpload(self.reasons)


class RefusedUpload(Exception):
    """An upload that is not taken in, with every reason."""

    def __init__(self, reasons: list[dict[str, str]]) -> None:
        super().__init__("; ".join(f"{found['code']} {found['where']}: {found['message']}" for found in reasons))
        self.reasons = reasons
