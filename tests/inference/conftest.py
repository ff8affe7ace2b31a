"""Bundles made once for all tests of predictions."""

from pathlib import Path

import pytest

from tests.inference.bundles import array_bundle, table_bundle


@pytest.fixture(scope="session")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of bundles: `dense1`, `dense2`, `dense3`, `table` (classes), `labels` and `price` (values)."""
    folder = tmp_path_factory.mktemp("bundles")
    for number in (1, 2, 3):
        array_bundle(folder / f"dense{number}", seed=number)
    table_bundle(folder / "table")
    table_bundle(folder / "labels", "labels")
    table_bundle(folder / "price", "value")
    return folder
