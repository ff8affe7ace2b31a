"""The bell: it never waits, never fails a request, and what it sends is a Celery task by name."""

import json
import logging
import threading
import time
from typing import Any

import pytest
import redis

from app.jobs.queue import Bell
from tests.servers import RedisServer, free_port, running_redis, wait_until


def messages(server: RedisServer) -> list[dict[str, Any]]:
    with redis.Redis(port=server.port) as client:
        raw: Any = client.lrange("trainyard.default", 0, -1)
    return [json.loads(message) for message in raw]


def bell_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "bell"]


def test_a_broker_that_is_away_costs_a_request_nothing(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING, "trainyard.bell")
    bell = Bell(f"redis://:secret@127.0.0.1:{free_port()}/0")
    began = time.monotonic()
    for number in range(2000):
        bell.ring(f"job_{number}", "default")
    assert time.monotonic() - began < 1.0
    assert bell.ping() is False
    wait_until(lambda: "bell not delivered" in caplog.text, 10, "the failed delivery")
    assert "secret" not in caplog.text
    bell.stop()


def test_a_bell_that_never_rang_stops() -> None:
    Bell("redis://127.0.0.1:1/0").stop()


@pytest.mark.services
def test_a_message_is_the_task_and_the_job(redis_server: RedisServer) -> None:
    bell = Bell(redis_server.url)
    assert bell.ping() is True
    bell.ring("job_1", "default")
    bell.ring("job_2", "default")
    bell.stop()
    sent = messages(redis_server)
    assert [message["headers"]["task"] for message in sent] == ["trainyard.run"] * 2
    assert sorted(message["headers"]["argsrepr"] for message in sent) == ["['job_1']", "['job_2']"]
    assert {message["content-type"] for message in sent} == {"application/json"}
    assert not bell_threads(), "stop ends the thread"


@pytest.mark.services
def test_it_delivers_again_when_the_broker_is_back() -> None:
    with running_redis() as server:
        bell = Bell(server.url)
        bell.ring("job_1", "default")
        wait_until(lambda: len(messages(server)) == 1, 10, "the first delivery")
    bell.ring("job_2", "default")
    wait_until(lambda: bell.ping() is False, 5, "the silence of the broker")
    with running_redis(server.port) as server:
        wait_until(bell.ping, 5, "the return of the broker")
        # What was rung for meanwhile is lost, as it should be; what is rung for now arrives.
        bell.ring("job_3", "default")
        wait_until(lambda: any("job_3" in m["headers"]["argsrepr"] for m in messages(server)), 10, "a delivery")
        bell.stop()


@pytest.mark.services
def test_a_broker_that_hangs_is_left_alone(redis_server: RedisServer) -> None:
    with redis.Redis(port=redis_server.port) as client:
        bell = Bell(redis_server.url)
        assert bell.ping()
        client.execute_command("CLIENT", "PAUSE", "3000", "ALL")
        began = time.monotonic()
        bell.ring("job_1", "default")
        assert bell.ping() is False
        assert time.monotonic() - began < 2.5
        bell.stop()
