"""Shared fixtures: where the real data lies, and a clean set of settings."""

import os
import signal
from pathlib import Path

import hypothesis
import pytest

from app.core.settings import Settings

pytest_plugins = ("tests.servers",)

# A shared machine is slow at times: no deadline. CI draws the same examples every time, so that it is red
# for a change and not for luck; elsewhere they are new at every run.
hypothesis.settings.register_profile("trainyard", deadline=None, derandomize=bool(os.environ.get("CI")))
hypothesis.settings.load_profile("trainyard")

# A shell starts what it runs in the background with Ctrl-C ignored, and so would be every service that a test starts.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# Whatever test computes first fixes the threads of TensorFlow for all trainings in this process, and those in other
# processes must add up in the same order: the bits of a convolution depend on it.
os.environ.setdefault("TF_NUM_INTRAOP_THREADS", "1")
os.environ.setdefault("TF_NUM_INTEROP_THREADS", "1")

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


def pytest_sessionfinish(session: pytest.Session) -> None:
    """In CI, which installs all that the tests need, a skipped test is a failure."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    skipped = reporter.stats.get("skipped", []) if reporter else []
    if os.environ.get("CI") and skipped:
        for report in skipped:
            reporter.write_line(f"skipped, and CI allows none: {report.nodeid}: {report.longrepr[2]}", red=True)
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
