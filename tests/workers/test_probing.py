"""Devices in quarantine: what lets one back in, and how the worker's row shows it."""

import subprocess
import sys
from pathlib import Path

import pytest

from workers.probing import Probe
from workers.rundir import RunDir

DEVICES = [{"uuid": "GPU-a", "name": "x", "memory_bytes": 1}, {"uuid": "MIG-GPU-b/1/0", "name": "x", "memory_bytes": 1}]


@pytest.fixture
def run_dir(tmp_path: Path) -> RunDir:
    return RunDir.make(tmp_path, "w")


def test_a_device_stays_out_until_the_probe_says_yes(
    run_dir: RunDir, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRAINYARD_HOME", str(tmp_path))
    probe = Probe(run_dir, "tests.workers.fake_probe", DEVICES)
    run_dir.quarantine("GPU-a")
    probe.look()
    assert run_dir.is_quarantined("GPU-a")
    (tmp_path / "GPU-a").touch()
    probe.look()
    assert not run_dir.is_quarantined("GPU-a")


def test_the_row_says_which_and_since_when(run_dir: RunDir) -> None:
    probe = Probe(run_dir, "none", DEVICES)
    assert {device["state"] for device in probe.states()} == {"ok"}
    run_dir.quarantine("MIG-GPU-b/1/0")
    good, bad = probe.states()
    assert (good["state"], good["quarantined_at"]) == ("ok", None)
    assert bad["state"] == "quarantined"
    assert probe.states()[1]["quarantined_at"] == bad["quarantined_at"]
    run_dir.release("MIG-GPU-b/1/0")
    assert probe.states()[1] == {**DEVICES[1], "state": "ok", "quarantined_at": None}


@pytest.mark.recipes
def test_without_a_device_the_probe_says_no(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "-1")
    root = Path(__file__).resolve().parents[2]
    done = subprocess.run([sys.executable, "-m", "workers.probe"], cwd=root, stderr=subprocess.DEVNULL, check=False)
    assert done.returncode == 1
