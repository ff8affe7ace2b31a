"""The client: what it sends, what it makes of the answers."""

import itertools
from pathlib import Path

import httpx
import pytest

from app.client.client import Client
from app.client.errors import BadInput, Refused, Unreachable
from tests.client.fake_service import DATASET, FakeService, job, refusal, running, succeeded


def test_an_upload_is_the_raw_body_with_its_length_and_the_fields_in_the_query(
    service: FakeService, client: Client, tmp_path: Path
) -> None:
    service.on("POST /v1/datasets", DATASET)
    file = tmp_path / "big table.csv"
    file.write_bytes(b"a,b\n" + b"1,2\n" * 700_000)
    sent: list[int] = []
    assert client.upload(file, {"delimiter": ";"}, sent.append)["id"] == "ds_1"
    [request] = service.requests
    assert request.content == file.read_bytes()
    assert request.headers["Content-Length"] == str(file.stat().st_size)
    assert "Transfer-Encoding" not in request.headers
    assert dict(request.url.params) == {"name": "big table.csv", "delimiter": ";"}
    assert len(sent) > 1
    assert sent == sorted(sent)
    assert sent[-1] == file.stat().st_size


def test_a_file_that_is_not_there_is_said_before_anything_is_sent(
    service: FakeService, client: Client, tmp_path: Path
) -> None:
    with pytest.raises(BadInput, match="No such file"):
        client.upload(tmp_path / "none.csv")
    assert service.requests == []


def test_the_key_is_sent_and_no_key_sends_no_header(service: FakeService, client: Client) -> None:
    service.on("GET /v1/system", {})
    client.system()
    with Client("http://yard.test", transport=service.transport) as keyless:
        keyless.system()
    assert service.headers("GET /v1/system", "Authorization") == ["Bearer ty_secret", None]


def test_a_submit_whose_answer_was_lost_is_sent_again_under_the_same_key(service: FakeService, client: Client) -> None:
    service.on("POST /v1/jobs", httpx.ReadError, job("queued"))
    assert client.submit({"recipe": "r"})["id"] == "job_1"
    first, second = service.headers("POST /v1/jobs", "Idempotency-Key")
    assert first
    assert first == second


def test_two_submits_have_two_idempotency_keys(service: FakeService, client: Client) -> None:
    service.on("POST /v1/jobs", job("queued"))
    client.submit({})
    client.submit({})
    assert len(set(service.headers("POST /v1/jobs", "Idempotency-Key"))) == 2


def test_follow_ends_with_the_final_job(service: FakeService, client: Client) -> None:
    service.on("GET /v1/jobs/job_1", job("queued"), running(1), running(2), succeeded(), job("failed"))
    states = [news["state"] for news in client.follow("job_1")]
    assert states == ["queued", "running", "running", "succeeded"]


def test_follow_waits_on_the_service_after_a_first_look_at_once(service: FakeService, client: Client) -> None:
    service.on("GET /v1/jobs/job_1", job("queued"), succeeded())
    list(client.follow("job_1", poll_seconds=0.7))
    assert [request.url.params.get("wait") for request in service.requests] == [None, "0.7"]


def test_follow_outlasts_a_restart_of_the_service(service: FakeService, client: Client) -> None:
    unavailable = refusal(503, "unavailable", "The database does not answer.")
    service.on("GET /v1/jobs/job_1", running(1), httpx.ConnectError, unavailable, httpx.ConnectError, succeeded())
    states = [news["state"] for news in client.follow("job_1", poll_seconds=0.001)]
    assert states == ["running", "succeeded"]


def test_follow_gives_up_when_its_patience_is_used_up(service: FakeService, client: Client) -> None:
    service.on("GET /v1/jobs/job_1", running(1), httpx.ConnectError)
    following = client.follow("job_1", poll_seconds=0.001, patience_seconds=0.02)
    assert next(following)["state"] == "running"
    with pytest.raises(Unreachable):
        next(following)


def test_follow_does_not_wait_for_a_job_that_is_not_there(service: FakeService, client: Client) -> None:
    service.on("GET /v1/jobs/job_9", refusal(404, "job_not_found", "There is no job job_9."))
    with pytest.raises(Refused, match="no job job_9"):
        list(client.follow("job_9"))
    assert len(service.requests) == 1


def test_a_refusal_carries_what_the_service_said(service: FakeService, client: Client) -> None:
    details = [
        {"param": "training.epochs", "message": "training.epochs: must be above 0."},
        {"param": "columns.target", "message": "no such column"},
    ]
    service.on("POST /v1/jobs", refusal(422, "invalid_value", "2 fields are wrong.", param="training", details=details))
    with pytest.raises(Refused) as caught:
        client.submit({})
    assert (caught.value.status, caught.value.code, caught.value.param) == (422, "invalid_value", "training")
    assert caught.value.request_id == "req_1"
    assert str(caught.value).splitlines() == [
        "2 fields are wrong.",
        "  training.epochs: must be above 0.",
        "  columns.target: no such column",
    ]


def test_a_plain_error_text_is_understood(service: FakeService, client: Client) -> None:
    service.on("POST /v1/models/m/predict", httpx.Response(400, json={"error": "no instances"}))
    with pytest.raises(Refused, match=r"^no instances$"):
        client.predict("m", [1])


def test_an_answer_that_is_not_ours_is_said_so(service: FakeService, client: Client) -> None:
    service.on("GET /v1/system", httpx.Response(200, text="<html>router</html>"))
    with pytest.raises(Unreachable, match="not Trainyard"):
        client.system()
    service.on("GET /v1/system", httpx.Response(502, text="<html>bad gateway</html>"))
    with pytest.raises(Refused, match="502 Bad Gateway"):
        client.system()


def test_nobody_at_the_address_is_a_sentence_with_a_way_out(service: FakeService, client: Client) -> None:
    service.on("GET /v1/system", httpx.ConnectError)
    with pytest.raises(Unreachable) as caught:
        client.system()
    assert "http://yard.test: Connection refused. Is it running?" in str(caught.value)


@pytest.mark.parametrize("url", ["yard.test:8000", "ftp://yard.test", "http://", ""])
def test_an_address_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(BadInput, match="is not the address"):
        Client(url)


def test_readiness_is_read_from_both_answers(service: FakeService, client: Client) -> None:
    service.on("GET /readyz", httpx.Response(503, json={"status": "not ready", "checks": {"workers": "none seen"}}))
    assert client.readiness() == {"workers": "none seen"}
    service.on("GET /readyz", {"status": "ok", "checks": {"workers": "ok"}})
    assert client.readiness() == {"workers": "ok"}


@pytest.mark.parametrize(
    ("ref", "path"),
    [
        ("penguins", "penguins"),
        ("penguins@3", "penguins@3"),
        ("penguins@production", "penguins@production"),
        ("a/b?c#d", "a%2Fb%3Fc%23d"),
    ],
)
def test_a_ref_is_one_segment_of_the_path(service: FakeService, client: Client, ref: str, path: str) -> None:
    answer = {"predictions": [{"value": 1.0}], "model": {"name": "penguins", "version": 3}}
    service.on(f"POST /v1/models/{path}/predict", answer)
    assert client.predict(ref, [{"x": 1}]) == answer
    assert service.bodies(f"POST /v1/models/{path}/predict") == [{"instances": [{"x": 1}]}]


def test_a_job_id_cannot_leave_its_place_in_the_path(service: FakeService, client: Client) -> None:
    with pytest.raises(Refused):
        client.job("../models")
    assert [request.url.raw_path for request in service.requests] == [b"/v1/jobs/..%2Fmodels"]


def test_the_proxy_of_the_environment_is_not_asked_for_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    with Client("http://127.0.0.1:9") as client, pytest.raises(Unreachable):
        client.system()
    pools = [transport for transport in client._http._mounts.values() if transport is not None]
    assert pools == []


def test_chunks_of_an_upload_are_bounded(service: FakeService, client: Client, tmp_path: Path) -> None:
    service.on("POST /v1/datasets", DATASET)
    file = tmp_path / "rows.csv"
    file.write_bytes(bytes(3 << 20))
    sent: list[int] = [0]
    client.upload(file, on_sent=sent.append)
    assert max(b - a for a, b in itertools.pairwise(sent)) <= 1 << 20
