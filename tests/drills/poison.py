"""P7: jobs that kill their trainer at step 1 end, and the good ones hardly notice."""

import random
import signal
import time
from typing import Any

from tests.drills.world import Script, World

GOOD = 20
BEAT_SECONDS = 0.02
# Killed as the kernel kills for want of memory, a crash in C code, an exit that says nothing, an abort.
POISON: tuple[Script, ...] = (
    [{"beat": 1}, {"signal": int(signal.SIGKILL)}],
    [{"beat": 1}, {"signal": int(signal.SIGSEGV)}],
    [{"beat": 1}, {"exit": 137}],
)


def run(world: World, chance: random.Random) -> dict[str, Any]:
    """20 good jobs alone, then 20 among which three poison jobs lie; the same slots."""
    alone = _throughput(world, [])
    places = sorted(chance.sample(range(1, GOOD), len(POISON)))
    beside = _throughput(world, list(zip(places, POISON, strict=True)))
    share = beside / alone
    assert share >= world.pace.good_share, f"good jobs ran at {share:.2f} of their speed"
    return {
        "poison_jobs": len(POISON), "good_jobs": GOOD, "good_per_second_alone": round(alone, 3),
        "good_per_second_beside_poison": round(beside, 3), "share": round(share, 3),
    }  # fmt: skip


def _throughput(world: World, poison: list[tuple[int, Script]]) -> float:
    """Submit all at once; return good jobs per second from the first submit to the last good job's end."""
    good_script: Script = [{"beat": round(world.pace.good_seconds / BEAT_SECONDS)}, {"finish": 1}]
    good, bad = [], []
    began = time.monotonic()
    for number in range(GOOD):
        bad += [world.submit(script) for place, script in poison if place == number]
        good.append(world.submit(good_script))
    allowed = 30 + 3 * GOOD * (world.pace.good_seconds + 0.5)
    world.wait_for(lambda: all(world.state(job) == "succeeded" for job in good), allowed, "the end of the good jobs")
    seconds = time.monotonic() - began
    for job_id in bad:
        job = world.wait_state(job_id, "failed", 60 + world.pace.takeover_seconds)
        assert job["error"]["code"] == "worker_lost", job["error"]
        assert (job["failures"], job["attempt"]) == (3, 3), job
    return GOOD / seconds
