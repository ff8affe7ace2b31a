"""Webhooks as a client keeps them. The project is part of every condition."""

from datetime import datetime
from typing import Any

from sqlalchemy import delete, func, insert, select, update
from sqlalchemy.orm import Session

from app.db.engine import db_now
from app.db.paging import fetch_page
from app.db.tables import Webhook, WebhookDelivery

UNSYNCED: dict[str, Any] = {"synchronize_session": False}


def create(
    session: Session,
    project: str,
    webhook_id: str,
    *,
    url: str,
    events: list[str],
    description: str | None,
    enabled: bool,
    secret: str,
) -> None:
    """Write a webhook."""
    session.execute(
        insert(Webhook).values(
            id=webhook_id,
            project=project,
            url=url,
            events=events,
            description=description,
            enabled=enabled,
            disabled_at=None if enabled else db_now(),
            disabled_reason=None if enabled else "disabled by request",
            secrets=[{"secret": secret, "expires_at": None}],
            created_at=db_now(),
            updated_at=db_now(),
        )
    )


def count(session: Session, project: str) -> int:
    """Return how many webhooks there are."""
    return session.scalar(select(func.count()).select_from(Webhook).where(Webhook.project == project)) or 0


def get(session: Session, project: str, webhook_id: str, *, lock: bool = False) -> Webhook | None:
    """Return the webhook as it is in the database now, locked until the end of the transaction if asked."""
    query = select(Webhook).where(Webhook.id == webhook_id, Webhook.project == project)
    if lock:
        query = query.with_for_update(key_share=True)
    return session.scalars(query.execution_options(populate_existing=True)).one_or_none()


def page(
    session: Session, project: str, *, limit: int, after: str | None, descending: bool
) -> tuple[list[Webhook], bool]:
    """Return a page of webhooks in order of creation, and whether more follow."""
    query = select(Webhook).where(Webhook.project == project)
    return fetch_page(session, query, Webhook.id, limit=limit, after=after, descending=descending)


def change(session: Session, webhook_id: str, values: dict[str, Any]) -> None:
    """Write over some of a webhook's fields."""
    session.execute(
        update(Webhook).where(Webhook.id == webhook_id).values(updated_at=db_now(), **values),
        execution_options=UNSYNCED,
    )


def remove(session: Session, project: str, webhook_id: str) -> bool:
    """Remove a webhook with its deliveries; False where there is none."""
    gone = session.execute(
        delete(Webhook).where(Webhook.id == webhook_id, Webhook.project == project).returning(Webhook.id),
        execution_options=UNSYNCED,
    )
    return gone.one_or_none() is not None


def read_secrets(session: Session, webhook_id: str) -> list[dict[str, Any]]:
    """Return `{"secret", "expires_at"}`, newest first; `expires_at` is Unix seconds, null for the one in force."""
    return list(session.scalars(select(Webhook.secrets).where(Webhook.id == webhook_id)).one())


def read_clock(session: Session) -> datetime:
    """Return the database's time."""
    return session.execute(select(db_now())).scalar_one()


def get_delivery(session: Session, project: str, delivery_id: str, *, lock: bool = False) -> WebhookDelivery | None:
    """Return a delivery as it is in the database now."""
    query = select(WebhookDelivery).where(WebhookDelivery.id == delivery_id, WebhookDelivery.project == project)
    if lock:
        query = query.with_for_update()
    return session.scalars(query.execution_options(populate_existing=True)).one_or_none()


def list_deliveries(
    session: Session, webhook_id: str, *, state: str | None, limit: int, after: str | None, descending: bool
) -> tuple[list[WebhookDelivery], bool]:
    """Return a page of a webhook's deliveries in order of creation, and whether more follow."""
    query = select(WebhookDelivery).where(WebhookDelivery.webhook_id == webhook_id)
    if state is not None:
        query = query.where(WebhookDelivery.state == state)
    return fetch_page(session, query, WebhookDelivery.id, limit=limit, after=after, descending=descending)
