"""P19: one job for one `Idempotency-Key`, however often and wherever the request is sent, and whatever dies."""

import random
import signal
import threading
from collections import Counter
from typing import Any

import httpx

from tests.drills.takeover import unique
from tests.drills.world import World
from tests.servers import wait_until

AT_ONCE = 50
KILLED, TOGETHER = 6, 3


def run(world: World, chance: random.Random) -> dict[str, Any]:
    """50 at once; then an API that is killed some milliseconds after the request was sent."""
    count = "SELECT count(*) FROM jobs"
    before = int(world.one(count))
    answers = _at_once(world, unique(chance))
    assert set(answers) <= {201, 409}, answers
    assert answers[201] > 0, answers
    assert int(world.one(count)) - before == 1, "one key, more than one job"
    mismatch = _other_body(world, unique(chance))
    before = int(world.one(count))
    keys = [unique(chance) for _ in range(KILLED)]
    for key in keys[:-TOGETHER]:
        _killed(world, [key], None)
    # Killed before its commit, a request makes nothing, and its key is free after a minute: too long for CI.
    after_seconds = None if world.pace.name == "short" else chance.uniform(0, 0.1)
    _killed(world, keys[-TOGETHER:], after_seconds)
    made = int(world.one(count)) - before
    assert made == KILLED, f"{KILLED} keys made {made} jobs"
    return {"at_once": AT_ONCE, "jobs": 1, "answers": {str(status): n for status, n in sorted(answers.items())},
            "other_body": mismatch, "api_killed_under_way": KILLED, "jobs_of_those": made}  # fmt: skip


def _at_once(world: World, key: str) -> Counter[int]:
    body = world.request([{"finish": 1}])
    answers: Counter[int] = Counter()
    ids: set[str] = set()
    ready = threading.Barrier(AT_ONCE)

    def post() -> None:
        with httpx.Client(base_url=world.url, headers=world.headers, timeout=30, trust_env=False) as http:
            ready.wait(30)
            answer = http.post("/v1/jobs", json=body, headers={"Idempotency-Key": key})
            answers[answer.status_code] += 1
            if answer.status_code == 201:
                ids.add(answer.json()["id"])

    threads = [threading.Thread(target=post) for _ in range(AT_ONCE)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(ids) == 1, ids
    return answers


def _other_body(world: World, key: str) -> int:
    headers = {"Idempotency-Key": key}
    body = world.request([{"finish": 1}])
    world.http.post("/v1/jobs", json=body, headers=headers).raise_for_status()
    status = world.http.post("/v1/jobs", json={**body, "priority": 1}, headers=headers).status_code
    assert status == 422, status
    return status


def _killed(world: World, keys: list[str], after_seconds: float | None) -> None:
    """Send a request for each key, and kill the API so long after, or (None) as soon as a job is in the database."""
    bodies = {key: world.request([{"finish": 1}]) for key in keys}
    ids: dict[str, set[str]] = {key: set() for key in keys}
    api, count = world.pids("api"), int(world.one("SELECT count(*) FROM jobs"))
    senders = [threading.Thread(target=_post, args=(world, key, bodies[key], ids[key])) for key in keys]
    for sender in senders:
        sender.start()
    if after_seconds is None:
        wait_until(lambda: int(world.one("SELECT count(*) FROM jobs")) > count, 30, "a job in the database")
    else:
        threading.Event().wait(after_seconds)
    world.signal(api, signal.SIGKILL)
    for sender in senders:
        sender.join(40)
    for _ in range(2):  # and the same answer again
        for key in keys:
            world.wait_for(
                lambda key=key: _post(world, key, bodies[key], ids[key]), 90, "an answer to the same request"
            )
    assert all(len(found) == 1 for found in ids.values()), ids


def _post(world: World, key: str, body: dict[str, Any], ids: set[str]) -> bool:
    try:
        answer = httpx.post(
            f"{world.url}/v1/jobs", json=body, headers={**world.headers, "Idempotency-Key": key}, timeout=30
        )
    except httpx.HTTPError:
        return False
    assert answer.status_code in (201, 409, 503), answer.text
    if answer.status_code == 201:
        ids.add(answer.json()["id"])
    return answer.status_code == 201
