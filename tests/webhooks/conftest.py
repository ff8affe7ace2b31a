"""A database, an endpoint, and a service without HTTP between."""

from collections.abc import Iterator

import pytest

from app.core.settings import Settings
from app.db.engine import Database
from app.webhooks.delivery import Courier
from app.webhooks.service import WebhookService
from tests.jobs.conftest import database, database_url, postgres_migrated, sqlite_template  # noqa: F401
from tests.webhooks.receiver import Receiver, running_receiver


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with running_receiver() as running:
        yield running


@pytest.fixture
def allowing(settings: Settings) -> Settings:
    """Settings of one who tries webhooks on this machine."""
    return settings.model_copy(update={"webhook_allow": "loopback"})


@pytest.fixture
def webhooks(database: Database, allowing: Settings) -> WebhookService:  # noqa: F811
    return WebhookService(database, allowing)


@pytest.fixture
def courier(database: Database, allowing: Settings) -> Courier:  # noqa: F811
    return Courier(database, allowing)
