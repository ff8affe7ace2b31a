"""P9: jobs are taken and run while the broker hangs, is gone or comes back empty; then bells wake workers again."""

import random
import signal
import statistics
import time
from typing import Any

import redis

from tests.drills.world import World

WITHOUT_SECONDS, RETURN_SECONDS = 30.0, 15.0
_LISTS_EMPTY_SECONDS = 20.0


def run(world: World, chance: random.Random) -> dict[str, Any]:
    """Freeze it, kill it in a row, wipe it; a job each time."""
    without = _without(world)
    returned = _back(world)
    cycles = _reconnect(world, chance)
    latencies = [_start_latency(world) for _ in range(5)]
    left = world.wait_for(lambda: _waiting(world) == 0, _LISTS_EMPTY_SECONDS, "workers that consume bells again")
    return {
        "starts_without_broker_seconds": without, "starts_after_return_seconds": returned, "reconnects": cycles,
        "start_after_reconnects_p50_seconds": round(statistics.median(latencies), 2),
        "bells_consumed_within_seconds": round(left, 2),
    }  # fmt: skip


def _without(world: World) -> float:
    """The broker hangs: connections are taken and nothing is answered, which is worse than a port that is closed."""
    broker = world.pids("broker")
    world.signal(broker, signal.SIGSTOP)
    try:
        began = time.monotonic()
        job_id = world.submit([{"finish": 1}])
        assert time.monotonic() - began < 2, "the submit waited for the broker"
        world.wait_for(lambda: world.state(job_id) == "succeeded", WITHOUT_SECONDS, "a job without a broker")
        return round(time.monotonic() - began, 2)
    finally:
        world.signal(broker, signal.SIGCONT)


def _back(world: World) -> float:
    """Killed, a job comes, and the broker comes back empty."""
    if world.redis is not None:
        world.redis.kill()
        job_id = world.submit([{"finish": 1}])
        world.redis.start()
    else:
        world.signal(world.pids("broker"), signal.SIGKILL)
        for file in (world.home / "broker" / "appendonlydir").glob("*"):
            file.unlink(missing_ok=True)
        job_id = world.submit([{"finish": 1}])
    began = time.monotonic()
    world.wait_for(lambda: world.state(job_id) == "succeeded", RETURN_SECONDS, "a job after the broker's return")
    return round(time.monotonic() - began, 2)


def _reconnect(world: World, chance: random.Random) -> int:
    # `up` waits longer before each start of a broker that keeps ending, up to 10 s.
    cycles = world.pace.reconnects if world.redis is not None else max(3, world.pace.reconnects // 5)
    jobs = []
    for _ in range(cycles):
        if world.redis is not None:
            world.redis.kill()
            world.redis.start()
        else:
            old = world.pids("broker")
            world.signal(old, signal.SIGKILL)
            world.wait_for(lambda gone=old: set(world.pids("broker")) - set(gone), 30, "another broker")
        jobs.append(world.submit([{"finish": 1}]))
        world.let_pass(chance.uniform(0.1, 0.5))
    world.wait_for(lambda: all(world.state(job) == "succeeded" for job in jobs), 60, "every job of the reconnects")
    return cycles


def _start_latency(world: World) -> float:
    began = time.monotonic()
    job_id = world.submit([{"finish": 1}])
    world.wait_for(lambda: world.state(job_id) == "succeeded", 30, "a job")
    return time.monotonic() - began


def _waiting(world: World) -> int:
    """How many messages lie in the broker and are taken by nobody."""
    if world.redis is not None:
        client = world.redis.client()
    else:
        noted = (world.home / "broker" / "url").read_text("utf-8").strip()
        client = redis.Redis(unix_socket_path=noted.removeprefix("redis+socket://"), socket_timeout=2)
    with client:
        return sum(client.llen(key) for key in client.keys("*") if client.type(key) == b"list")
