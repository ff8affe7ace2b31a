"""Yards: one for the tests that only look at what comes out, one of its own for each that comes between."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.batch.world import BatchYard


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BatchYard]:
    """A yard whose spawner is started once."""
    yard = BatchYard(tmp_path_factory.mktemp("shared") / "home")
    yield yard
    yard.close()


@pytest.fixture
def yard(tmp_path: Path) -> Iterator[BatchYard]:
    """A yard of the test's own."""
    yard = BatchYard(tmp_path / "home")
    yield yard
    yard.close()
