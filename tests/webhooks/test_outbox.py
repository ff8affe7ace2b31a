"""A change of a job is told in the transaction that makes it true, and nothing else is."""

import json
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import select

from app.db.engine import Database
from app.db.tables import JobEvent, WebhookDelivery, WebhookMessage
from app.jobs import repository as jobs
from app.webhooks.delivery import Courier
from app.webhooks.schemas import WebhookChange
from app.webhooks.service import WebhookService
from tests.jobs import world
from tests.webhooks.receiver import Receiver
from tests.webhooks.world import PROJECT, deliveries, hook, verified


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
        error = json.loads(request.body)["data"]["job"]["error"]
        assert error == world.job_of(database, job_id).error
        assert error["code"] == world.ERROR["code"]

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
