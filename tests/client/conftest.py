"""A fake service, a client of it, and the command line pointed at it."""

from collections.abc import Callable
from typing import Any

import pytest
from click.testing import CliRunner, Result

from app.cli import main
from app.client import commands
from app.client.client import Client
from tests.client.fake_service import FakeService


@pytest.fixture
def service() -> FakeService:
    return FakeService()


@pytest.fixture
def client(service: FakeService) -> Client:
    return Client("http://yard.test", "ty_secret", transport=service.transport)


@pytest.fixture
def run(service: FakeService, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """Run `trainyard …` against the fake service, with a clean environment."""
    for name in ("TRAINYARD_URL", "TRAINYARD_KEY", "TRAINYARD_API_KEYS_FILE"):
        monkeypatch.delenv(name, raising=False)

    def open_fake(self: commands.Service) -> Client:
        return Client(self.url, self.key, transport=service.transport)

    monkeypatch.setattr(commands.Service, "open", open_fake)

    def invoke(*arguments: str, **options: Any) -> Result:
        return CliRunner().invoke(main, list(arguments), **options)

    return invoke
