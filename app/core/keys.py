"""Making an API key: shown once, kept as a line `name:sha256` (see `app.core.auth`)."""

import fcntl
import os
from pathlib import Path

from app.core.auth import key_line, new_key, read_keys


def add_key(name: str, keys_file: Path | None) -> tuple[str, str]:
    """Make a key; return it and its line, which is appended to `keys_file` unless that is None.

    Raise ValueError when the name is unfit or taken or the file is no keys file, OSError when it
    cannot be written. The line is one write under a lock: two at a time do no harm.
    """
    key = new_key()
    line = key_line(name, key)
    if keys_file is not None:
        _append(keys_file, name, line)
    return key, line


def _append(path: Path, name: str, line: str) -> None:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
    with os.fdopen(descriptor, "r+", encoding="utf-8") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        if any(key.name == name for key in read_keys(path)):
            raise ValueError(f"there is a key called {name!r} already; revoke it by removing its line")
        text = file.read()
        file.write(("" if not text or text.endswith("\n") else "\n") + line + "\n")
        file.flush()
        os.fsync(file.fileno())
