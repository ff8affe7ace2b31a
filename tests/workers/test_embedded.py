"""The private broker: on a socket, kept running, and willing to forget."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.core.settings import Settings
from app.embedded import SOCKET_PATH_BYTES, PrivateBroker, broker_url, choose_socket, find_program
from app.jobs.queue import Bell
from tests.workers.processes import command_of, lives, wait_until


@pytest.fixture
def broker(settings: Settings) -> Iterator[PrivateBroker]:
    broker = PrivateBroker(settings)
    broker.start()
    yield broker
    broker.stop()


def kept(broker: PrivateBroker) -> bool:
    broker.keep()
    return broker.answers()


def test_it_answers_on_its_socket_and_no_port(broker: PrivateBroker) -> None:
    assert broker.answers()
    assert Bell(broker.url).ping()
    assert broker.pid is not None
    listening = {line.split()[9] for line in Path("/proc/net/tcp").read_text().splitlines()[1:] if " 0A " in line}
    held = {str(f.readlink()) for f in Path(f"/proc/{broker.pid}/fd").iterdir()}
    assert not held & {f"socket:[{inode}]" for inode in listening}


def test_it_is_private(broker: PrivateBroker) -> None:
    assert broker.socket_path.stat().st_mode & 0o077 == 0
    assert broker.folder.stat().st_mode & 0o077 == 0


def test_it_is_started_again_after_kill_9(broker: PrivateBroker) -> None:
    pid = broker.pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: not lives(pid))
    assert not broker.answers()
    wait_until(lambda: kept(broker))
    assert broker.pid != pid


def test_a_file_it_cannot_read_is_dropped(settings: Settings) -> None:
    folder = settings.home_dir / "broker" / "appendonlydir"
    folder.mkdir(parents=True)
    (folder / "appendonly.aof.manifest").write_text("this is no manifest\n")
    broker = PrivateBroker(settings)
    broker.start()
    assert broker.answers()
    broker.stop()


def test_it_stops_and_its_socket_goes(settings: Settings) -> None:
    broker = PrivateBroker(settings)
    broker.start()
    pid = broker.pid
    assert pid is not None
    broker.stop()
    assert not lives(pid)
    assert not broker.socket_path.exists()


def test_a_data_folder_with_a_long_path_gets_a_short_socket(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path / ("long" * 30))
    broker = PrivateBroker(settings)
    assert len(os.fsencode(broker.socket_path)) <= SOCKET_PATH_BYTES
    assert broker.socket_path.parent.stat().st_mode & 0o077 == 0
    broker.start()
    assert broker_url(settings) == broker.url
    assert Bell(broker_url(settings)).ping()
    broker.stop()
    assert not broker.socket_path.parent.exists()


def test_a_short_folder_that_is_open_to_others_is_refused(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path / ("other" * 30))
    folder = choose_socket(settings).parent
    folder.chmod(0o777)
    with pytest.raises(RuntimeError, match="somebody else"):
        choose_socket(settings)
    folder.rmdir()


def test_a_configured_broker_is_the_one(settings: Settings) -> None:
    chosen = settings.model_copy(update={"broker_url": "redis://somewhere:6379/0"})
    assert broker_url(chosen) == "redis://somewhere:6379/0"


def test_the_program_is_the_wheels_or_on_the_path(broker: PrivateBroker) -> None:
    assert find_program().is_file()
    assert broker.pid is not None
    assert command_of(broker.pid).startswith(str(find_program()))
