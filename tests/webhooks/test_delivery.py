"""To the endpoint: nothing lost, nothing twice at a time, tried again, given up."""

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from sqlalchemy import select, text

from app.core.settings import Settings
from app.db.engine import Database
from app.db.tables import WebhookMessage
from app.webhooks import delivery
from app.webhooks.delivery import MAX_TRIES, WAITS_SECONDS, Courier, retry_wait_seconds
from app.webhooks.repository import sending
from app.webhooks.service import WebhookService
from tests.jobs import world
from tests.webhooks.receiver import Receiver
from tests.webhooks.world import claim, deliveries, hook, make_due, run_out, the_delivery, verified


class TestTries:
    def test_a_failed_try_is_made_again_under_the_same_id_with_a_new_time(
        self, database: Database, webhooks: WebhookService, receiver: Receiver, courier: Courier
    ) -> None:
        made = hook(webhooks, receiver, "job.created")
        receiver.answers += [(500, {}), (503, {"Retry-After": "1"})]
        world.add_job(database)
        assert courier.deliver_due() == 1
        waiting = the_delivery(database)
        assert (waiting.state, waiting.tries, waiting.leased_until) == ("pending", 1, None)
        assert courier.deliver_due() == 0  # not due yet
        make_due(database)
        assert courier.deliver_due() == 1
        make_due(database)
        assert courier.deliver_due() == 1
        assert courier.deliver_due() == 0
        done = the_delivery(database)
        assert (done.state, done.tries) == ("delivered", 3)
        assert [(entry["status"], entry["error"]) for entry in done.log] == [
            (500, "the endpoint answered 500"), (503, "the endpoint answered 503"), (204, None),
        ]  # fmt: skip
        assert len({request.headers["webhook-id"] for request in receiver.requests}) == 1
        assert len({request.body for request in receiver.requests}) == 1
        for request in receiver.requests:
            assert verified(made.secret, request)["type"] == "job.created"
            assert abs(int(request.headers["webhook-timestamp"]) - datetime.now(UTC).timestamp()) < 60

    def test_the_waits_grow_over_a_day(self) -> None:
        assert WAITS_SECONDS[:6] == (5, 300, 1800, 7200, 18000, 36000)
        assert MAX_TRIES == 8
        assert 24 * 3600 <= sum(WAITS_SECONDS) <= 30 * 3600
        for tries, wait_seconds in enumerate(WAITS_SECONDS, 1):
            drawn = {retry_wait_seconds(tries) for _ in range(20)}
            assert len(drawn) > 1
            assert all(wait_seconds <= one <= wait_seconds * 1.1 for one in drawn)

    def test_the_wait_is_the_one_of_its_try(
        self, database: Database, webhooks: WebhookService, receiver: Receiver, courier: Courier
    ) -> None:
        hook(webhooks, receiver, "job.created")
        receiver.answers += [(500, {})] * MAX_TRIES
        world.add_job(database)
        for wait_seconds in WAITS_SECONDS:
            courier.deliver_due()
            row = the_delivery(database)
            waits = (row.due_at - row.updated_at).total_seconds()
            assert wait_seconds - 0.1 <= waits <= wait_seconds * 1.1 + 0.1
            make_due(database)
        courier.deliver_due()
        last = the_delivery(database)
        assert (last.state, last.tries, len(last.log)) == ("failed", MAX_TRIES, MAX_TRIES)
        make_due(database)
        assert courier.deliver_due() == 0

    @pytest.mark.parametrize(
        ("asked", "least", "most"),
        [
            ("600", 600, 600),
            ("2", 5, 5),  # never sooner than by our own schedule
            ("99999999999999", 36000, 36000),
            ("soon", 5, 5),
            (None, 5, 5),
            ("date", 898, 901),
        ],
    )
    def test_an_endpoint_that_asks_for_time_gets_it(
        self,
        database: Database,
        webhooks: WebhookService,
        receiver: Receiver,
        courier: Courier,
        asked: str | None,
        least: float,
        most: float,
    ) -> None:
        if asked == "date":
            asked = format_datetime(datetime.now(UTC) + timedelta(seconds=900), usegmt=True)
        hook(webhooks, receiver, "job.created")
        receiver.answers += [(503, {} if asked is None else {"Retry-After": asked})]
        world.add_job(database)
        courier.deliver_due()
        row = the_delivery(database)
        assert least - 0.1 <= (row.due_at - row.updated_at).total_seconds() <= most * 1.1 + 0.1

    def test_a_sender_that_dies_leaves_its_lease_and_then_another_sends(
        self, database: Database, webhooks: WebhookService, receiver: Receiver, courier: Courier
    ) -> None:
        hook(webhooks, receiver, "job.created")
        world.add_job(database)
        dead = claim(database)
        assert len(dead) == 1
        assert courier.deliver_due() == 0
        run_out(database)
        assert courier.deliver_due() == 1
        assert the_delivery(database).state == "delivered"
        entry = {"at": "x", "status": 500, "duration_ms": 1, "error": "late"}
        with database.transaction() as session:  # it was not dead but slow: what it has to say is too late
            assert not sending.record(session, dead[0], entry, state="pending", wait_seconds=0)
        assert the_delivery(database).state == "delivered"
        assert len(the_delivery(database).log) == 1

    def test_many_senders_send_each_delivery_once(
        self, database: Database, webhooks: WebhookService, receiver: Receiver, allowing: Settings
    ) -> None:
        hook(webhooks, receiver, "job.created")
        hook(webhooks, receiver, "job.created")
        dataset_id = world.add_dataset(database)
        for _ in range(12):
            world.add_job(database, dataset_id)
        couriers = [Courier(Database(str(database.url.render_as_string(False))), allowing) for _ in range(4)]
        start = threading.Barrier(len(couriers))

        def deliver(courier: Courier) -> int:
            start.wait(10)
            return sum(courier.deliver_due() for _ in range(4))

        with ThreadPoolExecutor(len(couriers)) as pool:
            tries = sum(pool.map(deliver, couriers))
        for courier in couriers:
            courier._database.close()
        assert tries == len(receiver.requests) == 24
        assert {(row.state, row.tries, row.claims) for row in deliveries(database)} == {("delivered", 1, 1)}

    def test_a_slow_endpoint_with_a_long_queue_does_not_hold_up_the_others(
        self, database: Database, webhooks: WebhookService, receiver: Receiver
    ) -> None:
        slow = hook(webhooks, receiver, "job.created")
        dataset_id = world.add_dataset(database)
        for _ in range(30):
            world.add_job(database, dataset_id)
        other = hook(webhooks, receiver, "job.created")
        world.add_job(database, dataset_id)
        taken = claim(database)
        per_webhook = [sum(one.webhook_id == made.id for one in taken) for made in (slow, other)]
        assert per_webhook == [delivery.BATCH_PER_WEBHOOK, 1]

    def test_messages_past_their_time_are_forgotten(
        self, database: Database, webhooks: WebhookService, receiver: Receiver, courier: Courier
    ) -> None:
        hook(webhooks, receiver, "job.created")
        old, new = world.add_job(database), world.add_job(database)
        with database.transaction() as session:
            session.execute(
                text("UPDATE webhook_messages SET created_at = :at WHERE body LIKE :job"),
                {"at": "2020-01-01 00:00:00.000000", "job": f"%{old}%"},
            )
        courier.deliver_due()
        with database.reading() as session:
            bodies = list(session.scalars(select(WebhookMessage.body)))
        assert len(bodies) == len(deliveries(database)) == 1
        assert new in bodies[0]
