"""`trainyard up` as a person meets it: what it says, what it refuses, and that nothing is left of it."""

import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from app.core.settings import Settings
from app.holding import StartRefused, hold_home, listen
from app.processes import settings_environment
from tests.workers.processes import command_of, lives, tree_of, wait_until

ROOT = Path(__file__).resolve().parents[2]


class Up:
    """A running `up` with the scripted trainer."""

    def __init__(self, settings: Settings) -> None:
        environment = settings_environment(settings, "")
        del environment["TRAINYARD_BROKER_URL"]
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.workers.fake_up"], env=environment, cwd=ROOT, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip
        assert self.process.stdout is not None
        self.first_line = self.process.stdout.readline()

    @property
    def url(self) -> str:
        found = re.search(r"http://\S+", self.first_line)
        assert found is not None, self.process.stderr and self.process.stderr.read()
        return found.group()

    def part(self, command: str) -> int:
        return next(pid for pid in tree_of(self.process.pid) if command in command_of(pid))

    def whole_tree(self) -> list[int]:
        """Wait until the last process of the chain is there; return all."""
        wait_until(lambda: any("workers.spawner" in command_of(p) for p in tree_of(self.process.pid)))
        return [self.process.pid, *tree_of(self.process.pid)]

    def is_ready(self) -> bool:
        try:
            checks = httpx.get(f"{self.url}/readyz").json()["checks"]
        except httpx.HTTPError:
            return False
        return all(state == "ok" for state in checks.values())


@pytest.fixture
def up(settings: Settings) -> Iterator[Up]:
    up = Up(settings)
    yield up
    tree = [up.process.pid, *tree_of(up.process.pid)]
    up.process.kill()
    up.process.communicate()
    wait_until(lambda: not any(map(lives, tree)))


@pytest.mark.services
class TestUp:
    def test_it_says_where_it_listens_where_data_lies_and_what_to_do(self, up: Up, settings: Settings) -> None:
        wait_until(up.is_ready)
        assert httpx.get(f"{up.url}/livez").status_code == 200
        up.process.send_signal(signal.SIGINT)
        assert up.process.wait(40) == 0
        assert up.process.stdout is not None
        assert up.process.stderr is not None
        out, err = up.process.stdout.read(), up.process.stderr.read()
        assert str(settings.home_dir) in out
        assert "trainyard train" in out
        assert "Ctrl-C" in out
        assert err == ""

    @pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
    def test_it_stops_cleanly(self, up: Up, number: signal.Signals) -> None:
        tree = up.whole_tree()
        up.process.send_signal(number)
        assert up.process.wait(40) == 0
        assert not any(map(lives, tree[1:]))

    def test_a_second_signal_does_not_wait(self, up: Up) -> None:
        tree = up.whole_tree()
        os.kill(up.part("fake_launcher"), signal.SIGSTOP)  # it will not drain
        up.process.send_signal(signal.SIGINT)
        wait_until(lambda: not any("app.serve" in command_of(pid) for pid in tree if lives(pid)))
        up.process.send_signal(signal.SIGINT)
        assert up.process.wait(10) == 0
        wait_until(lambda: not any(map(lives, tree[1:])))

    def test_nothing_is_left_when_it_is_killed(self, up: Up) -> None:
        tree = up.whole_tree()
        commands = " ".join(command_of(pid) for pid in tree)
        for part in ("valkey-server", "app.serve", "fake_launcher", "fake_pool", "workers.spawner"):
            assert part in commands
        up.process.kill()
        wait_until(lambda: not any(map(lives, tree[1:])), 5)

    def test_a_part_that_dies_comes_back_under_the_same_address(self, up: Up) -> None:
        wait_until(up.is_ready)
        for part in ("valkey-server", "app.serve", "fake_launcher"):
            pid = up.part(part)
            os.kill(pid, signal.SIGKILL)
            wait_until(lambda old=pid: not lives(old))
            wait_until(up.is_ready, 30)

    def test_a_second_one_on_the_same_folder_is_refused(self, up: Up, settings: Settings) -> None:
        second = Up(settings)
        out, err = second.process.communicate(timeout=20)
        assert second.process.returncode == 1
        assert out == ""
        assert f"process {up.process.pid}" in err
        assert "TRAINYARD_HOME" in err
        wait_until(up.is_ready)

    def test_a_port_in_use_is_named(self, tmp_path: Path) -> None:
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            port = taken.getsockname()[1]
            second = Up(Settings(home=tmp_path / "h", port=port))
            _, err = second.process.communicate(timeout=20)
        assert second.process.returncode == 1
        assert f"Port {port} on 127.0.0.1 is in use" in err
        assert "Traceback" not in err


class TestListen:
    def test_a_free_port_is_taken_for_zero(self) -> None:
        with listen("127.0.0.1", 0) as sock:
            assert sock.getsockname()[1] > 0

    def test_a_port_in_use_is_refused_with_a_way_out(self) -> None:
        with listen("127.0.0.1", 0) as sock, pytest.raises(StartRefused, match="TRAINYARD_PORT"):
            listen("127.0.0.1", sock.getsockname()[1])

    def test_an_address_that_is_not_there_is_refused(self) -> None:
        with pytest.raises(StartRefused, match=r"no\.such\.host\.invalid"):
            listen("no.such.host.invalid", 0)


class TestHome:
    def test_it_is_held_once_and_free_again(self, tmp_path: Path) -> None:
        with hold_home(tmp_path), pytest.raises(StartRefused, match=str(os.getpid())), hold_home(tmp_path):
            pass
        with hold_home(tmp_path):
            pass

    def test_one_that_cannot_be_made_is_refused(self, tmp_path: Path) -> None:
        (tmp_path / "file").touch()
        with pytest.raises(StartRefused, match="TRAINYARD_HOME"), hold_home(tmp_path / "file" / "home"):
            pass


class TestEnvironment:
    def test_children_get_the_same_settings(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("TRAINYARD_DATABASE_URL", "postgresql://elsewhere/x")
        settings = Settings(home=tmp_path, worker_slots=3, database_url=None, poll_seconds=0.5)
        for name, value in settings_environment(settings, "redis://b").items():
            monkeypatch.setenv(name, value)
        monkeypatch.delenv("TRAINYARD_DATABASE_URL", raising=False)
        assert Settings() == settings.model_copy(update={"broker_url": "redis://b"})
