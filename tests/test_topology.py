"""Production's topology by hand: an API and two workers as processes of their own, PostgreSQL, Redis.

What is proved: jobs run on both workers, a killed worker's job ends all the same, and a broker that
is wiped and killed loses nothing (RELIABILITY.md P1, P3, P9).
"""

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from app.client.client import Client
from app.core.auth import key_line, new_key
from tests.servers import PostgresServer, free_port, running_redis, wait_until
from tests.service import answers, end, start

pytestmark = [pytest.mark.services, pytest.mark.timeout(300)]
PENGUINS = Path(__file__).resolve().parent.parent / "app" / "demo" / "penguins.csv"
JOB_SECONDS = 120.0
# Long enough to be killed in the middle, and over when its time is.
SLOW = {"epochs": 100_000, "early_stopping": False, "max_seconds": 20}


@dataclass
class Topology:
    """The processes, and a client with a key."""

    client: Client
    environment: dict[str, str]
    api: subprocess.Popen[bytes]
    workers: list[subprocess.Popen[bytes]]
    redis_port: int
    stop_redis: Callable[[], None]

    def states(self, jobs: list[str]) -> list[str]:
        return [self.client.job(job)["state"] for job in jobs]


@pytest.fixture
def topology(postgres_server: PostgresServer, tmp_path: Path) -> Iterator[Topology]:
    key = new_key()
    (tmp_path / "keys").write_text(key_line("tests", key))
    port = free_port()
    with contextlib.ExitStack() as stack:
        redis_stack = stack.enter_context(contextlib.ExitStack())
        redis = redis_stack.enter_context(running_redis())
        environment = {
            **os.environ,
            "TRAINYARD_HOME": str(tmp_path / "api"),
            "TRAINYARD_DATABASE_URL": postgres_server.create_database(),
            "TRAINYARD_BROKER_URL": redis.url,
            "TRAINYARD_STORAGE_URL": f"file://{tmp_path / 'blobs'}",
            "TRAINYARD_API_KEYS_FILE": str(tmp_path / "keys"),
            "TRAINYARD_PORT": str(port),
            "TRAINYARD_HEARTBEAT_SECONDS": "1",
            "TRAINYARD_LEASE_SECONDS": "6",
            "TRAINYARD_SWEEP_SECONDS": "1",
            "TRAINYARD_POLL_SECONDS": "2",
            "TRAINYARD_TRAINER_THREADS": "1",
        }
        migrated = subprocess.run([sys.executable, "-m", "app.cli", "migrate"], env=environment, check=False)
        assert migrated.returncode == 0
        api = start("api", environment, tmp_path / "api.log")
        stack.callback(end, api)
        workers = []
        for number in (1, 2):
            own = {"TRAINYARD_HOME": str(tmp_path / f"worker{number}"), "TRAINYARD_WORKER_NAME": f"worker{number}"}
            workers.append(start("worker", environment | own, tmp_path / f"worker{number}.log"))
            stack.callback(end, workers[-1])
        client = stack.enter_context(Client(f"http://127.0.0.1:{port}", key))
        wait_until(lambda: answers(client), 30, "the API")
        wait_until(lambda: len(client.system()["workers"]) == 2, 60, "both workers")
        yield Topology(client, environment, api, workers, redis.port, redis_stack.close)


def submit(client: Client, dataset: str, **training: object) -> str:
    request = {
        "recipe": "tabular-classification",
        "dataset": dataset,
        "columns": {"target": "species"},
        "model": "penguins",
        "params": {"architecture": {"type": "mlp", "members": 1, "width": 16}},
        "training": training,
    }
    return client.submit(request)["id"]


def ended(client: Client, job: str) -> bool:
    return client.job(job)["state"] in ("succeeded", "failed", "cancelled")


def kill_tree(process: subprocess.Popen[bytes]) -> None:
    """SIGKILL a worker's launcher; everything below is tied to it and must die with it."""
    os.kill(process.pid, signal.SIGKILL)
    process.wait()


def test_jobs_survive_a_killed_worker_and_a_dead_broker(topology: Topology) -> None:
    client = topology.client
    dataset = client.upload(PENGUINS)["id"]

    # Both workers take jobs.
    jobs = [submit(client, dataset, **SLOW) for _ in range(2)]
    wait_until(lambda: topology.states(jobs) == ["running", "running"], 60, "both jobs to run at once")

    # One worker is killed with everything below it: the other ends its job, and nothing is published twice.
    kill_tree(topology.workers[0])
    wait_until(lambda: all(ended(client, job) for job in jobs), JOB_SECONDS, "both jobs to end")
    first, second = (client.job(job) for job in jobs)
    assert [first["state"], second["state"]] == ["succeeded", "succeeded"], (first["error"], second["error"])
    assert sorted(job["failures"] for job in (first, second)) == [0, 1]
    assert sorted(job["attempt"] for job in (first, second)) == [1, 2]
    assert {first["model"], second["model"]} == {"penguins@1", "penguins@2"}

    # Without a broker: the submit is taken, and the job found by polling.
    topology.stop_redis()
    third = submit(client, dataset, epochs=5)
    wait_until(lambda: ended(client, third), JOB_SECONDS, "a job without a broker")
    assert client.job(third)["state"] == "succeeded"

    # A broker that comes back empty: jobs still run.
    with running_redis(topology.redis_port):
        fourth = submit(client, dataset, epochs=5)
        wait_until(lambda: ended(client, fourth), JOB_SECONDS, "a job after the broker's return")
    assert client.job(fourth)["model"] == "penguins@4"
    scores = client.predict("penguins@4", [{"bill_length_mm": 39.1, "flipper_length_mm": 181}])["predictions"][0]
    assert set(scores["scores"]) == {"Adelie", "Chinstrap", "Gentoo"}
