"""P10: the database hangs, is shut down, is full of waiting: 503 at once, and training goes on."""

import http.client
import json
import random
import signal
import statistics
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import psycopg

from tests.drills.world import Script, World

CLIENTS = 20
# Connections of an API process (app/db/engine.py), and requests that find none left.
POOL, BEYOND_POOL = 10, 10
REQUESTS_A_SECOND = {"short": 60, "real": 200, "long": 200}
# The service waits 2 s for an answer of the database; the rest is this machine's.
REFUSED_SECONDS, FULL_POOL_SECONDS = 4.0, 1.0
REPORT_SECONDS = 0.2
ALLOWED = frozenset({200, 201, 409, 503})


@dataclass(frozen=True)
class Answer:
    """One answer of the service."""

    path: str
    status: int
    seconds: float
    retry_after: str | None
    at: float


class Stream:
    """Clients that ask without pause, at a rate; each on a connection of its own."""

    def __init__(self, world: World, job_id: str) -> None:
        self.world, self.name, self.answers, self.over = world, job_id, list[Answer](), threading.Event()
        body = json.dumps(world.request([{"finish": 1}])).encode()
        self.mix: list[tuple[str, str, bytes | None]] = [
            ("GET", "/v1/jobs", None), ("GET", f"/v1/jobs/{job_id}", None), ("GET", "/v1/datasets", None),
            ("GET", "/v1/models", None), ("GET", f"/v1/jobs/{job_id}/metrics", None), ("GET", "/livez", None),
            ("GET", f"/v1/jobs/{job_id}/events", None), ("POST", "/v1/jobs", body), ("POST", "/v1/jobs", body),
        ]  # fmt: skip
        pause = CLIENTS / REQUESTS_A_SECOND[world.pace.name]
        self.threads = [threading.Thread(target=self._ask, args=(n, pause), daemon=True) for n in range(CLIENTS)]
        for thread in self.threads:
            thread.start()

    def _ask(self, number: int, pause: float) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self.world.port, timeout=30)
        turn = number
        while not self.over.wait(pause):
            method, path, body = self.mix[turn % len(self.mix)]
            turn += 1
            headers = {**self.world.headers, "Content-Type": "application/json"}
            if method == "POST" and turn % 2:
                headers["Idempotency-Key"] = f"{self.name}-{number}-{turn}"
            if method == "POST" and turn % 5:
                continue  # few writes: the queue is not what is tested
            began = time.monotonic()
            try:
                answer = _send(connection, method, path, body, headers)
                answer.read()
                status, retry_after = answer.status, answer.getheader("Retry-After")
            except OSError as problem:
                connection.close()
                path, status, retry_after = f"{path} {type(problem).__name__}", 0, None
            self.answers.append(Answer(path, status, time.monotonic() - began, retry_after, began))

    def stop(self) -> list[Answer]:
        """End it; return every answer."""
        self.over.set()
        for thread in self.threads:
            thread.join(40)
        return self.answers


def _send(
    connection: http.client.HTTPConnection, method: str, path: str, body: bytes | None, headers: dict[str, str]
) -> http.client.HTTPResponse:
    """Send a request; again where the server had closed the idle connection meanwhile, as every client does."""
    try:
        connection.request(method, path, body, headers)
        return connection.getresponse()
    except (http.client.RemoteDisconnected, BrokenPipeError):
        connection.close()
        connection.request(method, path, body, headers)
        return connection.getresponse()


def run(world: World, chance: random.Random) -> dict[str, Any]:
    """An outage of each kind, mid-training and under a stream of requests; then a full pool."""
    assert world.postgres is not None
    postgres = world.postgres
    frozen = _outage(world, lambda: postgres.signal(signal.SIGSTOP), lambda: postgres.signal(signal.SIGCONT))
    stopped = _outage(world, postgres.shut_down, postgres.start)
    return {"frozen": frozen, "shut_down": stopped, "full_pool": _full_pool(world)}


def _outage(world: World, away: Callable[[], None], back: Callable[[], None]) -> dict[str, Any]:
    seconds = world.pace.outage_seconds
    reports = round(seconds * 1.2 / REPORT_SECONDS) + 10
    script: Script = []
    for number in range(1, reports + 1):
        row = {"type": "metrics", "epoch": number, "step": number, "split": "train", "values": {"loss": 1 / number}}
        script += [{"report": row}, {"beat": round(REPORT_SECONDS / 0.02)}]
    job_id = world.submit([*script, {"finish": reports}])
    world.wait_for(lambda: world.step(job_id) > 5, 60, "progress")
    stream = Stream(world, job_id)
    world.let_pass(2)
    world.note("the database goes")
    gone_at = time.monotonic()
    away()
    try:
        world.let_pass(seconds)
    finally:
        back()
    world.note("the database is back")
    back_at = time.monotonic()
    world.wait_for(lambda: _works(world), 15, "answers of the service")
    works_after = time.monotonic() - back_at
    world.let_pass(1)
    answers = stream.stop()
    job = world.wait_state(job_id, "succeeded", 60 + world.pace.takeover_seconds + 2 * seconds)
    assert (job["attempt"], job["failures"]) == (1, 0), "a worker that lived lost its job"
    recorded = int(world.one("SELECT count(*) FROM job_metrics WHERE job_id = :job", job_id))
    assert recorded == reports, f"{reports - recorded} of {reports} metrics are lost"
    during = [a for a in answers if gone_at + 0.1 < a.at < back_at - 0.1]
    return {
        **_judge(answers, during), "answers_again_after_seconds": round(works_after, 2),
        "metrics_lost": 0, "attempts": job["attempt"],
    }  # fmt: skip


def _judge(answers: list[Answer], during: list[Answer]) -> dict[str, Any]:
    wrong = Counter((a.path, a.status) for a in answers if a.status not in ALLOWED)
    assert not wrong, f"answers that must not be: {wrong}"
    assert all(a.retry_after for a in answers if a.status == 503), "a 503 without Retry-After"
    refused = [a.seconds for a in during if a.status == 503]
    assert refused, "the outage was noticed by nobody"
    slowest = max(during, key=lambda a: a.seconds)
    assert slowest.seconds <= REFUSED_SECONDS, f"{slowest} hung"
    return {
        "requests_during": len(during), "refused_503": len(refused), "status_500": 0,
        "refused_p50_seconds": round(statistics.median(refused), 3), "slowest_seconds": round(slowest.seconds, 2),
    }  # fmt: skip


def _works(world: World) -> bool:
    return all(world.http.get(path).status_code == 200 for path in ("/v1/jobs", "/v1/datasets"))


def _full_pool(world: World) -> dict[str, Any]:
    """Every connection of an API process waits for a lock; who comes next is told so within a second."""
    assert world.postgres is not None
    answers: list[tuple[int, float]] = []

    def ask() -> None:
        connection = http.client.HTTPConnection("127.0.0.1", world.port, timeout=30)
        began = time.monotonic()
        connection.request("GET", "/v1/jobs", headers=world.headers)
        answers.append((connection.getresponse().status, time.monotonic() - began))

    with psycopg.connect(world.postgres.url) as blocker:
        blocker.execute("LOCK TABLE jobs IN ACCESS EXCLUSIVE MODE")
        asking = [threading.Thread(target=ask) for _ in range(POOL + BEYOND_POOL)]
        for thread in asking:
            thread.start()
        for thread in asking:
            thread.join(20)
    world.wait_for(lambda: _works(world), 15, "answers after the lock")
    assert {status for status, _ in answers} <= {200, 503}, answers
    refused = sorted(seconds for status, seconds in answers if status == 503)
    assert len(refused) >= BEYOND_POOL, answers
    slowest = refused[BEYOND_POOL - 1]
    assert slowest <= FULL_POOL_SECONDS + 0.5, refused
    return {"refused_503": BEYOND_POOL, "slowest_seconds": round(slowest, 2)}
