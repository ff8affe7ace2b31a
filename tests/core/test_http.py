"""The conventions of API.md §1, through the real layers."""

import re
from pathlib import Path

import anyio
import httpx
import pytest

from app.core.auth import key_line, new_key
from app.core.settings import Settings
from tests.core.conftest import client_of


def call(client: httpx.AsyncClient, method: str, path: str, **facts: object) -> httpx.Response:
    async def run() -> httpx.Response:
        return await client.request(method, path, **facts)  # type: ignore[arg-type]

    return anyio.run(run)


def error_of(answer: httpx.Response) -> dict[str, object]:
    error = answer.json()["error"]
    assert set(error) == {"type", "code", "param", "message", "request_id", "details"}
    assert error["request_id"] == answer.headers["x-request-id"]
    return error


def test_a_good_body_is_taken(client: httpx.AsyncClient) -> None:
    answer = call(client, "POST", "/v1/things", json={"name": "a", "count": 3})
    assert answer.status_code == 201
    assert answer.json() == {"name": "a", "count": 3, "project": "default"}


@pytest.mark.parametrize(
    ("body", "status", "code", "param"),
    [
        (b'{"name":"a","count":NaN}', 400, "invalid_json", None),
        (b'{"name":"a","name":"b"}', 400, "invalid_json", None),
        (b"", 400, "invalid_json", None),
        (b'{"name":"a","cuont":1}', 422, "unknown_field", "cuont"),
        (b"{}", 422, "missing_field", "name"),
        (b'{"name":"abcdef"}', 422, "invalid_value", "name"),
        (b'{"name":5}', 422, "invalid_value", "name"),
        (b'{"name":"a","count":true}', 422, "invalid_value", "count"),
        (b'{"name":"a","count":"1"}', 422, "invalid_value", "count"),
        (b'{"name":"a","count":99999999999999999999999}', 422, "invalid_value", "count"),
        (b'{"name":"a","parts":[{"name":"b"},{"name":1}]}', 422, "invalid_value", "parts.1.name"),
        (b"[]", 422, "invalid_value", None),
    ],
)
def test_a_bad_body_is_named(client: httpx.AsyncClient, body: bytes, status: int, code: str, param: str | None) -> None:
    answer = call(client, "POST", "/v1/things", content=body, headers={"content-type": "application/json"})
    assert answer.status_code == status
    error = error_of(answer)
    assert (error["code"], error["param"]) == (code, param)


def test_several_findings_are_all_listed(client: httpx.AsyncClient) -> None:
    error = error_of(call(client, "POST", "/v1/things", json={"count": 0, "x": 1}))
    assert {d["param"] for d in error["details"]} == {"name", "count", "x"}  # type: ignore[attr-defined]


def test_errors_echo_no_value(client: httpx.AsyncClient) -> None:
    answer = call(client, "POST", "/v1/things", json={"name": "a-secret-password"})
    assert "secret" not in answer.text


def test_wrong_content_type(client: httpx.AsyncClient) -> None:
    answer = call(client, "POST", "/v1/things", content=b'{"name":"a"}', headers={"content-type": "text/plain"})
    assert answer.status_code == 415
    assert error_of(answer)["code"] == "unsupported_media_type"


def test_too_large_a_body(settings: Settings) -> None:
    small = client_of(settings.model_copy(update={"max_json_bytes": 100}))
    answer = call(small, "POST", "/v1/things", json={"name": "a" * 200})
    assert answer.status_code == 413
    assert error_of(answer)["code"] == "too_large"


def test_unknown_query_parameter(client: httpx.AsyncClient) -> None:
    answer = call(client, "GET", "/v1/things?stat=x")
    assert answer.status_code == 422
    assert error_of(answer)["param"] == "stat"
    assert call(client, "GET", "/v1/things?state=x&limit=2").json()["data"][1] == {"id": "t1", "state": "x"}


@pytest.mark.parametrize("query", ["limit=0", "limit=101", "limit=x", "order=up"])
def test_bad_paging(client: httpx.AsyncClient, query: str) -> None:
    assert call(client, "GET", f"/v1/things?{query}").status_code == 422


def test_list_form(client: httpx.AsyncClient) -> None:
    body = call(client, "GET", "/v1/things").json()
    assert (body["object"], body["first_id"], body["last_id"], body["has_more"]) == ("list", "t0", "t19", True)


def test_unknown_route_and_method(client: httpx.AsyncClient) -> None:
    missing = call(client, "GET", "/v1/nothing")
    assert (missing.status_code, error_of(missing)["code"]) == (404, "not_found")
    wrong = call(client, "PATCH", "/v1/things")
    assert (wrong.status_code, error_of(wrong)["code"]) == (405, "method_not_allowed")
    assert wrong.headers["allow"] == "GET, HEAD, POST"


def test_known_errors_keep_their_status(client: httpx.AsyncClient) -> None:
    conflict = call(client, "DELETE", "/v1/things/t1")
    assert (conflict.status_code, error_of(conflict)["code"]) == (409, "thing_in_use")
    busy = call(client, "GET", "/v1/busy")
    assert (busy.status_code, busy.headers["retry-after"]) == (503, "3")


def test_an_unforeseen_error_tells_nothing(client: httpx.AsyncClient) -> None:
    answer = call(client, "GET", "/v1/broken")
    assert answer.status_code == 500
    assert error_of(answer)["code"] == "internal_error"
    assert "secret" not in answer.text


def test_request_ids(client: httpx.AsyncClient) -> None:
    assert call(client, "GET", "/v1/things", headers={"x-request-id": "mine-1"}).headers["x-request-id"] == "mine-1"
    made = call(client, "GET", "/v1/things", headers={"x-request-id": "a b"}).headers["x-request-id"]
    assert re.fullmatch(r"req_[0-9a-z]{22}", made)


def test_etag_and_304(client: httpx.AsyncClient) -> None:
    first = call(client, "GET", "/v1/things/t1")
    assert first.json() == {"id": "t1", "score": None}
    tag = first.headers["etag"]
    again = call(client, "GET", "/v1/things/t1", headers={"if-none-match": f'"other", W/{tag}'})
    assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", tag)
    assert call(client, "GET", "/v1/things/t2", headers={"if-none-match": tag}).status_code == 200


def test_head_is_get_without_a_body(client: httpx.AsyncClient) -> None:
    get, head = call(client, "GET", "/v1/things/t1"), call(client, "HEAD", "/v1/things/t1")
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["content-length"] == get.headers["content-length"]


def test_keys_guard_every_route_but_health(settings: Settings, tmp_path: Path) -> None:
    key = new_key()
    (tmp_path / "keys").write_text(key_line("a", key))
    guarded = client_of(settings.model_copy(update={"api_keys_file": tmp_path / "keys"}))
    for path in ("/v1/things", "/openapi.json", "/docs", "/metrics", "/nothing"):
        answer = call(guarded, "GET", path)
        assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Bearer")
        assert error_of(answer)["code"] == "unauthorized"
    assert call(guarded, "GET", "/livez").status_code == 200
    assert call(guarded, "GET", "/v1/things", headers={"authorization": f"Bearer {key}"}).status_code == 200
