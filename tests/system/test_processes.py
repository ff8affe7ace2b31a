"""Two API processes behind one socket: whichever answers the scrape tells of both."""

import os
import re
import signal
from pathlib import Path

import httpx
import pytest

from app.core.settings import Settings
from tests.workers.processes import command_of, lives, tree_of, wait_until
from tests.workers.test_processes import Up

pytestmark = pytest.mark.services
UNKNOWN = re.compile(r'^trainyard_predict_requests_total\{model="",status="404"\} (\d+)', re.MULTILINE)


def refused(text: str) -> float:
    """Return how many predictions were asked of a model that is not there."""
    found = UNKNOWN.search(text)
    return float(found.group(1)) if found is not None else 0.0


def test_both_are_counted_and_the_count_outlives_one(tmp_path: Path) -> None:
    up = Up(Settings(home=tmp_path / "home", port=0, api_processes=2))
    try:
        wait_until(up.is_ready)
        apis = [pid for pid in tree_of(up.process.pid) if "app.serve" in command_of(pid)]
        assert len(apis) == 2
        for _ in range(40):  # a connection each, so that both get some
            answer = httpx.post(f"{up.url}/v1/models/none:predict", json={"instances": [{}]})
            assert answer.status_code == 404
        # The other process writes once a second.
        wait_until(lambda: refused(httpx.get(f"{up.url}/metrics").text) == 40, 10)
        assert all(refused(httpx.get(f"{up.url}/metrics").text) == 40 for _ in range(10))
        os.kill(apis[0], signal.SIGKILL)
        wait_until(lambda: not lives(apis[0]))
        wait_until(up.is_ready)
        wait_until(lambda: refused(httpx.get(f"{up.url}/metrics").text) == 40, 10)
    finally:
        tree = [up.process.pid, *tree_of(up.process.pid)]
        up.process.kill()
        up.process.communicate()
        wait_until(lambda: not any(map(lives, tree)))
    figures = tmp_path / "home" / "work" / "figures"
    assert [folder.name for folder in figures.iterdir()] == [str(up.process.pid)]
