"""What the sweep finds due, and that it takes nothing else."""

import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import delete, update

from app.core.settings import Settings
from app.db.engine import Database, db_now
from app.db.tables import Dataset, IdempotencyKey, Job, JobCheckpoint, Worker
from app.jobs import repository as jobs
from app.jobs.repository import retention
from app.jobs.sweep import Grace, SweepReport, collect_blobs, sweep_once
from app.storage.blobs import LocalBlobs
from tests.jobs import world

DAY = 86_400


class FakeBell:
    """A bell that only remembers."""

    def __init__(self) -> None:
        self.rung: list[tuple[str, str]] = []

    def ring(self, job_id: str, project: str, name: str = "default") -> None:
        self.rung.append((job_id, project))


@pytest.fixture
def bell() -> FakeBell:
    return FakeBell()


@pytest.fixture
def blobs(tmp_path: Path) -> LocalBlobs:
    return LocalBlobs(tmp_path / "blobs")


@pytest.fixture
def sweep(database: Database, blobs: LocalBlobs, bell: FakeBell, tmp_path: Path) -> Iterator[Any]:
    settings = Settings(home=tmp_path, retain_jobs_days=90, retain_checkpoints_days=7, retain_logs_days=30)

    def once() -> SweepReport:
        return sweep_once(database, blobs, settings, bell)  # type: ignore[arg-type]

    return once


def age(database: Database, job_id: str, **columns: float) -> None:
    """Set columns of a job to that many seconds ago."""
    with database.transaction() as session:
        session.execute(update(Job).where(Job.id == job_id).values({k: db_now(-v) for k, v in columns.items()}))


def put(blobs: LocalBlobs, key: str, seconds_ago: float) -> None:
    blobs.put_bytes(key, b"x")
    instant = time.time() - seconds_ago
    os.utime(blobs.path(key), (instant, instant))


def test_a_lost_job_is_released_and_rung_for(database: Database, sweep: Any, bell: FakeBell) -> None:
    job_id = world.make_job(database, "running")
    world.expire_lease(database, job_id)
    assert [job.state for job in sweep().released] == ["queued"]
    assert bell.rung == [], "it waits two seconds first"
    age(database, job_id, run_after=1)
    assert sweep().rung == [job_id]
    assert bell.rung == [(job_id, "default")]
    assert sweep().rung == []


def test_after_an_outage_leases_are_not_taken_until_workers_could_renew_them(
    database: Database, blobs: LocalBlobs, bell: FakeBell, tmp_path: Path
) -> None:
    job_id = world.add_job(database, world.add_dataset(database))
    world.claim(database)
    world.expire_lease(database, job_id)
    now = [100.0]
    grace = Grace(15.0, clock=lambda: now[0])
    assert grace.is_over, "a service that has just started knows of no outage"
    grace.begin()
    settings = Settings(home=tmp_path)
    for passed, released in ((14.0, []), (1.0, [job_id])):
        now[0] += passed
        report = sweep_once(database, blobs, settings, bell, releases=grace.is_over)  # type: ignore[arg-type]
        assert [job.job_id for job in report.released] == released


def test_bells_are_rung_again_ever_more_slowly(database: Database, sweep: Any) -> None:
    job_id = world.add_job(database)
    assert sweep().rung == [], "the submit has just rung"
    age(database, job_id, rung_at=16, run_after=16)
    assert sweep().rung == [job_id]
    age(database, job_id, rung_at=16, run_after=100)
    assert sweep().rung == [], "it was rung for 84 s after it could run: the next time is 99 s later"
    age(database, job_id, rung_at=100, run_after=184)
    assert sweep().rung == [job_id]


@pytest.mark.parametrize("state", ["running", "paused", "succeeded"])
def test_no_bell_for_a_job_that_is_not_queued(database: Database, sweep: Any, state: Any) -> None:
    job_id = world.make_job(database, state)
    age(database, job_id, rung_at=1000, run_after=1000)
    assert sweep().rung == []


def test_orphans_fail(database: Database, sweep: Any) -> None:
    job_id = world.add_job(database)
    with database.transaction() as session:
        session.execute(delete(Dataset))
    assert sweep().orphaned == [job_id]


def test_ended_jobs_go_after_their_days(database: Database, blobs: LocalBlobs, sweep: Any) -> None:
    old, young, waiting = (
        world.make_job(database, "succeeded"), world.make_job(database, "failed"), world.add_job(database),
    )  # fmt: skip
    age(database, old, finished_at=91 * DAY)
    age(database, young, finished_at=89 * DAY)
    age(database, waiting, created_at=400 * DAY)
    for job_id in (old, young):
        blobs.put_bytes(f"checkpoints/{job_id}/1-10/state", b"x")
        blobs.put_bytes(f"logs/{job_id}/1.txt", b"x")
    assert sweep().deleted_jobs == [old]
    assert world.row_of(database, old) is None
    assert world.row_of(database, waiting) is not None
    assert [key.split("/")[1] for key in blobs.keys("logs")] == [young]
    assert [key.split("/")[1] for key in blobs.keys("checkpoints")] == [young]


def test_checkpoints_of_ended_jobs_go_after_their_days(database: Database, blobs: LocalBlobs, sweep: Any) -> None:
    kept, gone = world.make_job(database, "running"), world.make_job(database, "running")
    for job_id in (kept, gone):
        with database.transaction() as session:
            jobs.record_checkpoint(
                session, job_id, 1, epoch=1, step=10, is_best=True, metrics={}, bytes_=1, sha256="a" * 64,
                blob_prefix=f"checkpoints/{job_id}/1-10", trained_seconds=1.0,
            )  # fmt: skip
        blobs.put_bytes(f"checkpoints/{job_id}/1-10/state", b"x")
    world.succeed(database, gone, 1)
    age(database, gone, finished_at=8 * DAY)
    assert sweep().deleted_blobs == [f"checkpoints/{gone}/1-10"]
    assert world.count(database, JobCheckpoint) == 1
    assert blobs.keys("checkpoints") == [f"checkpoints/{kept}/1-10/state"]


def test_keys_and_workers_are_forgotten_after_a_day(database: Database, sweep: Any) -> None:
    with database.transaction() as session:
        for name, seconds in (("old", 2 * DAY), ("new", 60)):
            session.add(IdempotencyKey(key=name, suffix="x", created_at=db_now(-seconds)))
            session.add(
                Worker(name=name, host="h", pid=1, slots=1, devices=[], release="0", last_seen_at=db_now(-seconds))
            )
    report = sweep()
    assert (report.forgotten_keys, report.forgotten_workers) == (1, 1)


def test_blobs_that_no_row_names_go_once_they_are_an_hour_old(
    database: Database, blobs: LocalBlobs, tmp_path: Path
) -> None:
    dataset_id = world.add_dataset(database)
    job_id = world.add_job(database, dataset_id)
    world.claim(database, job_id)
    world.succeed(database, job_id, 1)
    two_hours = 7200
    named = [f"datasets/{dataset_id}/rows.parquet", f"bundles/{job_id}/1/model.onnx", f"logs/{job_id}/1.txt"]
    orphans = [
        "datasets/ds_gone/rows.parquet", f"bundles/{job_id}/2/model.onnx", f"checkpoints/{job_id}/1-10/state",
        "logs/job_gone/1.txt", f"checkpoints/{job_id}/1-20/.put-killed",
    ]  # fmt: skip
    for key in [*named, *orphans]:
        put(blobs, key, two_hours)
    put(blobs, "datasets/ds_arriving/rows.parquet", 60)
    put(blobs, "bundles/job_arriving/1/model.keras", two_hours)
    put(blobs, "bundles/job_arriving/1/model.onnx", 60)
    removed = collect_blobs(database, blobs, Settings(home=tmp_path))
    assert sorted(removed) == sorted({"/".join(key.split("/")[:-1]) for key in orphans})
    arriving = [f"bundles/job_arriving/1/{name}" for name in ("model.keras", "model.onnx")]
    assert blobs.keys("") == sorted([*named, *arriving, "datasets/ds_arriving/rows.parquet"])
    assert collect_blobs(database, blobs, Settings(home=tmp_path)) == []


def test_logs_go_after_their_days(database: Database, blobs: LocalBlobs, tmp_path: Path) -> None:
    old, young, running = (world.make_job(database, state) for state in ("failed", "failed", "running"))
    age(database, old, finished_at=31 * DAY)
    age(database, young, finished_at=29 * DAY)
    for job_id in (old, young, running):
        put(blobs, f"logs/{job_id}/1.txt", 40 * DAY)
    assert collect_blobs(database, blobs, Settings(home=tmp_path)) == [f"logs/{old}"]


def test_blobs_are_collected_once_an_hour_by_one_process(database: Database) -> None:
    now = 1_000_000
    taken = []
    for moment in (now, now, now + 3599, now + 3600, now + 3601):
        with database.transaction() as session:
            taken.append(retention.take_turn(session, "x", moment, 3600))
    assert taken == [True, False, False, True, False]


def test_a_batch_is_bounded(database: Database) -> None:
    for _ in range(3):
        world.expire_lease(database, world.make_job(database, "running"))
    for left in (2, 1, 0):
        with database.transaction() as session:
            released = jobs.release_expired(session, 2)
        assert len(released) == (2 if left == 2 else 1 if left == 1 else 0)
