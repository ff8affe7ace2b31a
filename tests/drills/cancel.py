"""P8: cancel in every state, whatever is down; what was cancelled stays so when everything starts again."""

import random
import signal
import time
from typing import Any

import httpx

from tests.drills.world import Script, World
from tests.workers.processes import lives

QUEUED_SECONDS, RUNNING_SECONDS = 1.0, 15.0
SLOW: Script = [{"beat": 1_000_000}, {"obey": True}]
DEAF: Script = [{"deaf": True}, {"linger": True}, {"beat": 10}, {"hang": True}]


def run(world: World, chance: random.Random) -> dict[str, Any]:
    """Cancel queued, paused, running, deaf; without broker and without worker; then restart all."""
    figures = {"running_seconds": _running(world, SLOW), "running_deaf_seconds": _running(world, DEAF)}
    figures |= {"paused_seconds": _paused(world)}
    jobs: list[str] = []
    figures |= {"queued_seconds": _without_workers(world, jobs)}
    figures |= {"frozen_worker_seconds": _frozen(world, jobs)}
    _restart(world)
    events = {job: _count_events(world, job) for job in jobs}
    world.wait_state(world.submit([{"finish": 1}]), "succeeded", 60)  # workers look at the queue again
    assert [world.state(job) for job in jobs] == ["cancelled"] * len(jobs), "resurrected"
    assert events == {job: _count_events(world, job) for job in jobs}
    return figures


def _cancel(world: World, job_id: str) -> float:
    """Cancel; return the seconds until the state says so."""
    began = time.monotonic()
    answer = world.http.post(f"/v1/jobs/{job_id}/cancel")
    assert answer.status_code == 200, answer.text
    world.wait_for(lambda: world.state(job_id) == "cancelled", 60, "cancelled")
    return round(time.monotonic() - began, 2)


def _running(world: World, script: Script) -> float:
    job_id = world.submit(script)
    world.wait_for(lambda: world.step(job_id) > 3, 30, "progress")
    trainer = world.owner_of(job_id)[-1]
    seconds = _cancel(world, job_id)
    assert seconds <= RUNNING_SECONDS
    world.wait_for(lambda: not world.group(trainer), 2, "the end of the process group")
    return seconds


def _paused(world: World) -> float:
    job_id = world.submit(SLOW)
    world.wait_for(lambda: world.step(job_id) > 3, 30, "progress")
    world.http.post(f"/v1/jobs/{job_id}/pause").raise_for_status()
    world.wait_state(job_id, "paused", 30)
    seconds = _cancel(world, job_id)
    assert seconds <= QUEUED_SECONDS
    return seconds


def _without_workers(world: World, jobs: list[str]) -> float:
    """Broker and workers are frozen: a queued job is cancelled at once all the same, and stays so."""
    stopped = [pid for role in ("launcher", "celery", "slot", "broker") for pid in world.pids(role)]
    world.signal(stopped, signal.SIGSTOP)
    try:
        jobs += [world.submit([{"finish": 1}]) for _ in range(3)]
        seconds = max(_cancel(world, job) for job in jobs)
    finally:
        world.signal(stopped, signal.SIGCONT)
    assert seconds <= QUEUED_SECONDS
    return seconds


def _frozen(world: World, jobs: list[str]) -> float:
    """Its supervisor is frozen: the job is cancelled when the lease is over, and the thawed trainer dies."""
    job_id = world.submit(SLOW)
    world.wait_for(lambda: world.step(job_id) > 3, 30, "progress")
    owner = world.owner_of(job_id)
    world.signal(owner, signal.SIGSTOP)
    try:
        seconds = _cancel(world, job_id)
    finally:
        world.signal(owner, signal.SIGCONT)
    assert seconds <= world.pace.takeover_seconds
    world.wait_for(lambda: not lives(owner[-1]), RUNNING_SECONDS, "the death of the stale trainer")
    jobs.append(job_id)
    return seconds


def _restart(world: World) -> None:
    """Kill -9 everything, and start it again."""
    world.note("kill -9 everything")
    world.signal(world.everything(), signal.SIGKILL)
    for server in (world.redis, world.postgres):
        if server is not None:
            server.kill()
    world.http.close()
    world.http = httpx.Client(base_url=world.url, headers=world.headers, timeout=30, trust_env=False)
    for top in world.tops.values():
        top.wait(20)
    world.start()


def _count_events(world: World, job_id: str) -> int:
    return int(world.one("SELECT count(*) FROM job_events WHERE job_id = :job", job_id))
