"""The types of messages, as data: one table for code, documents and tests."""

from typing import Final, Literal, get_args

EventType = Literal[
    "job.created",
    "job.started",
    "job.requeued",
    "job.paused",
    "job.resumed",
    "job.succeeded",
    "job.failed",
    "job.cancelled",
    "model.published",
]
# What a webhook may ask for; `*`: all, also those of later releases.
Subscription = Literal[
    "*",
    "job.created",
    "job.started",
    "job.requeued",
    "job.paused",
    "job.resumed",
    "job.succeeded",
    "job.failed",
    "job.cancelled",
    "model.published",
]
EVENT_TYPES: Final[frozenset[str]] = frozenset(get_args(EventType))
EVERYTHING: Final = "*"
TEST: Final = "webhook.test"
