"""From the change of a job to the endpoint: nothing lost, nothing twice at a time, tried again, given up."""

import json
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import delete, select, text, update

from app.core.settings import Settings
from app.db.engine import Database, db_now
from app.db.tables import Job, JobEvent, Webhook, WebhookDelivery, WebhookMessage
from app.jobs import repository as jobs
from app.webhooks import delivery
from app.webhooks.delivery import MAX_TRIES, WAITS_SECONDS, Courier, retry_wait_seconds
from app.webhooks.repository import sending
from app.webhooks.schemas import WebhookChange, WebhookRequest, WebhookSecret
from app.webhooks.service import WebhookService
from app.webhooks.signing import GRACE_SECONDS
from tests.jobs import world
from tests.webhooks.receiver import Received, Receiver

PROJECT = world.PROJECT


@pytest.fixture
def courier(database: Database, allowing: Settings) -> Courier:
    return Courier(database, allowing)


def hook(webhooks: WebhookService, receiver: Receiver, *events: str) -> WebhookSecret:
    url = f"http://127.0.0.1:{receiver.port}/in"
    return webhooks.create(PROJECT, WebhookRequest.model_validate({"url": url, "events": list(events) or ["*"]}))


def verified(secret: str, request: Received) -> dict[str, Any]:
    """Return the message, as the library of the specification reads it."""
    library = pytest.importorskip("standardwebhooks", reason="standardwebhooks is not installed")
    message: dict[str, Any] = library.Webhook(secret).verify(request.body, request.headers)
    return message


def deliveries(database: Database) -> list[WebhookDelivery]:
    with database.reading() as session:
        return list(session.scalars(select(WebhookDelivery).order_by(WebhookDelivery.id)))


def the_delivery(database: Database) -> WebhookDelivery:
    (only,) = deliveries(database)
    return only


def make_due(database: Database) -> None:
    """Move the clock to where every waiting delivery is due."""
    with database.transaction() as session:
        session.execute(update(WebhookDelivery).values(due_at=db_now(-1)))


def run_out(database: Database) -> None:
    """Move the clock to where every lease is over."""
    with database.transaction() as session:
        session.execute(update(WebhookDelivery).values(leased_until=db_now(-1)))


class TestOutbox:
    def test_every_edge_is_told_with_the_job_as_it_is_then(
        self, database: Database, webhooks: WebhookService, receiver: Receiver, courier: Courier
    ) -> None:
        made = hook(webhooks, receiver)
        job_id = world.add_job(database)
        assert world.claim(database, job_id) is not None
        with database.transaction() as session:
            jobs.requeue(session, job_id, 1, charge=False)
        assert world.claim(database, job_id) is not None
        assert world.succeed(database, job_id, 2) == "mo@1"
        assert courier.deliver_due() == 6
        messages = {m["type"]: m for m in (verified(made.secret, request) for request in receiver.requests)}
        jobs_told = {kind: message["data"].get("job", {}) for kind, message in messages.items()}
        assert {kind: job.get("state") for kind, job in jobs_told.items()} == {
            "job.created": "queued", "job.started": "running", "job.requeued": "queued", "job.succeeded": "succeeded",
            "model.published": None,
        }  # fmt: skip
        job = jobs_told["job.succeeded"]
        assert (job["id"], job["model"], job["attempt"]) == (job_id, "mo@1", 2)
        assert job["metrics"]["test"] == {"accuracy": 0.9}
        assert not {"request", "resolved"} & set(job)
        model = messages["model.published"]["data"]["model"]
        assert (model["ref"], model["job"], model["recipe"]) == ("mo@1", job_id, "tabular-classification")
        for message in messages.values():
            at = datetime.fromisoformat(message["timestamp"])
            assert abs(at - datetime.now(UTC)) < timedelta(seconds=60)

    def test_the_id_of_a_jobs_message_is_the_id_of_its_event(
        self, database: Database, webhooks: WebhookService, receiver: Receiver, courier: Courier
    ) -> None:
        hook(webhooks, receiver, "job.failed")
        job_id = world.make_job(database, "failed")
        courier.deliver_due()
        with database.reading() as session:
            event = session.scalars(select(JobEvent).where(JobEvent.job_id == job_id, JobEvent.type == "failed")).one()
        (request,) = receiver.requests
        assert request.headers["webhook-id"] == event.id
        assert json.loads(request.body)["data"]["job"]["error"] == world.ERROR

    @pytest.mark.parametrize(
        ("steps", "kind"),
        [
            (lambda s, j: jobs.cancel(s, j, "none"), "job.cancelled"),
            (jobs.pause, "job.paused"),
            (lambda s, j: (jobs.pause(s, j), jobs.resume(s, j)), "job.resumed"),
        ],
    )
    def test_verbs_of_a_client_are_told_too(
        self, database: Database, webhooks: WebhookService, receiver: Receiver, courier: Courier,
        steps: Callable[[Any, str], Any], kind: str,
    ) -> None:  # fmt: skip
        hook(webhooks, receiver, kind)
        job_id = world.add_job(database)
        with database.transaction() as session:
            steps(session, job_id)
        courier.deliver_due()
        assert [json.loads(request.body)["type"] for request in receiver.requests] == [kind]

    def test_only_what_was_asked_for_is_written(
        self, database: Database, webhooks: WebhookService, receiver: Receiver
    ) -> None:
        hook(webhooks, receiver, "job.cancelled")
        world.make_job(database, "succeeded")
        assert world.count(database, WebhookMessage) == 0
        asked = [hook(webhooks, receiver, "job.failed", "job.started").id, hook(webhooks, receiver, "job.failed").id]
        off = hook(webhooks, receiver)
        webhooks.change(PROJECT, off.id, WebhookChange(enabled=False))
        world.make_job(database, "failed")
        rows = [(row.webhook_id, row.type) for row in deliveries(database)]
        expected = [(asked[0], "job.started"), *((webhook_id, "job.failed") for webhook_id in asked)]
        assert sorted(rows) == sorted(expected)
        assert world.count(database, WebhookMessage) == 2

    def test_another_project_is_told_nothing(
        self, database: Database, webhooks: WebhookService, receiver: Receiver
    ) -> None:
        hook(webhooks, receiver)
        world.add_job(database, project="other", dataset_id=world.add_dataset(database, "other"))
        assert world.count(database, WebhookMessage) == 0

    def test_what_is_rolled_back_is_not_told(
        self, database: Database, webhooks: WebhookService, receiver: Receiver
    ) -> None:
        hook(webhooks, receiver)
        job_id = world.add_job(database)
        before = world.count(database, WebhookMessage)

        def fail_after_cancel() -> None:
            with database.transaction() as session:
                jobs.cancel(session, job_id, "none")
                raise RuntimeError

        with pytest.raises(RuntimeError):
            fail_after_cancel()
        assert world.count(database, WebhookMessage) == before
        assert world.job_of(database, job_id).state == "queued"

    def test_a_move_that_does_not_happen_is_not_told(
        self, database: Database, webhooks: WebhookService, receiver: Receiver
    ) -> None:
        job_id = world.make_job(database, "succeeded")
        hook(webhooks, receiver)
        with database.transaction() as session:
            assert not jobs.fail(session, job_id, 1, error=world.ERROR)
        assert world.count(database, WebhookMessage) == 0

    def test_reports_that_are_no_edge_are_not_told(
        self, database: Database, webhooks: WebhookService, receiver: Receiver
    ) -> None:
        job_id = world.make_job(database, "running")
        hook(webhooks, receiver)
        with database.transaction() as session:
            jobs.append_event(session, job_id, 1, "note", {})
            jobs.record_metrics(session, job_id, 1, [{"epoch": 1, "step": 1, "split": "train", "values": {"loss": 1}}])
        assert world.count(database, WebhookMessage) == 0

    def test_a_webhook_that_is_deleted_meanwhile_does_not_harm_the_job(
        self, database: Database, webhooks: WebhookService, receiver: Receiver
    ) -> None:
        made = [hook(webhooks, receiver) for _ in range(20)]
        job_ids = [world.add_job(database) for _ in range(20)]
        start = threading.Barrier(2)

        def remove() -> None:
            start.wait(10)
            for webhook in made:
                webhooks.delete(PROJECT, webhook.id)

        def cancel() -> None:
            start.wait(10)
            for job_id in job_ids:
                with database.transaction() as session:
                    assert jobs.cancel(session, job_id, "none") == "cancelled"

        with ThreadPoolExecutor(2) as pool:
            for done in [pool.submit(remove), pool.submit(cancel)]:
                done.result()
        assert {world.job_of(database, job_id).state for job_id in job_ids} == {"cancelled"}
        assert world.count(database, WebhookDelivery) == 0


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


def claim(database: Database) -> list[sending.ClaimedDelivery]:
    with database.transaction() as session:
        return sending.claim(
            session, limit=delivery.BATCH, limit_per_webhook=delivery.BATCH_PER_WEBHOOK,
            lease_seconds=delivery.LEASE_SECONDS,
        )  # fmt: skip


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
