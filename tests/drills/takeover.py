"""P2, P3, P4: a worker that freezes, dies or is stopped; its job goes on elsewhere and is spoiled by nobody."""

import hashlib
import random
import signal
import statistics
import time
from typing import Any

from app.storage.blobs import open_blobs
from tests.drills.world import Script, World
from tests.workers.processes import lives

STALE_SECONDS = 15.0
DRAIN_SECONDS = 30.0
# Whatever a job has rows in.
TABLES = ("job_attempts", "job_checkpoints", "job_events", "job_metrics", "model_versions")


def once(world: World, name: str, *steps: dict[str, Any]) -> dict[str, Any]:
    """Steps that only the first attempt takes."""
    folder = world.folder / "once"
    folder.mkdir(exist_ok=True)
    return {"once": name, "dir": str(folder), "do": list(steps)}


def unique(chance: random.Random) -> str:
    """A name that no other job of the world has."""
    return f"{chance.randrange(10**9)}"


def run_frozen(world: World, chance: random.Random) -> dict[str, Any]:
    """P2: supervisor and trainer are frozen past the lease, attempt 2 ends, then they thaw."""
    name = unique(chance)
    script: Script = [{"checkpoint": 10}, once(world, name, {"deaf": True}, {"beat": 100_000}), {"finish": name}]
    job_id = world.submit(script)
    world.wait_for(lambda: world.step(job_id) > 12, 30, "the first attempt's progress")
    frozen = world.owner_of(job_id)
    world.note(f"freeze {frozen}")
    world.signal(frozen, signal.SIGSTOP)
    try:
        world.wait_state(job_id, "succeeded", world.pace.takeover_seconds + 30)
        before = _facts(world, job_id)
    finally:
        world.note("thaw")
        world.signal(frozen, signal.SIGCONT)
    dead = world.wait_for(lambda: not lives(frozen[-1]), STALE_SECONDS, "the death of the stale trainer")
    # Its supervisor is free again: it runs another job, so whatever it wanted to write it has tried.
    world.wait_state(world.submit([{"finish": 1}]), "succeeded", 60)
    world.let_pass(2 * world.pace.heartbeat_seconds if world.pace.name == "short" else 15)
    after = _facts(world, job_id)
    assert after == before, "a stale attempt changed something"
    job = world.job(job_id)
    assert (job["attempt"], job["failures"]) == (2, 1)
    return {"rows_changed": 0, "artifact_changed": False, "stale_trainer_dead_seconds": round(dead, 2)}


def _facts(world: World, job_id: str) -> tuple[Any, ...]:
    rows = {table: sorted(map(str, world.rows(f"SELECT * FROM {table} WHERE job_id = :job", job_id)))
            for table in TABLES}  # fmt: skip
    job = world.rows("SELECT * FROM jobs WHERE id = :job", job_id)
    prefix = world.one("SELECT blob_prefix FROM model_versions WHERE job_id = :job", job_id)
    return str(job), rows, blob_hashes(world, prefix)


def blob_hashes(world: World, prefix: str) -> dict[str, str]:
    """The hash of every blob under a prefix."""
    blobs = open_blobs(f"file://{world.blobs}")
    return {key: hashlib.sha256(blobs.get_bytes(key)).hexdigest() for key in blobs.keys(prefix)}


def run_killed(world: World, chance: random.Random) -> dict[str, Any]:
    """P3: kill -9 of everything of the worker that has a job; from then to the next attempt, running."""
    seconds = []
    for _ in range(world.pace.trials):
        name = unique(chance)
        job_id = world.submit([{"checkpoint": 5}, once(world, name, {"beat": 100_000}), {"finish": name}])
        world.wait_for(lambda job=job_id: world.step(job) > 6, 30, "the first attempt's progress")
        world.let_pass(chance.uniform(0, world.pace.heartbeat_seconds))
        victims = _worker_of(world, job_id)
        killed_at = time.monotonic()
        world.note(f"kill -9 the worker of {job_id}: {len(victims)} processes")
        world.signal(victims, signal.SIGKILL)
        world.wait_for(
            lambda job=job_id: int(world.one("SELECT attempt FROM jobs WHERE id = :job", job)) >= 2,
            world.pace.takeover_seconds, "the second attempt",
        )  # fmt: skip
        seconds.append(time.monotonic() - killed_at)
        job = world.wait_state(job_id, "succeeded", 60)
        assert (job["attempt"], job["failures"]) == (2, 1), job
    return {
        "trials": len(seconds), "p50_seconds": round(statistics.median(seconds), 1),
        "max_seconds": round(max(seconds), 1), "bound_seconds": world.pace.takeover_seconds,
    }  # fmt: skip


def _worker_of(world: World, job_id: str) -> list[int]:
    """The worker's processes, the topmost first, as if its host had gone."""
    slot = world.owner_of(job_id)[0]
    launchers = {pid: world.tree(pid) for pid in world.pids("launcher")}
    launcher = next(pid for pid, below in launchers.items() if slot in below)
    return [launcher, *launchers[launcher]]


def run_drained(world: World, chance: random.Random) -> dict[str, Any]:
    """P4: SIGTERM during a long job: gone in time, with a checkpoint, uncharged; another worker goes on from there."""
    name = unique(chance)
    job_id = world.submit([once(world, name, {"beat": 100_000}, {"obey": True}), {"beat": 10}, {"finish": name}])
    world.wait_for(lambda: world.step(job_id) > 20, 30, "progress")
    world.let_pass(chance.uniform(0, 1))
    launcher, *below = _worker_of(world, job_id)
    world.note("SIGTERM")
    began = time.monotonic()
    world.signal([launcher], signal.SIGTERM)
    reached = world.step(job_id)
    world.wait_for(lambda: not any(map(lives, [launcher, *below])), DRAIN_SECONDS, "the end of the worker")
    gone = time.monotonic() - began
    world.wait_state(job_id, "succeeded", 90)
    [(step, attempt)] = world.rows(
        "SELECT step, attempt FROM job_checkpoints WHERE job_id = :job ORDER BY step", job_id
    )
    job = world.job(job_id)
    assert (job["attempt"], job["failures"], attempt) == (2, 0, 1), job
    assert step >= reached, f"the checkpoint is of step {step}, and step {reached} was reached before the signal"
    outcome = world.one("SELECT outcome FROM job_attempts WHERE job_id = :job ORDER BY attempt LIMIT 1", job_id)
    assert outcome == "drained"
    assert world.manifest(job_id)["step"] == step + 10, "the second attempt did not go on from the checkpoint"
    return {"exit_seconds": round(gone, 2), "failures": 0, "steps_redone": max(0, reached - step)}
