"""A locked-in process can do its work, and nothing else."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from app.models.intake.child import OUT_OF_MEMORY, Allowance, watch
from tests.servers import wait_until

pytestmark = [pytest.mark.services, pytest.mark.timeout(60)]
ROOT = Path(__file__).resolve().parents[3]
ALLOWED = ["read own file", "write own folder"]
REFUSED = [
    "read secret", "read passwd", "list root", "list home", "read parent's environment", "read parent's memory",
    "write secret", "cut secret", "remove secret", "write own file", "write elsewhere", "change mode of secret",
    "link to secret", "hard link to secret", "socket", "unix socket", "socket pair", "socket by libc", "program",
    "program in place", "fork", "fork by libc", "fork bomb", "kill parent", "kill all", "raise limits",
    "new namespace", "become another", "fill disk",
]  # fmt: skip


@pytest.fixture
def places(tmp_path: Path) -> list[str]:
    """The prisoner's file and folder, and a secret beside them."""
    own, output, secret = tmp_path / "cell" / "own", tmp_path / "cell" / "output", tmp_path / "secret"
    output.mkdir(parents=True)
    own.write_text("own")
    secret.write_text("secret")
    return [str(own), str(output), str(secret)]


def lock_in(attempt: str, places: list[str], sink: int = subprocess.PIPE) -> "subprocess.Popen[bytes]":
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "TMPDIR": places[1], "HOME": places[1]}
    command = [sys.executable, "-P", str(Path(__file__).with_name("prisoner.py")), attempt, *places]
    return subprocess.Popen(command, stdout=sink, stderr=subprocess.PIPE, env=environment, cwd=places[1])


def said(attempt: str, places: list[str]) -> str:
    child = lock_in(attempt, places)
    out, err = child.communicate(timeout=30)
    assert child.returncode == 0, (child.returncode, err.decode())
    return out.decode().strip()


@pytest.mark.parametrize("attempt", ALLOWED)
def test_it_does_its_work(attempt: str, places: list[str]) -> None:
    assert said(attempt, places) == "done"


@pytest.mark.parametrize("attempt", REFUSED)
def test_it_does_nothing_else(attempt: str, places: list[str]) -> None:
    assert said(attempt, places).startswith("refused")
    own, output, secret = map(Path, places)
    assert secret.read_text() == "secret"
    assert own.read_text() == "own"
    assert secret.stat().st_mode & 0o777 != 0o777
    assert [path.name for path in secret.parent.iterdir() if path.is_file()] == ["secret"]
    large = output / "large"
    assert not large.exists() or large.stat().st_size <= 8 << 20


def test_too_many_threads_end_in_its_own_limits(places: list[str]) -> None:
    child = lock_in("thread bomb", places)
    child.communicate(timeout=30)
    assert child.returncode is not None


def test_memory_is_bounded_by_the_system(places: list[str]) -> None:
    assert said("eat memory", places) == "refused MemoryError"


def test_memory_is_watched(places: list[str]) -> None:
    allowance = Allowance(resident_bytes=200 << 20, address_bytes=0, cpu_seconds=0, seconds=30)
    child = lock_in("eat memory", places, subprocess.DEVNULL)
    assert watch(child, allowance) == OUT_OF_MEMORY
    assert child.poll() == -signal.SIGKILL


def test_the_processor_is_bounded_by_the_system(places: list[str]) -> None:
    child = lock_in("burn time", places, subprocess.DEVNULL)
    allowance = Allowance(resident_bytes=1 << 30, address_bytes=0, cpu_seconds=0, seconds=40)
    assert watch(child, allowance) in (-signal.SIGXCPU, -signal.SIGKILL)


def test_the_clock_is_watched(places: list[str]) -> None:
    child = lock_in("burn time", places, subprocess.DEVNULL)
    allowance = Allowance(resident_bytes=1 << 30, address_bytes=0, cpu_seconds=0, seconds=0.5)
    assert watch(child, allowance) is None
    assert child.poll() == -signal.SIGKILL


def test_it_dies_with_its_parent(places: list[str], tmp_path: Path) -> None:
    keeper = (
        "import subprocess, sys\n"
        "child = subprocess.Popen(sys.argv[1:], stdout=subprocess.DEVNULL)\n"
        "print(child.pid, flush=True)\n"
        "child.wait()\n"
    )
    command = [sys.executable, "-P", str(Path(__file__).with_name("prisoner.py")), "burn time", *places]
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "TMPDIR": places[1]}
    parent = subprocess.Popen([sys.executable, "-c", keeper, *command], stdout=subprocess.PIPE, env=environment)
    assert parent.stdout is not None
    pid = int(parent.stdout.readline())
    wait_until(lambda: _limited(pid), 20, "the child's start")
    parent.kill()
    parent.wait()
    wait_until(lambda: not _runs(pid), 20, "the child's end")


def _limited(pid: int) -> bool:
    """Whether the process has locked itself in: a filter of system calls is in force."""
    try:
        return "Seccomp:\t2" in Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False


def _runs(pid: int) -> bool:
    try:
        return "State:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False
