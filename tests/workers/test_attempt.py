"""The folder of an attempt, and what the launcher and its slots tell each other."""

import subprocess
import sys
from pathlib import Path
from typing import Any, ClassVar

import pytest

from app.core.settings import Settings
from app.storage.blobs import LocalBlobs
from tests.workers.processes import wait_until
from workers.attempt import LOG_BYTES, AttemptFolder, LogShipper, remove_orphans
from workers.devices import choose_devices, choose_queues, count_slots, device_of, parse_devices
from workers.rundir import RunDir


def test_a_folder_is_new_and_private_and_goes(tmp_path: Path) -> None:
    first = AttemptFolder(tmp_path, "job_1", 1)
    (first.output / "x").touch()
    again = AttemptFolder(tmp_path, "job_1", 1)
    assert list(again.output.iterdir()) == []
    assert again.path.stat().st_mode & 0o077 == 0
    again.remove()
    assert not again.path.exists()


def test_only_folders_whose_owner_is_gone_are_swept(tmp_path: Path) -> None:
    kept = AttemptFolder(tmp_path, "job_1", 1)
    code = "import sys, pathlib; from workers.attempt import AttemptFolder\n"
    code += "folder = AttemptFolder(pathlib.Path(sys.argv[1]), 'job_2', 1); print('made', flush=True); sys.stdin.read()"
    root = Path(__file__).resolve().parents[2]
    with subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=root
    ) as owner:
        assert owner.stdout is not None
        assert owner.stdout.readline() == b"made\n"
        assert remove_orphans(tmp_path) == 0
        owner.kill()
    assert remove_orphans(tmp_path) == 1
    assert [p.name for p in kept.path.parent.iterdir()] == ["job_1-1"]
    kept.remove()


def test_the_end_of_a_long_log_is_kept(tmp_path: Path) -> None:
    folder, blobs = AttemptFolder(tmp_path, "job_1", 1), LocalBlobs(tmp_path / "blobs")
    folder.log.write_bytes(b"first" + b"x" * LOG_BYTES + b"last")
    LogShipper(blobs, folder, "logs/job_1/1.txt", []).ship()
    kept = blobs.get_bytes("logs/job_1/1.txt")
    assert len(kept) == LOG_BYTES
    assert kept.endswith(b"last")
    folder.remove()


def test_an_unchanged_log_is_not_stored_again(tmp_path: Path) -> None:
    folder, blobs = AttemptFolder(tmp_path, "job_1", 1), LocalBlobs(tmp_path / "blobs")
    shipper = LogShipper(blobs, folder, "logs/job_1/1.txt", [])
    folder.log.write_text("a\n")
    shipper.ship()
    blobs.delete_tree("logs/job_1")
    shipper.ship()
    assert blobs.keys("logs") == []
    folder.log.write_text("a\nb\n")
    shipper.ship()
    assert blobs.get_bytes("logs/job_1/1.txt") == b"a\nb\n"
    folder.remove()


def test_slots_show_themselves_and_the_drain_is_seen(tmp_path: Path) -> None:
    run_dir = RunDir.make(tmp_path, "host/name:1")
    assert run_dir.path.parent == tmp_path / "workers"
    (run_dir.path.parent / f"gone-{2**22}").mkdir()  # above the largest process id
    other = RunDir.make(tmp_path, "other")
    assert {p.name for p in run_dir.path.parent.iterdir()} == {run_dir.path.name, other.path.name}
    assert run_dir.slots() == {}
    run_dir.mark(busy=False)
    assert list(run_dir.slots().values()) == [False]
    run_dir.mark(busy=True)
    assert list(run_dir.slots().values()) == [True]
    assert not run_dir.is_draining()
    run_dir.drain()
    assert run_dir.is_draining()


def test_a_dead_slot_is_not_counted(tmp_path: Path) -> None:
    run_dir = RunDir.make(tmp_path, "w")
    code = "import sys, pathlib; from workers.rundir import RunDir; RunDir(pathlib.Path(sys.argv[1])).mark(True)"
    root = Path(__file__).resolve().parents[2]
    dead = subprocess.Popen([sys.executable, "-c", code, str(run_dir.path)], cwd=root)
    wait_until(lambda: list(run_dir.path.glob("busy-*")))
    wait_until(lambda: run_dir.slots() == {})  # not even as a zombie, which it is until it is waited for
    dead.wait()


def test_the_drivers_list_of_devices_is_read() -> None:
    text = "GPU-1f, NVIDIA H100 80GB HBM3, 81559\nGPU-2, NVIDIA A2, [N/A]\n\n"
    assert parse_devices(text) == [{"uuid": "GPU-1f", "name": "NVIDIA H100 80GB HBM3", "memory_bytes": 81559 * 2**20}]


class TestDevices:
    FOUND: ClassVar[list[dict[str, Any]]] = [{"uuid": f"GPU-{name}", "name": "x", "memory_bytes": 1} for name in "abc"]

    @pytest.mark.parametrize(
        ("named", "uuids"),
        [
            ("0,2", ["GPU-a", "GPU-c"]),
            ("GPU-b,0", ["GPU-b", "GPU-a"]),
            ("MIG-7", ["MIG-7"]),
            ("1,9,0", ["GPU-b"]),  # as for CUDA, what there is none of ends the list
            ("", []),
            ("-1", []),
        ],
    )
    def test_what_the_environment_names_is_what_there_is(self, named: str, uuids: list[str]) -> None:
        assert [device["uuid"] for device in choose_devices(named, self.FOUND)] == uuids

    def test_without_a_driver_names_are_taken_at_their_word(self) -> None:
        assert [device["uuid"] for device in choose_devices("0,3", [])] == ["0", "3"]

    def test_each_slot_owns_a_device(self) -> None:
        assert [device_of(slot, self.FOUND) for slot in range(3)] == ["GPU-a", "GPU-b", "GPU-c"]
        assert device_of(0, []) is None

    def test_slots_share_a_device_only_where_that_is_allowed(self) -> None:
        assert count_slots(Settings(worker_slots=8), self.FOUND) == 3
        shared = Settings(worker_slots=8, device_slots=2)
        assert count_slots(shared, self.FOUND) == 6
        assert [device_of(slot, self.FOUND) for slot in range(6)].count("GPU-a") == 2
        assert count_slots(Settings(worker_slots=2), self.FOUND) == 2
        assert count_slots(Settings(worker_slots=8), []) == 8

    def test_a_worker_serves_its_kind_of_device_and_default(self) -> None:
        assert choose_queues(Settings(), []) == ("cpu", "default")
        assert choose_queues(Settings(), self.FOUND) == ("gpu", "default")
        assert choose_queues(Settings(worker_queues="night, default,night"), []) == ("night", "default")
