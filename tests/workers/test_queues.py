"""Real workers and the queue: the right one is woken, starts come when they were expected, a bad device is left out."""

import contextlib
from typing import Any

import pytest
from sqlalchemy import select

from app.core.clock import utc_now
from app.core.ids import new_id
from app.db import totals
from app.db.tables import Job, Worker
from app.jobs import repository as jobs
from app.jobs.forecast import Forecast
from tests.workers.processes import wait_until
from tests.workers.test_worker import SLOW, Site, once, site

pytestmark = pytest.mark.services
__all__ = ["site"]


def submit(site: Site, script: list[dict[str, Any]], **fields: Any) -> str:
    job_id = new_id("job")
    with site.yard.database.transaction() as session:
        jobs.create_job(
            session,
            jobs.NewJob(
                id=job_id, project="default", recipe="x", request={}, resolved={"script": script}, model_name="m",
                datasets={"all": "ds_1"}, **fields,
            ),
        )  # fmt: skip
    site.bell.ring(job_id, "default", fields.get("queue", "default"))
    return job_id


def workers(site: Site) -> dict[str, Worker]:
    with site.yard.database.reading() as session:
        return {worker.name: worker for worker in session.scalars(select(Worker))}


def test_each_queue_wakes_the_workers_that_serve_it(site: Site) -> None:
    site.worker(worker_name="gpu", worker_queues="gpu,default", poll_seconds=600.0, sweep_seconds=600.0)
    site.worker(worker_name="cpu", worker_queues="cpu", poll_seconds=600.0, sweep_seconds=600.0)

    def rung(queue: str) -> str | None:  # the first bells may be lost while Celery connects
        job_id = submit(site, [{"finish": 1}], queue=queue)
        with contextlib.suppress(AssertionError):
            site.wait_for(job_id, "succeeded", 2)
            return site.yard.attempts(job_id)[0].worker
        return None

    wait_until(lambda: rung("cpu") is not None and rung("default") is not None, 40)
    for queue, worker in (("cpu", "cpu"), ("default", "gpu"), ("gpu", "gpu"), ("cpu", "cpu")):
        job_id = submit(site, [{"finish": 1}], queue=queue)
        site.wait_for(job_id, "succeeded", 5)
        assert site.yard.attempts(job_id)[0].worker == worker
        job = site.yard.job(job_id)
        assert job.started_at is not None
        assert (job.started_at - job.created_at).total_seconds() < 1.0
    assert {name: worker.queues for name, worker in workers(site).items()} == {
        "gpu": ["gpu", "default"],
        "cpu": ["cpu"],
    }


def test_a_job_whose_queue_nobody_serves_waits_and_a_poll_finds_it_when_somebody_does(site: Site) -> None:
    site.broker.stop()
    site.worker(worker_queues="cpu")
    other = submit(site, [{"finish": 1}], queue="night")
    served = submit(site, [{"finish": 1}], queue="cpu")
    site.wait_for(served, "succeeded")
    with site.yard.database.reading() as session:
        place = Forecast(site.settings).places(session, [other])[other]
    assert (place.is_served, place.expected_start_at) == (False, None)
    site.worker(worker_queues="night,cpu")
    site.wait_for(other, "succeeded")


def test_jobs_start_when_they_were_expected(site: Site) -> None:
    """One slot; a start is where it was told to be, within a job's length and a fifth of the wait."""
    site.worker(poll_seconds=600.0)
    lasting = [{"beat": 50}, {"finish": 1}]
    lengths = []
    for _ in range(3):  # what the estimate of 0.4 s comes to in truth, which depends on what else this machine does
        job_id = submit(site, lasting, expected_seconds=0.4)
        site.wait_for(job_id, "succeeded", 40)
        job = site.yard.job(job_id)
        assert job.finished_at is not None
        assert job.started_at is not None
        lengths.append((job.finished_at - job.started_at).total_seconds())
    first = submit(site, lasting, expected_seconds=0.4)  # its progress says that a second is left
    site.yard.wait_for_step(first, 1)
    ids = [submit(site, lasting, expected_seconds=0.4) for _ in range(4)]
    with site.yard.database.reading() as session:
        found = Forecast(site.settings).places(session, ids)
    asked_at = utc_now()
    for job_id in ids:
        site.wait_for(job_id, "succeeded", 60)
    for place, job_id in enumerate(ids, 1):
        assert found[job_id].position == place
        told, started = found[job_id].expected_start_at, site.yard.job(job_id).started_at
        assert told is not None
        assert started is not None
        waited = (started - asked_at).total_seconds()
        assert abs((told - started).total_seconds()) <= max(lengths) + 0.2 * waited, place


def test_no_owner_has_more_slots_than_the_limit(site: Site) -> None:
    site.worker(worker_slots=3, owner_slots=2, poll_seconds=0.2)
    many = [submit(site, SLOW, owner="many") for _ in range(3)]
    wait_until(lambda: sum(site.yard.job(j).state == "running" for j in many) == 2)
    few = submit(site, [{"finish": 1}], owner="few")
    site.wait_for(few, "succeeded")
    assert sorted(site.yard.job(j).state for j in many) == ["queued", "running", "running"]


def test_a_lost_device_costs_the_job_nothing_and_the_device_its_work(
    site: Site, monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "GPU-a,GPU-b")
    site.worker(worker_name="w", worker_slots=4, poll_seconds=0.2)
    wait_until(lambda: "w" in workers(site))
    assert workers(site)["w"].slots == 2, "a device has one slot"
    assert workers(site)["w"].queues == ["gpu", "default"]
    job_id = submit(site, [once(tmp_path, {"exit": 20}), {"finish": 1}], queue="gpu", max_failures=1)
    site.wait_for(job_id, "succeeded")
    job = site.yard.job(job_id)
    assert (job.attempt, job.failures) == (2, 0)
    assert [attempt.outcome for attempt in site.yard.attempts(job_id)] == ["device_lost", "succeeded"]
    wait_until(lambda: workers(site)["w"].slots == 1)
    [bad] = [device for device in workers(site)["w"].devices if device["state"] == "quarantined"]
    assert bad["quarantined_at"]
    # The slot that is left works; the device that was lost is let back in when a probe sees it compute.
    both = [submit(site, SLOW) for _ in range(2)]
    wait_until(lambda: sum(site.yard.job(j).state == "running" for j in both) == 1)
    assert sum(site.yard.job(j).state == "running" for j in both) == 1
    (site.settings.home_dir / bad["uuid"]).touch()
    wait_until(lambda: all(site.yard.job(j).state == "running" for j in both), 20)
    wait_until(lambda: workers(site)["w"].slots == 2)
    with site.yard.database.reading() as session:
        assert totals.read(session)["attempts.device_lost"] == 1


def test_losing_device_after_device_is_the_jobs_fault_in_the_end(site: Site) -> None:
    job_id = submit(site, [{"finish": 1}], max_failures=1)
    for attempt in range(1, 12):
        with site.yard.database.transaction() as session:
            assert jobs.claim(session, "w", 30.0, job_id) is not None
            state = jobs.requeue(session, job_id, attempt, charge=False, reason=jobs.DEVICE_LOST)
        assert state == ("queued" if attempt <= 10 else "failed")
    with site.yard.database.reading() as session:
        assert session.scalar(select(Job.failures).where(Job.id == job_id)) == 1
