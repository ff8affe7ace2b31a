"""A running service for tests that upload over HTTP."""

from collections.abc import Iterator

import pytest

from tests.service import running_service


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with running_service(tmp_path_factory.mktemp("intake")) as address:
        yield address
