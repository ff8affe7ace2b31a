"""The routes of webhooks, over the whole application."""

import asyncio
import json
import logging
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import httpx
import pytest

from app.core.logging import JsonFormatter
from app.core.settings import Settings
from app.db.migrate import migrate
from app.jobs.states import EDGES
from app.main import Trainyard, create_app
from app.webhooks.delivery import Courier
from app.webhooks.schemas import WebhookRequest
from app.webhooks.service import MAX_WEBHOOKS
from app.webhooks.types import EVENT_TYPES, EVERYTHING, EventType, Subscription
from tests.jobs import world
from tests.webhooks.receiver import Receiver

Call = Callable[..., httpx.Response]
URL = "https://hooks.example.com/jobs?token=a"


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(home=tmp_path / "home", min_free_bytes=0, log_level="INFO", webhook_allow="loopback")


@pytest.fixture
def app(settings: Settings) -> Trainyard:
    app = create_app(settings)
    app.services.webhooks._resolver = lambda host, _port: ["10.0.0.1"] if "inside" in host else []
    migrate(app.services.database)
    return app


@pytest.fixture
def call(app: Trainyard) -> Call:
    def send(method: str, path: str, **options: Any) -> httpx.Response:
        async def once() -> httpx.Response:
            transport = httpx.ASGITransport(app, raise_app_exceptions=False)  # type: ignore[arg-type]
            async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
                return await client.request(method, path, **options)

        return asyncio.run(once())

    return send


def create(call: Call, **fields: Any) -> dict[str, Any]:
    answer = call("POST", "/v1/webhooks", json={"url": URL, "events": ["job.succeeded"], **fields})
    assert answer.status_code == 201, answer.text
    body: dict[str, Any] = answer.json()
    assert answer.headers["location"] == f"/v1/webhooks/{body['id']}"
    assert answer.headers["cache-control"] == "no-store"
    return body


def error_of(answer: httpx.Response) -> tuple[int, str, str | None]:
    error = answer.json()["error"]
    return answer.status_code, error["code"], error["param"]


def test_every_edge_of_a_job_has_a_type_and_every_subscription_is_one() -> None:
    targets = {target for _, target in EDGES} - {"running", "queued"}
    assert {f"job.{target}" for target in targets} | {"job.started", "job.requeued", "job.resumed"} <= EVENT_TYPES
    assert set(get_args(Subscription)) == {*get_args(EventType), EVERYTHING}


def test_the_secret_is_shown_once(call: Call) -> None:
    made = create(call, description="mine")
    secret = made.pop("secret")
    assert secret.startswith("whsec_")
    assert made.pop("previous_secret_expires_at") is None
    assert made["id"].startswith("wh_")
    assert (made["object"], made["url"], made["events"], made["description"], made["enabled"]) == (
        "webhook", URL, ["job.succeeded"], "mine", True,
    )  # fmt: skip
    got = call("GET", f"/v1/webhooks/{made['id']}")
    assert got.json() == made
    assert call("GET", f"/v1/webhooks/{made['id']}", headers={"If-None-Match": got.headers["etag"]}).status_code == 304
    changed = call("PATCH", f"/v1/webhooks/{made['id']}", json={"description": None})
    for answer in (got, changed, call("GET", "/v1/webhooks")):
        assert answer.status_code == 200
        assert "whsec_" not in answer.text
        assert "secret" not in answer.text
    rotated = call("POST", f"/v1/webhooks/{made['id']}/rotate-secret")
    assert rotated.status_code == 200
    assert rotated.headers["cache-control"] == "no-store"
    assert rotated.json()["secret"] not in (secret, "")
    assert rotated.json()["previous_secret_expires_at"].endswith("Z")


def test_no_log_line_and_no_message_holds_a_secret_or_the_url(
    app: Trainyard, call: Call, settings: Settings, receiver: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    made = create(call, url=f"http://127.0.0.1:{receiver.port}/hook?token=hidden", events=["*"])
    rotated = call("POST", f"/v1/webhooks/{made['id']}/rotate-secret").json()
    call("POST", f"/v1/webhooks/{made['id']}/test")
    receiver.answers.append((410, {}))
    job_id = world.add_job(app.services.database)
    Courier(app.services.database, settings).deliver_due()
    lines = "\n".join(
        JsonFormatter().format(record) for record in caplog.records if record.name.startswith("trainyard")
    )
    assert "webhook disabled" in lines
    sent = "\n".join(request.body.decode() for request in receiver.requests)
    events = call("GET", f"/v1/jobs/{job_id}/events").text
    told = call("GET", f"/v1/webhooks/{made['id']}/deliveries").text
    for text in (lines, sent, events, told):
        for word in (made["secret"], rotated["secret"], "whsec_", "token=hidden"):
            assert word not in text


@pytest.mark.parametrize(
    ("body", "error"),
    [
        ({"events": ["*"]}, (422, "missing_field", "url")),
        ({"url": URL}, (422, "missing_field", "events")),
        ({"url": URL, "events": []}, (422, "invalid_value", "events")),
        ({"url": URL, "events": ["job.exploded"]}, (422, "invalid_value", "events.0")),
        ({"url": URL, "events": ["*"], "secret": "whsec_x"}, (422, "unknown_field", "secret")),
        ({"url": 5, "events": ["*"]}, (422, "invalid_value", "url")),
        ({"url": "http://hooks.example.com/", "events": ["*"]}, (422, "webhook_url_refused", "url")),
        ({"url": "https://169.254.169.254/latest", "events": ["*"]}, (422, "webhook_url_refused", "url")),
        ({"url": "https://2130706433/", "events": ["*"]}, (422, "webhook_url_refused", "url")),
        ({"url": "https://inside.example.com/", "events": ["*"]}, (422, "webhook_url_refused", "url")),
    ],
)
def test_what_is_wrong_is_said_and_nothing_is_made(call: Call, body: Any, error: tuple[int, str, str]) -> None:
    answer = call("POST", "/v1/webhooks", json=body)
    assert error_of(answer) == error
    assert "10.0.0.1" not in answer.text
    assert call("GET", "/v1/webhooks").json()["data"] == []


@pytest.mark.parametrize(
    ("body", "error"),
    [
        ({"url": None}, (422, "invalid_value", "url")),
        ({"events": None}, (422, "invalid_value", "events")),
        ({"enabled": None}, (422, "invalid_value", "enabled")),
        ({"url": "https://127.1/"}, (422, "webhook_url_refused", "url")),
        ({"url": ""}, (422, "invalid_value", "url")),
        ({"events": []}, (422, "invalid_value", "events")),
        ({"secret": "whsec_x"}, (422, "unknown_field", "secret")),
    ],
)
def test_a_change_that_is_wrong_changes_nothing(call: Call, body: Any, error: tuple[int, str, str]) -> None:
    made = create(call)
    assert error_of(call("PATCH", f"/v1/webhooks/{made['id']}", json=body)) == error
    kept = call("GET", f"/v1/webhooks/{made['id']}").json()
    assert kept == {name: value for name, value in made.items() if "secret" not in name}


def test_a_change_leaves_what_is_not_sent(call: Call) -> None:
    made = create(call, description="mine")
    path = f"/v1/webhooks/{made['id']}"
    events = ["job.failed", "job.failed", "model.published"]
    first = call("PATCH", path, json={"events": events}).json()
    assert (first["url"], first["description"], first["events"]) == (URL, "mine", ["job.failed", "model.published"])
    second = call("PATCH", path, json={"url": "https://other.example.com"}).json()
    assert (second["url"], second["events"]) == ("https://other.example.com", first["events"])
    assert call("PATCH", path, json={}).json() == second
    off = call("PATCH", path, json={"enabled": False}).json()
    assert (off["enabled"], off["disabled_reason"]) == (False, "disabled by request")
    assert off["disabled_at"] is not None
    assert call("PATCH", path, json={"enabled": False, "description": "x"}).json()["disabled_at"] == off["disabled_at"]
    assert error_of(call("POST", f"{path}/test"))[:2] == (409, "webhook_disabled")
    on = call("PATCH", path, json={"enabled": True}).json()
    assert (on["enabled"], on["disabled_at"], on["disabled_reason"]) == (True, None, None)


def test_lists_are_paged(call: Call) -> None:
    ids = [create(call)["id"] for _ in range(3)]
    first = call("GET", "/v1/webhooks?limit=2").json()
    assert [row["id"] for row in first["data"]] == ids[:0:-1]
    assert first["has_more"] is True
    rest = call("GET", f"/v1/webhooks?limit=2&after={first['last_id']}").json()
    assert ([row["id"] for row in rest["data"]], rest["has_more"]) == (ids[:1], False)


def test_there_is_a_bound(app: Trainyard, call: Call) -> None:
    made = create(call)
    for _ in range(MAX_WEBHOOKS - 1):
        create(call)
    assert error_of(call("POST", "/v1/webhooks", json={"url": URL, "events": ["*"]}))[:2] == (409, "webhook_limit")
    assert call("DELETE", f"/v1/webhooks/{made['id']}").json() == {
        "id": made["id"], "object": "webhook", "deleted": True,
    }  # fmt: skip
    create(call)


def test_the_same_key_makes_one_webhook_and_gives_the_same_secret(call: Call) -> None:
    body = {"url": URL, "events": ["*"]}
    first, again = (
        call("POST", "/v1/webhooks", json=body, headers={"Idempotency-Key": "one"}) for _ in range(2)
    )  # fmt: skip
    assert first.json() == again.json()
    assert again.headers["idempotency-replayed"] == "true"
    assert len(call("GET", "/v1/webhooks").json()["data"]) == 1


def test_test_deliveries_and_redeliver(app: Trainyard, call: Call, settings: Settings, receiver: Receiver) -> None:
    made = create(call, url=f"http://127.0.0.1:{receiver.port}/")
    path = f"/v1/webhooks/{made['id']}"
    queued = call("POST", f"{path}/test")
    assert queued.status_code == 201
    delivery = queued.json()
    assert queued.headers["location"] == f"/v1/webhooks/deliveries/{delivery['id']}"
    assert (delivery["type"], delivery["state"], delivery["tries"], delivery["log"]) == (
        "webhook.test",
        "pending",
        0,
        [],
    )
    assert delivery["next_try_at"].endswith("Z")
    receiver.answers.append((500, {}))
    courier = Courier(app.services.database, settings)
    courier.deliver_due()
    assert call("POST", f"/v1/webhooks/deliveries/{delivery['id']}/redeliver").json()["tries"] == 0
    courier.deliver_due()
    done = call("GET", f"/v1/webhooks/deliveries/{delivery['id']}").json()
    assert (done["state"], done["tries"], done["next_try_at"]) == ("delivered", 1, None)
    assert [(entry["status"], entry["error"]) for entry in done["log"]] == [
        (500, "the endpoint answered 500"), (204, None),
    ]  # fmt: skip
    assert all(entry["duration_ms"] >= 0 and entry["at"].endswith("Z") for entry in done["log"])
    assert call("POST", f"/v1/webhooks/deliveries/{delivery['id']}/redeliver").json()["state"] == "pending"
    courier.deliver_due()
    assert {request.headers["webhook-id"] for request in receiver.requests} == {done["message"]}
    assert len(receiver.requests) == 3
    assert json.loads(receiver.requests[0].body)["data"] == {"webhook": made["id"]}
    listed = call("GET", f"{path}/deliveries?state=delivered").json()
    assert [row["id"] for row in listed["data"]] == [delivery["id"]]
    assert call("GET", f"{path}/deliveries?state=failed").json()["data"] == []
    call("PATCH", path, json={"enabled": False})
    again = call("POST", f"/v1/webhooks/deliveries/{delivery['id']}/redeliver")
    assert error_of(again)[:2] == (409, "webhook_disabled")
    assert call("DELETE", path).status_code == 200
    assert error_of(call("GET", f"/v1/webhooks/deliveries/{delivery['id']}"))[:2] == (404, "delivery_not_found")


def test_a_delivery_that_is_being_sent_is_not_sent_twice_by_hand(
    app: Trainyard, call: Call, settings: Settings, receiver: Receiver
) -> None:
    receiver.gate = threading.Event()
    made = create(call, url=f"http://127.0.0.1:{receiver.port}/")
    delivery = call("POST", f"/v1/webhooks/{made['id']}/test").json()
    courier = Courier(app.services.database, settings)
    sender = threading.Thread(target=courier.deliver_due)
    sender.start()
    assert receiver.arrived.acquire(timeout=10)
    assert call("POST", f"/v1/webhooks/deliveries/{delivery['id']}/redeliver").status_code == 200
    assert Courier(app.services.database, settings).deliver_due() == 0
    receiver.gate.set()
    sender.join(10)
    assert len(receiver.requests) == 1
    assert call("GET", f"/v1/webhooks/deliveries/{delivery['id']}").json()["state"] == "delivered"


@pytest.mark.parametrize(
    ("method", "path", "code"),
    [
        ("GET", "wh_none", "webhook_not_found"),
        ("PATCH", "wh_none", "webhook_not_found"),
        ("DELETE", "wh_none", "webhook_not_found"),
        ("POST", "wh_none/rotate-secret", "webhook_not_found"),
        ("POST", "wh_none/test", "webhook_not_found"),
        ("GET", "wh_none/deliveries", "webhook_not_found"),
        ("GET", "deliveries/whd_none", "delivery_not_found"),
        ("POST", "deliveries/whd_none/redeliver", "delivery_not_found"),
    ],
)
def test_what_is_not_there_and_what_is_another_projects_is_the_same_404(
    app: Trainyard, call: Call, method: str, path: str, code: str
) -> None:
    body = {"json": {}} if method == "PATCH" else {}
    assert error_of(call(method, f"/v1/webhooks/{path}", **body))[:2] == (404, code)
    made = app.services.webhooks.create("other", _request())
    foreign = app.services.webhooks.send_test("other", made.id)
    theirs = path.replace("wh_none", made.id).replace("whd_none", foreign.id)
    assert error_of(call(method, f"/v1/webhooks/{theirs}", **body))[:2] == (404, code)
    assert app.services.webhooks.get("other", made.id).enabled


def _request() -> Any:
    return WebhookRequest(url=URL, events=["*"])


@pytest.mark.parametrize("value", ["a b", "host:port", "https://a.example.com", "a,,b", "::1", "*"])
def test_a_setting_that_is_wrong_stops_the_start(value: str) -> None:
    with pytest.raises(ValueError, match="webhook_allow"):
        Settings(webhook_allow=value)
