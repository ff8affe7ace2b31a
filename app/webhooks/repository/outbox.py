"""The outbox: what is to be sent is written in the transaction that makes it true."""

from collections.abc import Callable
from typing import Any

from sqlalchemy import insert, select
from sqlalchemy.orm import Session

from app.core.clock import to_rfc3339
from app.core.ids import new_id
from app.core.json import dump_json
from app.db.engine import db_now
from app.db.tables import Webhook, WebhookDelivery, WebhookMessage
from app.webhooks.types import EVENT_TYPES, EVERYTHING


def announce(
    session: Session, project: str, kind: str, data: Callable[[], dict[str, Any]], *, message_id: str | None = None
) -> None:
    """Write a message for every webhook of the project that asked for `kind`; nothing where none did.

    `data` is only called where somebody asked. A kind that is no type of message is no message.
    """
    if kind not in EVENT_TYPES:
        return
    # Locked against removal: a foreign key that breaks meanwhile would take the job's edge back with it.
    rows = session.execute(
        select(Webhook.id, Webhook.events)
        .where(Webhook.project == project, Webhook.enabled)
        .order_by(Webhook.id)
        .with_for_update(read=True, key_share=True)
    )
    wanted = [webhook_id for webhook_id, events in rows if kind in events or EVERYTHING in events]
    if wanted:
        enqueue(session, project, kind, data(), wanted, message_id=message_id)


def enqueue(
    session: Session, project: str, kind: str, data: dict[str, Any], webhook_ids: list[str], *,
    message_id: str | None = None,
) -> list[str]:  # fmt: skip
    """Write a message and a delivery of it for each webhook; return the deliveries' ids."""
    message_id = message_id or new_id("msg")
    now = session.execute(select(db_now())).scalar_one()
    body = dump_json({"type": kind, "timestamp": to_rfc3339(now), "data": data}).decode()
    session.execute(insert(WebhookMessage).values(id=message_id, project=project, type=kind, body=body, created_at=now))
    deliveries = [
        {
            "id": new_id("whd"),
            "project": project,
            "webhook_id": webhook_id,
            "message_id": message_id,
            "type": kind,
            "due_at": now,
            "log": [],
            "created_at": now,
            "updated_at": now,
        }
        for webhook_id in webhook_ids
    ]
    session.execute(insert(WebhookDelivery), deliveries)
    return [str(delivery["id"]) for delivery in deliveries]
