"""Routes of webhooks."""

from typing import Annotated

from fastapi import Depends, Path, Query, Response

from app.core.http import PageDep, ProjectDep, ServicesDep, make_router
from app.webhooks.schemas import (
    Deleted,
    DeliveryList,
    DeliveryState,
    DeliveryView,
    EmptyRequest,
    WebhookChange,
    WebhookList,
    WebhookRequest,
    WebhookSecret,
    WebhookView,
)
from app.webhooks.service import WebhookService

router = make_router("/v1/webhooks", "webhooks")


async def _webhooks(services: ServicesDep) -> WebhookService:
    service: WebhookService = services.webhooks
    return service


Webhooks = Annotated[WebhookService, Depends(_webhooks)]
WebhookId = Annotated[str, Path(max_length=64, description="`wh_…`")]
DeliveryId = Annotated[str, Path(max_length=64, description="`whd_…`")]


@router.post("", status_code=201)
def create_webhook(body: WebhookRequest, project: ProjectDep, webhooks: Webhooks, response: Response) -> WebhookSecret:
    """Have messages sent to an address; the answer holds the secret, this once."""
    made = webhooks.create(project, body)
    response.headers["Location"] = f"/v1/webhooks/{made.id}"
    response.headers["Cache-Control"] = "no-store"
    return made


@router.get("")
def list_webhooks(project: ProjectDep, webhooks: Webhooks, page: PageDep) -> WebhookList:
    """List webhooks, newest first."""
    return webhooks.page(project, limit=page.limit, after=page.after, descending=page.descending)


@router.get("/{webhook_id}")
def get_webhook(webhook_id: WebhookId, project: ProjectDep, webhooks: Webhooks) -> WebhookView:
    """Return a webhook."""
    return webhooks.get(project, webhook_id)


@router.patch("/{webhook_id}")
def change_webhook(webhook_id: WebhookId, body: WebhookChange, project: ProjectDep, webhooks: Webhooks) -> WebhookView:
    """Change what is sent; `enabled: true` makes a disabled webhook work again."""
    return webhooks.change(project, webhook_id, body)


@router.delete("/{webhook_id}")
def delete_webhook(webhook_id: WebhookId, project: ProjectDep, webhooks: Webhooks) -> Deleted:
    """Remove a webhook and its deliveries."""
    return webhooks.delete(project, webhook_id)


@router.post("/{webhook_id}/rotate-secret")
def rotate_secret(
    webhook_id: WebhookId,
    project: ProjectDep,
    webhooks: Webhooks,
    response: Response,
    body: EmptyRequest | None = None,
) -> WebhookSecret:
    """Make a new secret, shown this once; for 24 hours messages are signed with the one before too."""
    response.headers["Cache-Control"] = "no-store"
    return webhooks.rotate_secret(project, webhook_id)


@router.post("/{webhook_id}/test", status_code=201)
def send_test(
    webhook_id: WebhookId,
    project: ProjectDep,
    webhooks: Webhooks,
    response: Response,
    body: EmptyRequest | None = None,
) -> DeliveryView:
    """Send a message of type `webhook.test`."""
    delivery = webhooks.send_test(project, webhook_id)
    response.headers["Location"] = f"/v1/webhooks/deliveries/{delivery.id}"
    return delivery


@router.get("/{webhook_id}/deliveries")
def list_deliveries(
    webhook_id: WebhookId,
    project: ProjectDep,
    webhooks: Webhooks,
    page: PageDep,
    state: Annotated[DeliveryState | None, Query(description="Only deliveries in this state.")] = None,
) -> DeliveryList:
    """List what was, and is to be, sent to a webhook, newest first."""
    return webhooks.deliveries(
        project, webhook_id, state=state, limit=page.limit, after=page.after, descending=page.descending
    )


@router.get("/deliveries/{delivery_id}")
def get_delivery(delivery_id: DeliveryId, project: ProjectDep, webhooks: Webhooks) -> DeliveryView:
    """Return a delivery with its tries."""
    return webhooks.delivery(project, delivery_id)


@router.post("/deliveries/{delivery_id}/redeliver")
def redeliver(
    delivery_id: DeliveryId, project: ProjectDep, webhooks: Webhooks, body: EmptyRequest | None = None
) -> DeliveryView:
    """Send a message again, under the id that it had."""
    return webhooks.redeliver(project, delivery_id)
