"""A whole service as a client meets it: `trainyard up` and its parts as processes of their own."""

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from app.client.client import Client
from app.client.errors import Unreachable
from app.client.shapes import Job
from tests.servers import free_port, wait_until


def start(command: str, environment: dict[str, str], log: Path) -> subprocess.Popen[bytes]:
    """Start a part of the service, `up` for all of it."""
    with log.open("ab") as sink:
        return subprocess.Popen(
            [sys.executable, "-m", "app.cli", command],
            env=environment,
            stdout=sink,
            stderr=sink,
            start_new_session=True,
        )


def end(process: subprocess.Popen[bytes]) -> None:
    """Stop it as an operator would, or else by force."""
    process.terminate()
    try:
        process.wait(40)
    except subprocess.TimeoutExpired:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def answers(client: Client) -> bool:
    """Tell whether the service answers."""
    try:
        client.is_alive()
    except Unreachable:
        return False
    return True


@contextlib.contextmanager
def running_service(folder: Path) -> Iterator[str]:
    """Yield the address of a service whose data lie in `folder`."""
    port = free_port()
    environment = os.environ | {"TRAINYARD_HOME": str(folder / "home"), "TRAINYARD_PORT": str(port)}
    process = start("up", environment, folder / "up.log")
    try:
        with Client(f"http://127.0.0.1:{port}") as client:
            wait_until(lambda: answers(client), 60, "the service")
        yield f"http://127.0.0.1:{port}"
    finally:
        end(process)


def finish(yard: Client, request: dict[str, Any]) -> Job:
    """Submit and follow to the end; the job has succeeded."""
    job = yard.submit(request)
    for news in yard.follow(job["id"], poll_seconds=1.0):
        job = news
    assert job["state"] == "succeeded", job["error"]
    return job
