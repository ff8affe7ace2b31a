"""Deliveries under way: taken by one sender at a time, and written down by the one that holds them."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, delete, func, or_, select, update
from sqlalchemy.orm import Session

from app.db.engine import db_now
from app.db.tables import Webhook, WebhookDelivery, WebhookMessage
from app.webhooks.repository.endpoints import UNSYNCED

MAX_LOG = 50
DAY_SECONDS = 86_400.0


@dataclass(frozen=True)
class ClaimedDelivery:
    """A delivery that this sender owns until its lease is over."""

    id: str
    claim: int
    tries: int
    """With this one."""
    webhook_id: str
    url: str
    secrets: list[dict[str, Any]]
    message_id: str
    body: str
    now: datetime
    """The database's time of the claim."""


def _is_due() -> list[ColumnElement[bool]]:
    free = or_(WebhookDelivery.leased_until.is_(None), WebhookDelivery.leased_until < db_now())
    return [WebhookDelivery.state == "pending", WebhookDelivery.due_at <= db_now(), free]


def is_any_due(session: Session) -> bool:
    """Tell, without a write, whether there is a delivery to take."""
    return session.scalar(select(WebhookDelivery.id).where(*_is_due()).limit(1)) is not None


def claim(session: Session, *, limit: int, limit_per_webhook: int, lease_seconds: float) -> list[ClaimedDelivery]:
    """Take deliveries that are due, the longest due first, no more than `limit_per_webhook` of each webhook.

    So a slow endpoint with a long queue does not hold up the others. A delivery is taken by a conditional
    UPDATE that counts `claims` up; on PostgreSQL rows that another sender is taking are skipped.
    """
    place = func.row_number().over(
        partition_by=WebhookDelivery.webhook_id, order_by=(WebhookDelivery.due_at, WebhookDelivery.id)
    )
    due = select(WebhookDelivery.id, WebhookDelivery.due_at, place.label("place")).where(*_is_due()).subquery()
    found = select(due.c.id).where(due.c.place <= limit_per_webhook).order_by(due.c.due_at, due.c.id).limit(limit)
    ids = list(session.scalars(found))
    free = session.scalars(
        select(WebhookDelivery.id)
        .where(WebhookDelivery.id.in_(ids), *_is_due())
        .order_by(WebhookDelivery.id)
        .with_for_update(skip_locked=True)
    ).all()
    taken = session.scalars(
        update(WebhookDelivery)
        .where(WebhookDelivery.id.in_(free), *_is_due())
        .values(
            claims=WebhookDelivery.claims + 1,
            tries=WebhookDelivery.tries + 1,
            leased_until=db_now(lease_seconds),
            updated_at=db_now(),
        )
        .returning(WebhookDelivery.id),
        execution_options=UNSYNCED,
    ).all()
    rows = session.execute(
        select(
            WebhookDelivery.id, WebhookDelivery.claims, WebhookDelivery.tries, Webhook.id, Webhook.url,
            Webhook.secrets, WebhookMessage.id, WebhookMessage.body, WebhookDelivery.updated_at,
        )
        .join(Webhook, Webhook.id == WebhookDelivery.webhook_id)
        .join(WebhookMessage, WebhookMessage.id == WebhookDelivery.message_id)
        .where(WebhookDelivery.id.in_(taken))
        .order_by(WebhookDelivery.due_at, WebhookDelivery.id)
    )  # fmt: skip
    return [ClaimedDelivery(*row) for row in rows]


def record(
    session: Session, held: ClaimedDelivery, entry: dict[str, Any], *, state: str, wait_seconds: float = 0.0
) -> bool:
    """Write down one try; False where another sender has taken the delivery since, or it is gone."""
    query = select(WebhookDelivery).where(WebhookDelivery.id == held.id, WebhookDelivery.claims == held.claim)
    row = session.scalars(query.with_for_update().execution_options(populate_existing=True)).one_or_none()
    if row is None:
        return False
    values: dict[str, Any] = {"log": [*row.log, entry][-MAX_LOG:], "leased_until": None, "updated_at": db_now()}
    if row.state == "pending" or state == "delivered":
        values |= {"state": state, "due_at": db_now(wait_seconds)}
    session.execute(
        update(WebhookDelivery)
        .where(WebhookDelivery.id == held.id, WebhookDelivery.claims == held.claim)
        .values(**values),
        execution_options=UNSYNCED,
    )
    return True


def record_success(session: Session, webhook_id: str) -> None:
    """Write down that the endpoint works; touches the row only where it did not before."""
    session.execute(
        update(Webhook).where(Webhook.id == webhook_id, Webhook.failing_since.is_not(None)).values(failing_since=None),
        execution_options=UNSYNCED,
    )


def record_failure(session: Session, webhook_id: str) -> None:
    """Write down since when the endpoint fails."""
    session.execute(
        update(Webhook).where(Webhook.id == webhook_id, Webhook.failing_since.is_(None)).values(failing_since=db_now()),
        execution_options=UNSYNCED,
    )


def disable(session: Session, webhook_id: str, reason: str, *, failing_days: float | None = None) -> bool:
    """Disable an enabled webhook, with `failing_days` only if it fails for so long; False where it does not fit.

    What it still was to be sent fails with it.
    """
    guard = [Webhook.id == webhook_id, Webhook.enabled]
    if failing_days is not None:
        guard.append(Webhook.failing_since < db_now(-failing_days * DAY_SECONDS))
    disabled = session.execute(
        update(Webhook)
        .where(*guard)
        .values(enabled=False, disabled_at=db_now(), disabled_reason=reason, updated_at=db_now())
        .returning(Webhook.id),
        execution_options=UNSYNCED,
    ).one_or_none()
    if disabled is None:
        return False
    drop_pending(session, webhook_id)
    return True


def drop_pending(session: Session, webhook_id: str) -> None:
    """Let all deliveries that wait fail; each may be sent anew by hand."""
    session.execute(
        update(WebhookDelivery)
        .where(WebhookDelivery.webhook_id == webhook_id, WebhookDelivery.state == "pending")
        .values(state="failed", updated_at=db_now()),
        execution_options=UNSYNCED,
    )


def redeliver(session: Session, delivery_id: str) -> None:
    """Have a delivery sent at once, with a fresh count of tries; one that is being sent keeps its lease."""
    session.execute(
        update(WebhookDelivery)
        .where(WebhookDelivery.id == delivery_id)
        .values(state="pending", tries=0, due_at=db_now(), updated_at=db_now()),
        execution_options=UNSYNCED,
    )


def _is_old(days: float) -> ColumnElement[bool]:
    return WebhookMessage.created_at < db_now(-days * DAY_SECONDS)


def is_any_old(session: Session, days: float) -> bool:
    """Tell, without a write, whether there is a message older than `days`."""
    return session.scalar(select(WebhookMessage.id).where(_is_old(days)).limit(1)) is not None


def forget(session: Session, days: float, limit: int) -> int:
    """Remove messages older than `days` with their deliveries; return how many."""
    ids = list(session.scalars(select(WebhookMessage.id).where(_is_old(days)).limit(limit)))
    session.execute(delete(WebhookMessage).where(WebhookMessage.id.in_(ids)), execution_options=UNSYNCED)
    return len(ids)
