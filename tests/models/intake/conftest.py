"""A running service for tests that upload over HTTP."""

import os
from collections.abc import Iterator

import pytest

from app.client.client import Client
from tests.servers import free_port, wait_until
from tests.test_topology import answers, end, start


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("intake")
    port = free_port()
    environment = os.environ | {"TRAINYARD_HOME": str(folder / "home"), "TRAINYARD_PORT": str(port)}
    process = start("up", environment, folder / "up.log")
    try:
        with Client(f"http://127.0.0.1:{port}") as client:
            wait_until(lambda: answers(client), 60, "the service")
        yield f"http://127.0.0.1:{port}"
    finally:
        end(process)
