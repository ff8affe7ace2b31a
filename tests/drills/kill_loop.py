"""P1: whatever is killed or wiped, every accepted job ends, and what succeeded was published once."""

import random
import signal
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

import httpx

from app.models.bundle import open_bundle
from app.storage.blobs import get_tree, open_blobs
from tests.drills.world import FINAL, Script, World

# How often each part is chosen. Who sits high up takes all below along.
WEIGHTS = {"broker": 2, "api": 1, "launcher": 1, "celery": 1, "slot": 3, "spawner": 3, "trainer": 5}
TOPS = {"embedded": {"up": 1}, "postgresql": {"postgres": 2}}
QUIET_SECONDS = 240.0
FAILING_SHARE = 0.1


class Submitter(threading.Thread):
    """Submits without pause; what it was answered 201 for is accepted.

    What has no such answer yet is sent again under its key, later: a key whose request was killed is in use for
    a minute, and the others need not wait for it.
    """

    def __init__(self, world: World, chance: random.Random) -> None:
        super().__init__(name="submitter", daemon=True)
        self.world, self.chance = world, chance
        self.over = threading.Event()
        self.accepted: dict[str, int | None] = {}
        """Job → the value its bundle must hold; None where it must fail."""
        self.answers: Counter[int] = Counter()
        self.wrong: list[str] = []
        self._again: list[tuple[float, int, int | None, dict[str, Any]]] = []

    def run(self) -> None:
        """Submit until `over`, or until an answer is one that must not be."""
        with httpx.Client(base_url=self.world.url, headers=self.world.headers, timeout=20, trust_env=False) as http:
            numbers = iter(range(1_000_000))
            while not self.wrong and not self.over.wait(self.chance.uniform(0.1, 0.7)):
                if self._again and self._again[0][0] < time.monotonic():
                    _, number, value, body = self._again.pop(0)
                else:
                    number = next(numbers)
                    value = None if self.chance.random() < FAILING_SHARE else number
                    body = self.world.request(self._script(value), max_failures=100)
                self._submit(http, number, value, body)

    def _script(self, value: int | None) -> Script:
        error = {"code": "dataset_error", "message": "as asked", "retryable": False, "detail": {}}
        last: dict[str, Any] = {"fail": error} if value is None else {"finish": value}
        return [{"beat": self.chance.randint(1, 20)}, {"checkpoint": 50}, {"beat": self.chance.randint(1, 20)}, last]

    def _submit(self, http: httpx.Client, number: int, value: int | None, body: dict[str, Any]) -> None:
        key = {"Idempotency-Key": f"kill-loop-{self.world.began}-{number}"}
        try:
            answer = http.post("/v1/jobs", json=body, headers=key)
        except httpx.HTTPError:
            self._again.append((time.monotonic() + 1.0, number, value, body))
            return
        self.answers[answer.status_code] += 1
        if answer.status_code == 201:
            self.accepted[answer.json()["id"]] = value
        elif answer.status_code in (409, 503):
            self._again.append((time.monotonic() + 5.0, number, value, body))
        else:
            self.wrong.append(f"{answer.status_code}: {answer.text}")


def run(world: World, chance: random.Random) -> dict[str, Any]:
    """Kill for `kill_seconds`, then leave it in peace until every accepted job has ended."""
    submitter = Submitter(world, random.Random(chance.random()))
    submitter.start()
    world.wait_for(lambda: submitter.accepted or submitter.wrong, 60, "an accepted job")
    kills = _kill_for(world, chance, world.pace.kill_seconds)
    submitter.over.set()
    submitter.join()
    assert not submitter.wrong, submitter.wrong
    world.note(f"quiet; kills {dict(kills)}, accepted {len(submitter.accepted)}")
    # The embedded broker and worker may wait 10 s before they are started again.
    quiet = world.wait_for(lambda: not _open(world, submitter.accepted), QUIET_SECONDS, "the end of every job")
    _check(world, submitter.accepted)
    attempts = world.one("SELECT max(attempt) FROM jobs")
    return {
        "jobs_accepted": len(submitter.accepted), "jobs_lost": 0, "published_twice": 0, "kills": sum(kills.values()),
        "kills_by_part": dict(kills), "answers": {str(status): n for status, n in sorted(submitter.answers.items())},
        "most_attempts": attempts, "seconds_to_last_end": round(quiet, 1),
    }  # fmt: skip


def _kill_for(world: World, chance: random.Random, seconds: float) -> Counter[str]:
    kills: Counter[str] = Counter()
    weights = WEIGHTS | TOPS[world.stack]
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        world.let_pass(chance.uniform(0.5, 3.0))
        part = chance.choices(list(weights), list(weights.values()))[0]
        if _kill(world, part, chance):
            kills[part] += 1
            world.note(f"kill -9 {part}")
    return kills


def _kill(world: World, part: str, chance: random.Random) -> bool:
    if part == "postgres" and world.postgres is not None:
        world.postgres.kill()
        world.postgres.start()
        return True
    if part == "broker" and world.redis is not None:
        world.redis.kill()  # it keeps nothing: this wipes it
        world.redis.start()
        return True
    victims = world.pids(part)
    if not victims:
        return False
    world.signal([chance.choice(victims)], signal.SIGKILL)
    if part == "broker":
        for file in (world.home / "broker" / "appendonlydir").glob("*"):
            file.unlink(missing_ok=True)
    return True


def _open(world: World, accepted: dict[str, int | None]) -> list[str]:
    states = dict(world.rows("SELECT id, state FROM jobs"))
    assert set(accepted) <= set(states), "an accepted job is lost"
    return [job_id for job_id, state in states.items() if state not in FINAL]


def _check(world: World, accepted: dict[str, int | None]) -> None:
    states = dict(world.rows("SELECT id, state FROM jobs"))
    for job_id, value in accepted.items():
        assert states[job_id] == ("failed" if value is None else "succeeded"), (job_id, states[job_id])
    published = world.rows("SELECT job_id, blob_prefix FROM model_versions")
    counts = Counter(job_id for job_id, _ in published)
    for job_id, value in accepted.items():
        assert counts[job_id] == (value is not None), f"{job_id} was published {counts[job_id]} times"
    blobs = open_blobs(f"file://{world.blobs}")
    for job_id, prefix in published:
        if job_id in accepted:
            folder = world.folder / "check" / Path(prefix).name / job_id
            get_tree(blobs, prefix, folder)
            assert open_bundle(folder).manifest.get("value") == accepted[job_id], "a bundle that is not the job's own"
