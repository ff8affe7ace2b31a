"""P13: the disk fills to the last byte; what is whole stays whole, and all goes on when there is space again."""

import contextlib
import os
import random
import sqlite3
import subprocess
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx

from tests.drills.takeover import blob_hashes
from tests.drills.world import PENGUINS, World

DISK_BYTES, RESERVE_BYTES = 96 << 20, 24 << 20
LOW_SECONDS, FULL_SECONDS = 3.0, 5.0
# Real Keras training, since what a trainer does without space is the point; it ends by its time, not its epochs.
TRAINING = {"epochs": 100_000, "early_stopping": False}
REFUSED = frozenset({503, 507})


def run(world: World, chance: random.Random) -> dict[str, Any]:
    """A service of its own, whose every byte lies on a small tmpfs."""
    disk = world.folder / "disk"
    variables = {"TRAINYARD_MIN_FREE_BYTES": str(RESERVE_BYTES), "TRAINYARD_CHECKPOINT_SECONDS": "0.5"}
    with small_disk(disk):
        small = World(world.folder / "full", world.stack, world.pace, scripted=False, data=disk, variables=variables)
        with small:
            try:
                return _fill(small, disk)
            finally:
                world.timeline += small.timeline


@contextlib.contextmanager
def small_disk(folder: Path) -> Iterator[None]:
    """A file system of `DISK_BYTES` at `folder`; needs the right to mount."""
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "tmpfs", str(folder)], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def _fill(world: World, disk: Path) -> dict[str, Any]:
    first = _train(world, 2)
    world.wait_state(first, "succeeded", 180)
    prefix = world.one("SELECT blob_prefix FROM model_versions WHERE job_id = :job", first)
    artifacts = blob_hashes(world, prefix)
    running = _train(world, 5 + LOW_SECONDS + FULL_SECONDS)
    query = "SELECT count(*) FROM job_checkpoints WHERE job_id = :job"
    world.wait_for(lambda: int(world.one(query, running)) > 0, 120, "a checkpoint")
    filler = disk / "filler"
    world.note("nearly full")
    _fill_up_to(filler, disk, RESERVE_BYTES // 2)
    low = _ask(world, LOW_SECONDS)
    assert set(low["upload"]) == set(low["submit"]) == {507}, low
    assert set(low["read"]) == {200}, low
    world.note("full")
    _fill_up_to(filler, disk, 0)
    full = _ask(world, FULL_SECONDS)
    assert set(full["upload"]) | set(full["submit"]) <= REFUSED, full
    assert set(full["read"]) <= {200, 503}, full
    filler.unlink()
    world.note("space again")
    return {
        "refused_507": low["upload"][507] + low["submit"][507] + full["upload"][507] + full["submit"][507],
        "status_500": 0, "running_job": _ends(world, running), "artifacts_changed": 0,
        "database_intact": _is_intact(world), **_goes_on(world, prefix, artifacts),
    }  # fmt: skip


def _train(world: World, max_seconds: float) -> str:
    return world.post({
        "recipe": "tabular-classification", "dataset": world.dataset, "columns": {"target": "species"},
        "model": "full", "training": {**TRAINING, "max_seconds": round(max_seconds)},
    })  # fmt: skip


def _fill_up_to(filler: Path, disk: Path, free_bytes: int) -> None:
    """Write into `filler` until only so much is free."""
    with filler.open("ab") as sink, contextlib.suppress(OSError):
        while (left := _free(disk) - free_bytes) > 0:
            sink.write(b"\0" * min(left, 1 << 20))
            sink.flush()


def _free(disk: Path) -> int:
    facts = os.statvfs(disk)
    return facts.f_bavail * facts.f_frsize


def _ask(world: World, seconds: float) -> dict[str, Counter[int]]:
    """Upload, submit and read for so long; count the answers."""
    answers: dict[str, Counter[int]] = {"upload": Counter(), "submit": Counter(), "read": Counter()}
    body = {"recipe": "tabular-classification", "dataset": world.dataset, "columns": {"target": "species"}}
    content = {"content": PENGUINS.read_bytes(), "headers": {"content-type": "text/csv"}}
    over = threading.Event()

    def ask() -> None:
        with httpx.Client(base_url=world.url, headers=world.headers, timeout=30, trust_env=False) as http:
            while not over.wait(0.1):
                answers["upload"][http.post("/v1/datasets", params={"name": "q.csv"}, **content).status_code] += 1
                answers["submit"][http.post("/v1/jobs", json=body).status_code] += 1
                answers["read"][http.get("/v1/jobs").status_code] += 1

    thread = threading.Thread(target=ask)
    thread.start()
    world.let_pass(seconds)
    over.set()
    thread.join(60)
    return answers


def _ends(world: World, job_id: str) -> str:
    """The job that ran meanwhile went on, or failed with a word that says why and may be tried again."""
    ended = ("succeeded", "failed")
    world.wait_for(lambda: world.state(job_id) in ended, 240, "the end of the running job")
    job = world.job(job_id)
    if job["state"] == "succeeded":
        told = "SELECT count(*) FROM job_events WHERE job_id = :job AND type = 'checkpoint_failed'"
        return f"went on ({job['failures']} failures, {world.one(told, job_id)} checkpoint_failed events)"
    assert (job["error"]["code"], job["error"]["retryable"]) == ("storage_full", True), job["error"]
    again = world.http.post(f"/v1/jobs/{job_id}/retry").raise_for_status().json()["id"]
    world.wait_state(again, "succeeded", 240)
    return "failed with storage_full, and succeeded when it was tried again"


def _is_intact(world: World) -> bool:
    if world.postgres is not None:
        return True  # it lies elsewhere
    connection = sqlite3.connect(world.home / "trainyard.db")
    try:
        [(verdict,)] = connection.execute("PRAGMA integrity_check").fetchall()
    finally:
        connection.close()
    assert verdict == "ok", verdict
    return True


def _goes_on(world: World, prefix: str, artifacts: dict[str, str]) -> dict[str, Any]:
    assert blob_hashes(world, prefix) == artifacts, "a finished model has changed"
    last = _train(world, 2)
    world.wait_state(last, "succeeded", 120)
    answer = world.http.post("/v1/models/full@1/predict", json={"instances": [{"bill_length_mm": 39.1}]})
    assert answer.status_code == 200, answer.text
    return {"works_again": True}
