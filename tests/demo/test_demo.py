"""`trainyard demo` as a person starts it: it shows the whole way, and leaves nothing behind however it ends."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.demo.show import PENGUINS
from tests.servers import wait_until

pytestmark = [pytest.mark.services, pytest.mark.timeout(180)]


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """An empty folder for whatever the demo keeps while it runs."""
    folder = tmp_path / "t"
    folder.mkdir()
    return folder


def start(place: Path) -> subprocess.Popen[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("TRAINYARD_")}
    # Settings of the caller must not reach the private service.
    environment |= {"TMPDIR": str(place), "TRAINYARD_HOME": str(place / "mine"), "TRAINYARD_HOST": "0.0.0.0"}
    return subprocess.Popen(
        [sys.executable, "-m", "app.cli", "demo", "--epochs", "6"],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        process_group=0,
    )


def started_by(place: Path) -> Iterator[tuple[int, str]]:
    """Yield the processes whose environment names the place: children inherit it, however deep they are."""
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        try:
            environment = (entry / "environ").read_bytes()
            state = (entry / "stat").read_text().rpartition(")")[2].split()[0]
            command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if f"TMPDIR={place}".encode() in environment.split(b"\0") and state != "Z":
            yield int(entry.name), command


def await_none(place: Path, seconds: float = 15.0) -> None:
    wait_until(lambda: not list(started_by(place)), seconds, "the end of every process")


def read_until(process: subprocess.Popen[str], pattern: str) -> str:
    assert process.stdout is not None
    seen = ""
    for line in process.stdout:
        seen += line
        if re.search(pattern, line):
            return seen
    raise AssertionError(f"the demo ended before {pattern!r}:\n{seen}")


def test_it_shows_the_whole_way_and_stops_everything(place: Path) -> None:
    began = time.monotonic()
    process = start(place)
    output, _ = process.communicate(timeout=170)
    assert process.returncode == 0, output
    assert time.monotonic() - began < 90
    assert "344 rows, 19 values missing" in output
    assert re.search(r"^  succeeded, loss [\d.e-]+, validation [\d.e-]+$", output, re.MULTILINE)
    assert "model penguins@1" in output
    [row] = re.findall(r"^ +accuracy +([\d.]+) +([\d.]+) – ([\d.]+) +([\d.]+) *$", output, re.MULTILINE)
    value, low, high, baseline = map(float, row)
    assert low <= value <= high
    assert value > baseline
    assert re.search(r"^ +39.1 +18.7 +181 +3750 +Adelie +[\d.]+ +Adelie", output, re.MULTILINE)
    assert "Traceback" not in output
    assert "\x1b" not in output
    await_none(place)
    assert list(place.iterdir()) == []


def test_the_curl_lines_name_a_file_that_is_there(place: Path) -> None:
    assert PENGUINS.is_file()
    process = start(place)
    output, _ = process.communicate(timeout=170)
    lines = [line.strip() for line in output.splitlines() if line.strip().startswith("curl ")]
    assert len(lines) == 5
    [path] = re.findall(r"--data-binary @(\S+)", lines[0])
    assert Path(path).is_file()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_it_stops_everything_and_says_nothing_alarming(place: Path, number: signal.Signals) -> None:
    process = start(place)
    read_until(process, r"^2\. ")
    process.send_signal(number)
    assert process.stdout is not None
    rest = process.stdout.read()
    assert process.wait(60) == 130
    assert "Traceback" not in rest
    await_none(place)
    assert list(place.iterdir()) == []


def test_killed_it_leaves_no_process(place: Path) -> None:
    process = start(place)
    read_until(process, r"^3\. ")
    assert len(list(started_by(place))) > 3
    process.kill()
    process.wait(10)
    assert process.stdout is not None
    process.stdout.close()
    await_none(place)
