"""What a launcher and its slots tell each other, as files in `work/workers/<name>-<pid>`.

    drain        the launcher wants everybody to stop
    slot-<pid>   a slot lives
    busy-<pid>   it has a job, or is about to claim one
    bad-<…>      a device failed a job: its slots claim none until the launcher has seen it compute again

Files, because a slot is a grandchild of the launcher, through Celery, which passes nothing on.
"""

import os
import re
import shutil
from pathlib import Path

VARIABLE = "TRAINYARD_RUN_DIR"


class RunDir:
    """The folder of one launcher."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @classmethod
    def make(cls, work_dir: Path, worker: str) -> "RunDir":
        """Make one for the calling launcher, and remove those of launchers that are gone."""
        parent = work_dir / "workers"
        for old in parent.glob("*-*"):
            pid = old.name.rpartition("-")[2]
            if pid.isdigit() and not _lives(int(pid)):
                shutil.rmtree(old, ignore_errors=True)
        path = parent / f"{re.sub(r'[^A-Za-z0-9._-]', '-', worker)}-{os.getpid()}"
        shutil.rmtree(path, ignore_errors=True)
        path.mkdir(parents=True)
        return cls(path)

    @classmethod
    def of_environment(cls, work_dir: Path) -> "RunDir":
        """Return the one that the launcher named; one of its own for a Celery that was started by hand."""
        named = os.environ.get(VARIABLE)
        if named:
            return cls(Path(named))
        path = work_dir / "workers" / f"celery-{os.getppid()}"
        path.mkdir(parents=True, exist_ok=True)
        return cls(path)

    def drain(self) -> None:
        """Ask every slot to stop."""
        (self.path / "drain").touch()

    def is_draining(self) -> bool:
        """Whether the slots shall stop."""
        return (self.path / "drain").exists()

    def mark(self, busy: bool) -> None:
        """Say that the calling process is a slot, and whether it has a job.

        A slot marks itself busy, *then* looks whether it shall stop, then claims; the launcher sets the flag,
        *then* looks who is busy. So no job starts unseen.
        """
        (self.path / f"slot-{os.getpid()}").touch()
        mark = self.path / f"busy-{os.getpid()}"
        if busy:
            mark.touch()
        else:
            mark.unlink(missing_ok=True)

    def quarantine(self, device: str) -> None:
        """Say that a device has failed a job."""
        self._bad(device).write_text(device, "utf-8")

    def quarantined(self) -> list[str]:
        """Return the devices in quarantine."""
        return sorted(file.read_text("utf-8") for file in self.path.glob("bad-*"))

    def is_quarantined(self, device: str) -> bool:
        """Whether the device is in quarantine."""
        return self._bad(device).exists()

    def release(self, device: str) -> None:
        """End the quarantine of a device."""
        self._bad(device).unlink(missing_ok=True)

    def _bad(self, device: str) -> Path:
        return self.path / f"bad-{re.sub(r'[^A-Za-z0-9._-]', '-', device)}"

    def slots(self) -> dict[int, bool]:
        """Return the living slots by process id, and whether each has a job."""
        found = {}
        for file in self.path.glob("slot-*"):
            pid = int(file.name.removeprefix("slot-"))
            if _lives(pid):
                found[pid] = (self.path / f"busy-{pid}").exists()
            else:
                file.unlink(missing_ok=True)
        return found

    def remove(self) -> None:
        """Remove the folder."""
        shutil.rmtree(self.path, ignore_errors=True)


def _lives(pid: int) -> bool:
    try:
        # A zombie still takes a signal; its state letter comes after the name in brackets (proc(5)).
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        pass
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return not Path("/proc/self/stat").exists()
