"""What a client does with webhooks."""

from datetime import UTC, datetime
from typing import Any

from app.core.clock import to_rfc3339
from app.core.errors import Conflict, NotFound, Unprocessable
from app.core.ids import created_id
from app.core.settings import Settings
from app.db.engine import Database
from app.db.tables import Webhook, WebhookDelivery
from app.webhooks.addresses import Allowed, HostUnknown, Resolver, UrlRefused, addresses_of, parse_url, system_resolver
from app.webhooks.repository import endpoints, outbox, sending
from app.webhooks.schemas import (
    Deleted,
    DeliveryList,
    DeliveryView,
    TryView,
    WebhookChange,
    WebhookList,
    WebhookRequest,
    WebhookSecret,
    WebhookView,
)
from app.webhooks.signing import GRACE_SECONDS, new_secret
from app.webhooks.types import TEST

MAX_WEBHOOKS = 100  # of a project: every event is written once for each
MAX_SECRETS = 5  # that sign at a time
RESOLVE_SECONDS = 2.0


class WebhookService:
    """Keeps the webhooks of a project, and shows what was sent to them."""

    def __init__(self, database: Database, settings: Settings, resolver: Resolver = system_resolver) -> None:
        self.database = database
        self._allowed = Allowed.parse(settings.webhook_allow)
        self._resolver = resolver

    def create(self, project: str, request: WebhookRequest) -> WebhookSecret:
        """Make a webhook; its secret is in this answer and in no other."""
        self._check_url(request.url)
        webhook_id, secret = created_id("wh"), new_secret()
        with self.database.transaction() as session:
            if endpoints.count(session, project) >= MAX_WEBHOOKS:
                raise Conflict(f"There are {MAX_WEBHOOKS} webhooks; delete one first.", code="webhook_limit")
            endpoints.create(
                session, project, webhook_id, url=request.url, events=list(dict.fromkeys(request.events)),
                description=request.description, enabled=request.enabled, secret=secret,
            )  # fmt: skip
            row = self._require(session, project, webhook_id)
        return _with_secret(row, secret, None)

    def get(self, project: str, webhook_id: str) -> WebhookView:
        """Return a webhook."""
        with self.database.reading() as session:
            return _view(self._require(session, project, webhook_id))

    def page(self, project: str, *, limit: int, after: str | None, descending: bool) -> WebhookList:
        """Return a page of webhooks."""
        with self.database.reading() as session:
            rows, has_more = endpoints.page(session, project, limit=limit, after=after, descending=descending)
        return WebhookList(data=[_view(row) for row in rows], has_more=has_more, **_ends([row.id for row in rows]))

    def change(self, project: str, webhook_id: str, change: WebhookChange) -> WebhookView:
        """Write over the fields that were sent; `enabled: false` lets what waits fail."""
        values: dict[str, Any] = change.model_dump(exclude_unset=True)
        if "url" in values:
            self._check_url(change.url)
        if "events" in values:
            values["events"] = list(dict.fromkeys(change.events))
        with self.database.transaction() as session:
            row = self._require(session, project, webhook_id, lock=True)
            if values.get("enabled", row.enabled) != row.enabled:
                now = endpoints.read_clock(session)
                off = {"disabled_at": now, "disabled_reason": "disabled by request"}
                values |= (
                    {"disabled_at": None, "disabled_reason": None, "failing_since": None} if change.enabled else off
                )
            if values:
                endpoints.change(session, webhook_id, values)
            if values.get("enabled") is False:
                sending.drop_pending(session, webhook_id)
            return _view(self._require(session, project, webhook_id))

    def delete(self, project: str, webhook_id: str) -> Deleted:
        """Remove a webhook with its deliveries; nothing is sent to it from now on."""
        with self.database.transaction() as session:
            if not endpoints.remove(session, project, webhook_id):
                raise _not_found(webhook_id)
        return Deleted(id=webhook_id)

    def rotate_secret(self, project: str, webhook_id: str) -> WebhookSecret:
        """Give a webhook a new secret; those before go on signing beside it for a day."""
        secret = new_secret()
        with self.database.transaction() as session:
            self._require(session, project, webhook_id, lock=True)
            now = endpoints.read_clock(session).timestamp()
            kept = [
                {**old, "expires_at": old["expires_at"] or now + GRACE_SECONDS}
                for old in endpoints.read_secrets(session, webhook_id)
                if old["expires_at"] is None or old["expires_at"] > now
            ][: MAX_SECRETS - 1]
            secrets = [{"secret": secret, "expires_at": None}, *kept]
            endpoints.change(session, webhook_id, {"secrets": secrets})
            row = self._require(session, project, webhook_id)
        return _with_secret(row, secret, kept[0]["expires_at"])

    def send_test(self, project: str, webhook_id: str) -> DeliveryView:
        """Queue a message of type `webhook.test` for this webhook, whatever it asked for."""
        with self.database.transaction() as session:
            _require_enabled(self._require(session, project, webhook_id, lock=True))
            (delivery_id,) = outbox.enqueue(session, project, TEST, {"webhook": webhook_id}, [webhook_id])
            return _delivery_view(self._require_delivery(session, project, delivery_id))

    def deliveries(
        self, project: str, webhook_id: str, *, state: str | None, limit: int, after: str | None, descending: bool
    ) -> DeliveryList:
        """Return a page of what was, and is to be, sent to a webhook."""
        with self.database.reading() as session:
            self._require(session, project, webhook_id)
            rows, has_more = endpoints.list_deliveries(
                session, webhook_id, state=state, limit=limit, after=after, descending=descending
            )
        ends = _ends([row.id for row in rows])
        return DeliveryList(data=[_delivery_view(row) for row in rows], has_more=has_more, **ends)

    def delivery(self, project: str, delivery_id: str) -> DeliveryView:
        """Return a delivery."""
        with self.database.reading() as session:
            return _delivery_view(self._require_delivery(session, project, delivery_id))

    def redeliver(self, project: str, delivery_id: str) -> DeliveryView:
        """Send a message again, under the id that it had, with a fresh count of tries."""
        with self.database.transaction() as session:
            webhook_id = self._require_delivery(session, project, delivery_id).webhook_id
            _require_enabled(self._require(session, project, webhook_id, lock=True))
            sending.redeliver(session, delivery_id)
            return _delivery_view(self._require_delivery(session, project, delivery_id))

    def _check_url(self, url: str) -> None:
        try:
            addresses_of(parse_url(url, self._allowed), self._resolver, RESOLVE_SECONDS)
        except HostUnknown:
            return  # it may be resolved by the time there is something to send, and is checked then in any case
        except UrlRefused as refused:
            raise Unprocessable(f"url: {refused}.", code="webhook_url_refused", param="url") from None

    def _require(self, session: Any, project: str, webhook_id: str, *, lock: bool = False) -> Webhook:
        row = endpoints.get(session, project, webhook_id, lock=lock)
        if row is None:
            raise _not_found(webhook_id)
        return row

    def _require_delivery(self, session: Any, project: str, delivery_id: str) -> WebhookDelivery:
        row = endpoints.get_delivery(session, project, delivery_id)
        if row is None:
            message = f"There is no delivery {delivery_id[:64]!r}."
            raise NotFound(message, code="delivery_not_found", param="delivery")
        return row


def _require_enabled(row: Webhook) -> None:
    if not row.enabled:
        raise Conflict(
            f"Webhook {row.id} is disabled: {row.disabled_reason}. Enable it first.", code="webhook_disabled"
        )


def _not_found(webhook_id: str) -> NotFound:
    return NotFound(f"There is no webhook {webhook_id[:64]!r}.", code="webhook_not_found", param="webhook")


def _view(row: Webhook) -> WebhookView:
    return WebhookView(
        id=row.id,
        url=row.url,
        events=row.events,
        description=row.description,
        enabled=row.enabled,
        disabled_at=to_rfc3339(row.disabled_at),
        disabled_reason=row.disabled_reason,
        failing_since=to_rfc3339(row.failing_since),
        created_at=to_rfc3339(row.created_at) or "",
        updated_at=to_rfc3339(row.updated_at) or "",
    )


def _with_secret(row: Webhook, secret: str, previous_expires_at: float | None) -> WebhookSecret:
    until = None if previous_expires_at is None else datetime.fromtimestamp(previous_expires_at, UTC)
    return WebhookSecret(**_view(row).model_dump(), secret=secret, previous_secret_expires_at=to_rfc3339(until))


def _delivery_view(row: WebhookDelivery) -> DeliveryView:
    return DeliveryView(
        id=row.id,
        webhook=row.webhook_id,
        message=row.message_id,
        type=row.type,
        state=row.state,
        tries=row.tries,
        next_try_at=to_rfc3339(row.due_at) if row.state == "pending" else None,
        log=[TryView(**entry) for entry in row.log],
        created_at=to_rfc3339(row.created_at) or "",
        updated_at=to_rfc3339(row.updated_at) or "",
    )


def _ends(ids: list[str]) -> dict[str, str | None]:
    return {"first_id": ids[0] if ids else None, "last_id": ids[-1] if ids else None}
