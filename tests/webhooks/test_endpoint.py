"""Endpoints that fail, are gone, move inside, or have a new secret."""

import json
import threading
from datetime import UTC, datetime

from sqlalchemy import delete, select, update

from app.core.settings import Settings
from app.db.engine import Database, db_now
from app.db.tables import Job, Webhook
from app.webhooks.delivery import Courier
from app.webhooks.schemas import WebhookChange, WebhookRequest
from app.webhooks.service import WebhookService
from app.webhooks.signing import GRACE_SECONDS
from tests.jobs import world
from tests.webhooks.receiver import Receiver
from tests.webhooks.world import PROJECT, deliveries, hook, make_due, the_delivery, verified


class TestEndpoint:
    def test_one_that_fails_for_days_is_disabled_and_says_so(
        self, database: Database, webhooks: WebhookService, receiver: Receiver, courier: Courier
    ) -> None:
        made = hook(webhooks, receiver, "job.created")
        receiver.answers += [(500, {})] * 3
        world.add_job(database)
        courier.deliver_due()
        failing = webhooks.get(PROJECT, made.id)
        assert failing.enabled
        assert failing.failing_since is not None
        with database.transaction() as session:
            session.execute(update(Webhook).values(failing_since=db_now(-4.9 * 86_400)))
        make_due(database)
        courier.deliver_due()
        assert webhooks.get(PROJECT, made.id).enabled
        with database.transaction() as session:
            session.execute(update(Webhook).values(failing_since=db_now(-5.1 * 86_400)))
        make_due(database)
        courier.deliver_due()
        disabled = webhooks.get(PROJECT, made.id)
        assert not disabled.enabled
        assert disabled.disabled_at is not None
        assert disabled.disabled_reason == (
            "no delivery has succeeded for 5 days; the last error: the endpoint answered 500"
        )
        assert the_delivery(database).state == "failed"
        world.add_job(database)
        assert len(deliveries(database)) == 1
        again = webhooks.change(PROJECT, made.id, WebhookChange(enabled=True))
        assert (again.enabled, again.disabled_at, again.disabled_reason, again.failing_since) == (
            True,
            None,
            None,
            None,
        )
        world.add_job(database)
        assert courier.deliver_due() == 1
        assert deliveries(database)[-1].state == "delivered"

    def test_a_success_ends_the_count_of_days(
        self, database: Database, webhooks: WebhookService, receiver: Receiver, courier: Courier
    ) -> None:
        made = hook(webhooks, receiver, "job.created")
        receiver.answers.append((500, {}))
        world.add_job(database)
        courier.deliver_due()
        with database.transaction() as session:
            session.execute(update(Webhook).values(failing_since=db_now(-4 * 86_400)))
        make_due(database)
        courier.deliver_due()
        works = webhooks.get(PROJECT, made.id)
        assert (works.enabled, works.failing_since) == (True, None)

    def test_one_that_is_gone_is_disabled_at_once(
        self, database: Database, webhooks: WebhookService, receiver: Receiver, courier: Courier
    ) -> None:
        made = hook(webhooks, receiver, "job.created")
        receiver.answers.append((410, {}))
        world.add_job(database)
        courier.deliver_due()
        gone = webhooks.get(PROJECT, made.id)
        assert (gone.enabled, gone.disabled_reason) == (False, "the endpoint answered 410 Gone")
        assert the_delivery(database).state == "failed"

    def test_a_rotated_secret_signs_for_a_day_beside_the_new_one(
        self, database: Database, webhooks: WebhookService, receiver: Receiver, courier: Courier
    ) -> None:
        made = hook(webhooks, receiver, "job.created")
        second = webhooks.rotate_secret(PROJECT, made.id)
        third = webhooks.rotate_secret(PROJECT, made.id)  # the answer to the second was lost: nobody is cut off
        assert len({made.secret, second.secret, third.secret}) == 3
        assert third.previous_secret_expires_at is not None
        until = datetime.fromisoformat(third.previous_secret_expires_at) - datetime.now(UTC)
        assert abs(until.total_seconds() - GRACE_SECONDS) < 60
        world.add_job(database)
        courier.deliver_due()
        assert len(receiver.requests[0].headers["webhook-signature"].split(" ")) == 3
        for secret in (made.secret, second.secret, third.secret):
            assert verified(secret, receiver.requests[0])["type"] == "job.created"
        with database.transaction() as session:
            secrets = session.scalars(select(Webhook.secrets)).one()
            over = [{**one, "expires_at": one["expires_at"] and 1.0} for one in secrets]
            session.execute(update(Webhook).values(secrets=over))
        world.add_job(database)
        courier.deliver_due()
        assert " " not in receiver.requests[1].headers["webhook-signature"]
        assert verified(third.secret, receiver.requests[1])["type"] == "job.created"

    def test_what_a_url_means_is_looked_at_again_before_each_try(
        self, database: Database, webhooks: WebhookService, receiver: Receiver, settings: Settings
    ) -> None:
        hook(webhooks, receiver, "job.created")
        world.add_job(database)
        assert Courier(database, settings).deliver_due() == 1  # these settings allow no loopback
        (entry,) = the_delivery(database).log
        assert entry["status"] is None
        assert entry["error"].startswith("only https is allowed")
        assert receiver.requests == []

    def test_a_name_that_was_public_when_the_webhook_was_made_is_not_reached_inside(
        self, database: Database, settings: Settings, receiver: Receiver
    ) -> None:
        answers = iter([["8.8.8.8"], ["127.0.0.1"], ["8.8.8.8", "169.254.169.254"]])
        webhooks = WebhookService(database, settings, lambda _host, _port: next(answers))
        webhooks.create(PROJECT, WebhookRequest(url="https://rebind.example.com/", events=["job.created"]))
        world.add_job(database)
        courier = Courier(database, settings, resolver=lambda _host, _port: next(answers))
        for tries in (1, 2):
            assert courier.deliver_due() == 1
            assert the_delivery(database).log[tries - 1]["error"] == (
                "the host resolves to an address that is not allowed"
            )
            make_due(database)

    def test_a_job_that_is_gone_is_still_told(
        self, database: Database, webhooks: WebhookService, receiver: Receiver, courier: Courier
    ) -> None:
        hook(webhooks, receiver, "job.cancelled")
        job_id = world.make_job(database, "cancelled")
        with database.transaction() as session:
            session.execute(delete(Job).where(Job.id == job_id))
        courier.deliver_due()
        assert json.loads(receiver.requests[0].body)["data"]["job"]["id"] == job_id

    def test_a_courier_that_is_to_stop_takes_nothing(
        self, database: Database, webhooks: WebhookService, receiver: Receiver, allowing: Settings
    ) -> None:
        hook(webhooks, receiver, "job.created")
        world.add_job(database)
        stopping = threading.Event()
        stopping.set()
        assert Courier(database, allowing, stopping=stopping).deliver_due() == 0
        assert the_delivery(database).claims == 0
