"""A worker beside the service sends what is due, without being asked."""

import os
from pathlib import Path

import httpx
import pytest

from app.client.client import Client
from tests.servers import free_port, wait_until
from tests.service import answers, end, start
from tests.webhooks.receiver import Receiver


@pytest.mark.services
def test_a_message_leaves_by_itself(tmp_path: Path, receiver: Receiver) -> None:
    library = pytest.importorskip("standardwebhooks", reason="standardwebhooks is not installed")
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    environment = os.environ | {
        "TRAINYARD_HOME": str(tmp_path / "home"), "TRAINYARD_PORT": str(port), "TRAINYARD_WEBHOOK_ALLOW": "loopback",
        "TRAINYARD_WEBHOOK_SECONDS": "0.2",
    }  # fmt: skip
    process = start("up", environment, tmp_path / "up.log")
    try:
        with Client(url) as client:
            wait_until(lambda: answers(client), 60, "the service")
            wanted = {"url": f"http://localhost:{receiver.port}/in", "events": ["job.created"]}
            made = httpx.post(f"{url}/v1/webhooks", json=wanted, trust_env=False).json()
            httpx.post(f"{url}/v1/webhooks/{made['id']}/test", trust_env=False).raise_for_status()
            assert receiver.arrived.acquire(timeout=30)
        (got,) = receiver.requests
        assert library.Webhook(made["secret"]).verify(got.body, got.headers)["type"] == "webhook.test"
        assert made["secret"] not in (tmp_path / "up.log").read_text()
    finally:
        end(process)
