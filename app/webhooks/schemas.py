"""What the routes of webhooks take and give."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from app.recipes.request import Request
from app.webhooks.addresses import MAX_URL_CHARS
from app.webhooks.types import Subscription

Url = Annotated[
    str,
    Field(
        min_length=1,
        max_length=MAX_URL_CHARS,
        description="`https://…`, port 443, of a public address.",
        examples=["https://hooks.example.com/jobs"],
    ),
]
Events = Annotated[
    list[Subscription],
    Field(min_length=1, max_length=32, description="Types of messages to send; `*`: all, also those to come."),
]
Description = Annotated[str, Field(max_length=255)]
DeliveryState = Literal["pending", "delivered", "failed"]


class WebhookRequest(Request):
    """The body of `POST /v1/webhooks`."""

    url: Url
    events: Events
    description: Description | None = None
    enabled: bool = True


def _without_default(schema: dict[str, Any]) -> None:
    """A field that was not sent stays as it is: it has no default that a client should know."""
    schema.pop("default", None)


class WebhookChange(Request):
    """The body of `PATCH /v1/webhooks/{id}`: what is not sent stays."""

    url: Url = Field("", json_schema_extra=_without_default)
    events: Events = Field(default_factory=list)
    description: Description | None = None
    enabled: bool = Field(
        True, json_schema_extra=_without_default, description="`true` makes a disabled webhook work again."
    )

    @field_validator("url", "events", "enabled", mode="before")
    @classmethod
    def _not_null(cls, value: object) -> object:
        if value is None:
            raise ValueError("send a value, or leave the field out")
        return value


class EmptyRequest(Request):
    """A body without fields."""


class Answer(BaseModel):
    """Base of answers: every field is there, null where there is nothing."""

    model_config = ConfigDict(extra="forbid")


class WebhookView(Answer):
    """A webhook, without its secret."""

    id: str
    object: Literal["webhook"] = "webhook"
    url: str
    events: list[str]
    description: str | None
    enabled: bool
    disabled_at: str | None
    disabled_reason: str | None = Field(description="Why it is not enabled.")
    failing_since: str | None = Field(description="The first failed try after the last delivery that succeeded.")
    created_at: str
    updated_at: str


class WebhookSecret(WebhookView):
    """A webhook with its new secret, which is not shown again."""

    secret: str = Field(description="`whsec_…`; keep it, it is not shown again.")
    previous_secret_expires_at: str | None = Field(description="Until when the secret before signs too.")


class TryView(Answer):
    """One try to deliver."""

    at: str
    status: int | None = Field(description="What the endpoint answered; null: nothing.")
    duration_ms: int
    error: str | None


class DeliveryView(Answer):
    """A message on its way to a webhook."""

    id: str
    object: Literal["webhook.delivery"] = "webhook.delivery"
    webhook: str
    message: str = Field(description="`webhook-id`, the same at every try.")
    type: str
    state: DeliveryState
    tries: int = Field(description="Since it was queued, or sent anew by hand.")
    next_try_at: str | None
    log: list[TryView] = Field(description="The last 50 tries, oldest first.")
    created_at: str
    updated_at: str


class Deleted(Answer):
    """What was deleted."""

    id: str
    object: Literal["webhook"] = "webhook"
    deleted: Literal[True] = True


class _Listing(Answer):
    object: Literal["list"] = "list"
    first_id: str | None
    last_id: str | None
    has_more: bool


class WebhookList(_Listing):
    """A page of webhooks."""

    data: list[WebhookView]


class DeliveryList(_Listing):
    """A page of deliveries."""

    data: list[DeliveryView]
