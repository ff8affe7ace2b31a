"""What tests of processes share: who lives, who is whose child, and waiting with an end."""

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")


def lives(pid: int) -> bool:
    """Whether the process runs; a zombie does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def children_of(pid: int) -> list[int]:
    """The living children of a process."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            if int(fields[1]) == pid and fields[0] != "Z":
                found.append(int(entry.name))
    return found


def tree_of(pid: int) -> list[int]:
    """The living descendants of a process, nearest first."""
    tree, waiting = [], [pid]
    while waiting:
        found = children_of(waiting.pop(0))
        tree += found
        waiting += found
    return tree


def command_of(pid: int) -> str:
    """The command line of a process."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode().strip()
    except OSError:
        return ""


def wait_until(condition: Callable[[], T], seconds: float = 40.0) -> T:
    """Return what `condition` gives as soon as it is true; AssertionError when it is not within `seconds`."""
    until = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < until, "it did not happen in time"
        threading.Event().wait(0.02)
    return value
