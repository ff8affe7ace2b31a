"""Sends what is due: claims a batch, posts it, writes down what became of each."""

import logging
import random
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx

from app import RELEASE
from app.core.clock import to_rfc3339
from app.core.settings import Settings
from app.db.engine import Database
from app.webhooks.addresses import Allowed, Resolver, UrlRefused, parse_url, system_resolver
from app.webhooks.repository import sending
from app.webhooks.repository.sending import ClaimedDelivery
from app.webhooks.sender import Outcome, send
from app.webhooks.signing import signed_headers

# Seconds to wait after the first, second … failed try: 8 tries over 28 hours, then the delivery has failed.
WAITS_SECONDS = (5.0, 300.0, 1800.0, 7200.0, 18000.0, 36000.0, 36000.0)
MAX_TRIES = len(WAITS_SECONDS) + 1
BATCH = 16
BATCH_PER_WEBHOOK = 4
ROUND_SECONDS = 2.0
# A batch is sent at once, each in at most 5 s: far inside the lease.
LEASE_SECONDS = 60.0
FORGET_BATCH = 100
GONE = 410

_log = logging.getLogger("trainyard.webhooks")


class Courier:
    """Delivers webhooks of all projects; any number of processes may do so at a time."""

    def __init__(
        self,
        database: Database,
        settings: Settings,
        *,
        resolver: Resolver = system_resolver,
        stopping: threading.Event | None = None,
    ) -> None:
        self._database = database
        self._settings = settings
        self._allowed = Allowed.parse(settings.webhook_allow)
        self._resolver = resolver
        self._stopping = stopping or threading.Event()
        # SSL_CERT_FILE and SSL_CERT_DIR name authorities of one's own, as for every client of this library.
        self._tls = httpx.create_ssl_context()

    def deliver_due(self) -> int:
        """Send what is due, for about `ROUND_SECONDS`; return how many tries were made.

        Raise DatabaseUnavailable when the database does not answer: what was sent and could not be written
        down is sent again when its lease is over, under the same id.
        """
        until = time.monotonic() + ROUND_SECONDS
        tries = 0
        while not self._stopping.is_set():
            held = self._claim()
            if held:
                with ThreadPoolExecutor(len(held), thread_name_prefix="webhook") as pool:
                    # Written down from this thread alone: it needs one connection, whatever the batch.
                    for sent, outcome in zip(held, pool.map(self._send, held), strict=True):
                        self._record(sent, outcome)
            tries += len(held)
            if not held or time.monotonic() > until:
                break
        self._forget()
        return tries

    def _claim(self) -> list[ClaimedDelivery]:
        with self._database.reading() as session:
            if not sending.is_any_due(session):
                return []
        with self._database.transaction() as session:
            return sending.claim(session, limit=BATCH, limit_per_webhook=BATCH_PER_WEBHOOK, lease_seconds=LEASE_SECONDS)

    def _record(self, held: ClaimedDelivery, outcome: Outcome) -> None:
        entry: dict[str, Any] = {
            "at": to_rfc3339(held.now),
            "status": outcome.status,
            "duration_ms": outcome.duration_ms,
            "error": outcome.error,
        }
        is_last = held.tries >= MAX_TRIES
        state = "delivered" if outcome.delivered else "failed" if is_last else "pending"
        wait_seconds = (
            0.0 if outcome.delivered or is_last else retry_wait_seconds(held.tries, outcome.retry_after_seconds)
        )
        with self._database.transaction() as session:
            kept = sending.record(session, held, entry, state=state, wait_seconds=wait_seconds)
        if kept:
            self._judge(held, outcome)

    def _send(self, held: ClaimedDelivery) -> Outcome:
        body = held.body.encode()
        try:
            target = parse_url(held.url, self._allowed)
        except UrlRefused as refused:  # the setting is another one than when the webhook was made
            return Outcome(None, str(refused), 0)
        headers = signed_headers(valid_secrets(held), held.message_id, int(held.now.timestamp()), body)
        headers |= {"Content-Type": "application/json", "User-Agent": f"Trainyard/{RELEASE}"}
        return send(target, headers, body, resolver=self._resolver, tls=self._tls)

    def _judge(self, held: ClaimedDelivery, outcome: Outcome) -> None:
        """Note whether the endpoint works, and disable one that is gone or has failed for days.

        In a transaction of its own, which takes the webhook before its deliveries, as all do that take both.
        """
        days = self._settings.webhook_disable_days
        with self._database.transaction() as session:
            if outcome.delivered:
                sending.record_success(session, held.webhook_id)
                return
            sending.record_failure(session, held.webhook_id)
            if outcome.status == GONE:
                disabled = sending.disable(session, held.webhook_id, "the endpoint answered 410 Gone")
            else:
                reason = f"no delivery has succeeded for {days:g} days; the last error: {outcome.error}"
                disabled = sending.disable(session, held.webhook_id, reason, failing_days=days)
        if disabled:
            _log.warning("webhook disabled", extra={"webhook": held.webhook_id, "status": outcome.status})

    def _forget(self) -> None:
        days = self._settings.retain_deliveries_days
        with self._database.reading() as session:
            if not sending.is_any_old(session, days):
                return
        with self._database.transaction() as session:
            sending.forget(session, days, FORGET_BATCH)


def retry_wait_seconds(tries: int, asked_seconds: float | None = None) -> float:
    """Return how long to wait after `tries` failed tries, up to a tenth more than `WAITS_SECONDS`.

    So what failed together is not sent again in the same moment. An endpoint that asked for more (`Retry-After`)
    gets it, up to the longest of these pauses: it must not make a delivery wait for ever.
    """
    wait = max(WAITS_SECONDS[tries - 1], min(asked_seconds or 0.0, max(WAITS_SECONDS)))
    return wait * random.uniform(1.0, 1.1)  # noqa: S311  (spreads the tries, keeps no secret)


def valid_secrets(held: ClaimedDelivery) -> list[str]:
    """Return the secrets that sign at the time of the claim, newest first."""
    now = held.now.timestamp()
    return [kept["secret"] for kept in held.secrets if kept["expires_at"] is None or kept["expires_at"] > now]
