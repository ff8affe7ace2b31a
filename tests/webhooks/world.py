"""Webhooks, and what is on its way to them, for tests."""

from typing import Any

import pytest
from sqlalchemy import select, update

from app.db.engine import Database, db_now
from app.db.tables import WebhookDelivery
from app.webhooks import delivery
from app.webhooks.repository import sending
from app.webhooks.schemas import WebhookRequest, WebhookSecret
from app.webhooks.service import WebhookService
from tests.jobs import world
from tests.webhooks.receiver import Received, Receiver

PROJECT = world.PROJECT


def hook(webhooks: WebhookService, receiver: Receiver, *events: str) -> WebhookSecret:
    url = f"http://127.0.0.1:{receiver.port}/in"
    return webhooks.create(PROJECT, WebhookRequest.model_validate({"url": url, "events": list(events) or ["*"]}))


def verified(secret: str, request: Received) -> dict[str, Any]:
    """Return the message, as the library of the specification reads it."""
    library = pytest.importorskip("standardwebhooks", reason="standardwebhooks is not installed")
    message: dict[str, Any] = library.Webhook(secret).verify(request.body, request.headers)
    return message


def deliveries(database: Database) -> list[WebhookDelivery]:
    with database.reading() as session:
        return list(session.scalars(select(WebhookDelivery).order_by(WebhookDelivery.id)))


def the_delivery(database: Database) -> WebhookDelivery:
    (only,) = deliveries(database)
    return only


def make_due(database: Database) -> None:
    """Move the clock to where every waiting delivery is due."""
    with database.transaction() as session:
        session.execute(update(WebhookDelivery).values(due_at=db_now(-1)))


def run_out(database: Database) -> None:
    """Move the clock to where every lease is over."""
    with database.transaction() as session:
        session.execute(update(WebhookDelivery).values(leased_until=db_now(-1)))


def claim(database: Database) -> list[sending.ClaimedDelivery]:
    with database.transaction() as session:
        return sending.claim(
            session, limit=delivery.BATCH, limit_per_webhook=delivery.BATCH_PER_WEBHOOK,
            lease_seconds=delivery.LEASE_SECONDS,
        )  # fmt: skip
