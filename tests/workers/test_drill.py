"""A short drill; `python -m tests.workers.drill` is the long one."""

from pathlib import Path

import pytest

from tests.workers.drill import Drill


@pytest.mark.services
@pytest.mark.timeout(360)
def test_nothing_is_lost_or_published_twice_whatever_is_killed(tmp_path: Path) -> None:
    drill = Drill(tmp_path / "home", seed=3)
    try:
        drill.run(seconds=30)
        drill.check()
        assert sum(drill.kills.values()) >= 5
    finally:
        drill.stop()
