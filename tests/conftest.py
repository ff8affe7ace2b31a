"""Shared fixtures: where the real data lies, and a clean set of settings."""

import os
from pathlib import Path

import hypothesis
import pytest

from app.core.settings import Settings

pytest_plugins = ("tests.servers",)

# A shared machine is slow at times: no deadline. CI draws the same examples every time, so that it is red
# for a change and not for luck; elsewhere they are new at every run.
hypothesis.settings.register_profile("trainyard", deadline=None, derandomize=bool(os.environ.get("CI")))
hypothesis.settings.load_profile("trainyard")

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """The folder of real data sets; tests that need it are skipped, with a reason, where it is absent."""
    folder = Path(os.environ.get("TRAINYARD_TEST_DATA", ROOT / ".." / "shared" / "data")).resolve()
    if not (folder / "MANIFEST.json").is_file():
        if os.environ.get("CI"):
            pytest.fail("TRAINYARD_TEST_DATA names no data collection; CI demands it")
        pytest.skip("no data collection at TRAINYARD_TEST_DATA")
    return folder


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Settings of a fresh deployment in a temporary folder."""
    return Settings(home=tmp_path / "home", port=0)
