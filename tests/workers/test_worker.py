"""A whole worker (launcher, Celery, slots, spawners) with the scripted trainer: what it does when parts of it die."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from app.core.settings import Settings
from app.embedded import PrivateBroker
from app.jobs import repository as jobs
from app.jobs.queue import Bell
from app.processes import settings_environment
from app.system.repository import count_jobs, live_workers
from tests.workers.conftest import Yard
from tests.workers.processes import command_of, lives, tree_of, wait_until

pytestmark = pytest.mark.services
ROOT = Path(__file__).resolve().parents[2]


class Worker:
    """A worker process and what it consists of."""

    def __init__(self, settings: Settings, broker_url: str, log: Path) -> None:
        with log.open("ab") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "tests.workers.fake_launcher"],
                env=settings_environment(settings, broker_url), cwd=ROOT, stdout=output, stderr=output,
            )  # fmt: skip

    def parts(self, command: str) -> list[int]:
        return [pid for pid in tree_of(self.process.pid) if command in command_of(pid)]

    @property
    def celery(self) -> int:
        return self.parts("fake_pool")[0]

    @property
    def slots(self) -> list[int]:
        return self.parts("fake_pool")[1:]

    def stop(self) -> float:
        began = time.monotonic()
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(40)
        return time.monotonic() - began

    def destroy(self) -> None:
        pids = tree_of(self.process.pid)
        self.process.kill()
        self.process.wait()
        wait_until(lambda: not any(map(lives, pids)))


class Site:
    """A database, a broker that can be stopped, and workers."""

    def __init__(self, tmp_path: Path) -> None:
        self.settings = Settings(
            home=tmp_path / "h", worker_slots=1, heartbeat_seconds=0.3, lease_seconds=2.0, control_seconds=0.2,
            poll_seconds=0.5, sweep_seconds=0.3, cancel_grace_seconds=1.0,
        )  # fmt: skip
        self.yard = Yard(self.settings)
        self.broker = PrivateBroker(self.settings)
        self.log = tmp_path / "worker.log"
        self.bell = Bell(self.broker.url)
        self.workers: list[Worker] = []

    def worker(self, **changes: Any) -> Worker:
        worker = Worker(self.settings.model_copy(update=changes), self.broker.url, self.log)
        self.workers.append(worker)
        wait_until(lambda: worker.parts("workers.spawner"))
        return worker

    def submit(self, script: list[dict[str, Any]], *, ring: bool = True, **options: Any) -> str:
        job_id = self.yard.submit(script, **options)
        if ring:
            self.bell.ring(job_id, "default")
        return job_id

    def wait_for(self, job_id: str, state: str, seconds: float = 20.0) -> None:
        wait_until(lambda: self.yard.job(job_id).state == state, seconds)

    def live_names(self) -> list[str]:
        with self.yard.database.reading() as session:
            return [worker.name for worker in live_workers(session, 30.0)]


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    site = Site(tmp_path)
    site.broker.start()
    yield site
    for worker in site.workers:
        if worker.process.poll() is None:
            worker.destroy()
    site.bell.stop()
    with contextlib.suppress(ProcessLookupError):
        site.broker.stop()
    site.yard.close()


SLOW: list[dict[str, Any]] = [{"beat": 100_000}, {"obey": True}]


def once(tmp_path: Path, *steps: dict[str, Any]) -> dict[str, Any]:
    """Steps that only the first attempt takes."""
    return {"once": "first", "dir": str(tmp_path), "do": list(steps)}


class TestWaking:
    def test_a_bell_starts_a_job_at_once(self, site: Site) -> None:
        site.worker(poll_seconds=600.0)
        site.wait_for(site.submit([{"finish": 1}]), "succeeded")  # Celery is connected now
        for _ in range(3):
            job_id = site.submit([{"finish": 1}])
            site.wait_for(job_id, "succeeded")
            job = site.yard.job(job_id)
            assert job.started_at is not None
            assert (job.started_at - job.created_at).total_seconds() < 0.3

    def test_without_a_broker_jobs_are_found_by_polling(self, site: Site) -> None:
        site.broker.stop()
        site.worker()
        site.wait_for(site.submit([{"finish": 1}]), "succeeded", 10)

    def test_after_the_broker_was_killed_and_wiped_bells_work_again(self, site: Site) -> None:
        site.worker(poll_seconds=600.0, sweep_seconds=600.0)
        site.wait_for(site.submit([{"finish": 1}]), "succeeded")
        pid = site.broker.pid
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        wait_until(lambda: not lives(pid))
        for file in (site.broker.folder / "appendonlydir").iterdir():
            file.unlink()
        wait_until(lambda: (site.broker.keep(), site.broker.answers())[1])

        def rung() -> bool:  # the first bells may be lost while Celery connects again
            job_id = site.submit([{"finish": 1}])
            with contextlib.suppress(AssertionError):
                site.wait_for(job_id, "succeeded", 2)
            return site.yard.job(job_id).state == "succeeded"

        wait_until(rung, 40)

    def test_the_queue_is_worked_off_by_priority(self, site: Site) -> None:
        first = site.submit(SLOW)
        site.worker()
        site.yard.wait_for_step(first, 1)
        low, high = site.submit([{"finish": 1}]), site.submit([{"finish": 1}], priority=5)
        cancel(site, first)
        site.wait_for(low, "succeeded")
        one, other = site.yard.job(high).started_at, site.yard.job(low).started_at
        assert one is not None
        assert other is not None
        assert one < other

    def test_bells_and_polls_together_never_exceed_the_slots(self, site: Site) -> None:
        site.worker(worker_slots=2, poll_seconds=0.1)
        wait_until(lambda: len(site.workers[0].slots) == 2)
        ids = [site.submit([{"beat": 10}, {"finish": 1}]) for _ in range(12)]
        most, done = 0, 0
        while done < len(ids):
            with site.yard.database.reading() as session:
                counts = count_jobs(session)
            most, done = max(most, counts.get("running", 0)), counts.get("succeeded", 0)
        assert most == 2
        assert all(site.yard.job(j).attempt == 1 for j in ids)


class TestDeaths:
    def test_trainer(self, site: Site, tmp_path: Path) -> None:
        site.worker()
        job_id = site.submit([once(tmp_path, {"checkpoint": 10}, *SLOW), {"beat": 1}, {"finish": 1}])
        site.yard.wait_for_step(job_id, 11)
        pid = site.yard.attempts(job_id)[0].pid
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        site.wait_for(job_id, "succeeded")
        job = site.yard.job(job_id)
        assert (job.attempt, job.failures) == (2, 1)
        assert site.yard.versions(job_id)[0].manifest["step"] == 11

    @pytest.mark.parametrize("part", ["slot", "celery", "launcher"])
    def test_worker_parts(self, site: Site, tmp_path: Path, part: str) -> None:
        worker = site.worker()
        job_id = site.submit([once(tmp_path, {"checkpoint": 10}, *SLOW), {"beat": 1}, {"finish": 1}])
        site.yard.wait_for_step(job_id, 11)
        trainer = site.yard.attempts(job_id)[0].pid
        assert trainer is not None
        victim = {"slot": worker.slots[0], "celery": worker.celery, "launcher": worker.process.pid}[part]
        below = tree_of(victim)
        assert trainer in below
        os.kill(victim, signal.SIGKILL)
        wait_until(lambda: not any(map(lives, below)), 3)
        if part == "launcher":
            worker.process.wait()
            site.worker()
        site.wait_for(job_id, "succeeded", 30)
        job = site.yard.job(job_id)
        assert (job.attempt, job.failures) == (2, 1)
        assert len(site.yard.versions(job_id)) == 1
        assert site.yard.versions(job_id)[0].manifest["step"] == 11

    def test_a_slot_that_died_while_the_broker_was_down_comes_back(
        self, site: Site, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        site.broker.stop()
        worker = site.worker()
        old = worker.slots[0]
        os.kill(old, signal.SIGKILL)
        site.wait_for(site.submit([{"finish": 1}]), "succeeded", 45)
        assert old not in worker.slots

    def test_a_frozen_worker_loses_its_job_and_spoils_nothing(self, site: Site, tmp_path: Path) -> None:
        frozen = site.worker(worker_name="frozen")
        job_id = site.submit([once(tmp_path, {"deaf": True}, {"beat": 100_000}), {"beat": 5}, {"finish": "new"}])
        site.yard.wait_for_step(job_id, 1)
        stopped = [frozen.process.pid, *tree_of(frozen.process.pid)]
        trainer = site.yard.attempts(job_id)[0].pid
        assert trainer is not None
        for pid in stopped:
            os.kill(pid, signal.SIGSTOP)
        site.worker(worker_name="other")
        site.wait_for(job_id, "succeeded", 30)
        done = site.yard.job(job_id)
        for pid in stopped:
            os.kill(pid, signal.SIGCONT)
        wait_until(lambda: not lives(trainer))
        again = site.submit([{"finish": 1}])
        site.wait_for(again, "succeeded")
        after = site.yard.job(job_id)
        assert (after.state, after.attempt, after.event_seq) == ("succeeded", 2, done.event_seq)
        [version] = site.yard.versions(job_id)
        assert version.manifest["value"] == "new"
        assert site.yard.attempts(job_id)[1].worker == "other"

    def test_a_poison_job_ends_and_others_go_on(self, site: Site) -> None:
        site.worker()
        poison = site.submit([{"signal": signal.SIGSEGV}], max_failures=2)
        others = [site.submit([{"finish": 1}]) for _ in range(5)]
        for job_id in others:
            site.wait_for(job_id, "succeeded")
        site.wait_for(poison, "failed")
        assert (site.yard.job(poison).error or {})["code"] == "worker_lost"


class TestStopping:
    def test_drain_gives_the_job_back_and_leaves_nothing(self, site: Site) -> None:
        worker = site.worker(worker_name="w1")
        wait_until(lambda: site.live_names() == ["w1"])
        job_id = site.submit(SLOW)
        site.yard.wait_for_step(job_id, 5)
        everything = tree_of(worker.process.pid)
        assert worker.stop() < 15
        assert worker.process.returncode == 0
        job = site.yard.job(job_id)
        assert (job.state, job.failures) == ("queued", 0)
        assert len(site.yard.checkpoints(job_id)) == 1
        assert not any(map(lives, everything))
        assert site.live_names() == []
        assert list((site.settings.work_dir / "attempts").iterdir()) == []
        assert list((site.settings.work_dir / "workers").iterdir()) == []

    def test_an_idle_worker_stops_at_once(self, site: Site) -> None:
        worker = site.worker()
        site.wait_for(site.submit([{"finish": 1}]), "succeeded")
        assert worker.stop() < 6

    def test_cancel_reaches_a_running_job(self, site: Site) -> None:
        site.worker()
        job_id = site.submit(SLOW)
        site.yard.wait_for_step(job_id, 2)
        cancel(site, job_id)
        site.wait_for(job_id, "cancelled", 5)


def cancel(site: Site, job_id: str) -> None:
    with site.yard.database.transaction() as session:
        jobs.cancel(session, job_id, keep="none")
