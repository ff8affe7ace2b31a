"""`POST /v1/models/{ref}/predict`: answers, errors, refs, limits."""

import asyncio
import hashlib
import re
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import orjson
import pytest

from app.core.auth import key_line
from tests.inference.serving import Serving, request, serve

ROW = [0.1, -0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0]
PATH = "/v1/models/dense/predict"


@pytest.fixture
def run(tmp_path: Path, bundles: Path) -> Callable[..., None]:
    """Run a test's coroutine against a service with the models `dense@1`, `dense@2` and `table@1`."""

    def runner(test: Callable[[Serving], Awaitable[None]], **settings: Any) -> None:
        async def body() -> None:
            async with serve(tmp_path / "home", **settings) as serving:
                serving.models.publish("dense", 1, bundles / "dense1")
                serving.models.publish("dense", 2, bundles / "dense2")
                serving.models.publish("table", 1, bundles / "table")
                serving.models.put_alias("dense", "production", 1)
                await serving.service.refresh()
                await test(serving)

        asyncio.run(body())

    return runner


def test_an_answer(run: Any) -> None:
    async def test(serving: Serving) -> None:
        answer = await serving.post(PATH, {"instances": [ROW, ROW]}, x_request_id="mine-1")
        assert answer.status == 200
        assert answer.headers["content-type"] == "application/json"
        assert answer.headers["x-request-id"] == "mine-1"
        assert re.fullmatch(r"queue;dur=\d+\.\d+, inference;dur=\d+\.\d+", answer.headers["server-timing"])
        body = answer.json
        assert body["model"] == {"name": "dense", "version": 2}
        first, second = body["predictions"]
        assert first == second
        assert set(first) == {"label", "score", "scores"}
        assert type(first["label"]) is int
        assert first["score"] == max(first["scores"].values()) == first["scores"][str(first["label"])]
        assert sum(first["scores"].values()) == pytest.approx(1.0, abs=1e-5)

    run(test)


def test_every_request_has_its_own_id(run: Any) -> None:
    async def test(serving: Serving) -> None:
        ids = {(await serving.post(PATH, {"instances": [ROW]})).headers["x-request-id"] for _ in range(5)}
        assert len(ids) == 5
        assert all(re.fullmatch(r"req_[0-9a-z]+", found) for found in ids)
        forged = await serving.post(PATH, {"instances": [ROW]}, x_request_id="two words")
        assert forged.headers["x-request-id"] != "two words"

    run(test)


def test_refs(run: Any) -> None:
    async def test(serving: Serving) -> None:
        newest = await serving.predict("dense", [ROW])
        assert newest == await serving.predict("dense@2", [ROW])
        first = await serving.predict("dense@1", [ROW])
        assert first != newest
        assert first == await serving.predict("dense@production", [ROW])
        for ref in ("dense@3", "dense@staging", "dens", "Dense", "dense@", "dense@0", "dense@01", "@1", "d@e@f"):
            answer = await serving.post(f"/v1/models/{ref}/predict", {"instances": [ROW]})
            assert (answer.status, answer.json["error"]["code"]) == (404, "model_not_found"), ref

    run(test)


def test_no_instances(run: Any) -> None:
    async def test(serving: Serving) -> None:
        answer = await serving.post(PATH, {"instances": []})
        assert answer.json == {"predictions": [], "model": {"name": "dense", "version": 2}}

    run(test)


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"instances": [ROW, ROW[:9]]}, "instances[1]"),
        ({"instances": [{"x": ROW}, {"y": 1, "x": ROW[:3]}]}, "instances[1]"),
        ({"instances": {"x": [ROW]}}, "instances"),
        ({"instances": "abc"}, "instances"),
        ({"instances": None}, "instances"),
        ({"instances": [ROW], "parameters": {}}, "parameters"),
        ({"rows": [ROW]}, "rows"),
        ({}, "instances"),
        ([ROW], None),
        ("instances", None),
        (3, None),
        (None, None),
    ],
)
def test_valid_json_wrong_content(run: Any, body: object, param: str | None) -> None:
    async def test(serving: Serving) -> None:
        answer = await serving.post(PATH, body)
        assert answer.status == 422, answer.content
        error = answer.json["error"]
        assert error["param"] == param
        assert error["request_id"] == answer.headers["x-request-id"]
        assert set(error) == {"type", "code", "param", "message", "request_id", "details"}

    run(test)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b'{"instances": [[0,0,0,0,0,0,0,0,0,NaN]]}',
        b'{"instances": [[0,0,0,0,0,0,0,0,0,Infinity]]}',
        b'{"instances": [[0,0,0,0,0,0,0,0,0,1e999]]}',
        b'{"instances": [[0,0,0,0,0,0,0,0,0,-1e999]]}',
        b'{"instances": [[0,0,0,0,0,0,0,0,1e999,-1e999]]}',
        b'{"instances": [[0,0,0,0,0,0,0,0,0,0]], "instances": []}',
        b'{"instances": [{"x": [0,0,0,0,0,0,0,0,0,0], "x": [0,0,0,0,0,0,0,0,0,0]}]}',
        b'{"instances": [{"y": {"a": 1, "a": 2}, "x": [0,0,0,0,0,0,0,0,0,0]}]}',
        b'{"instances": [{"y": 1e999, "x": [0,0,0,0,0,0,0,0,0,0]}]}',
        b'{"instances": [{"x": [0,0,0,0,0,0,0,0,0,0], "x": ""}]}',
        b'{"instances": [{"a": 1e999}]}',
        b'{"instances": [{"a": "b:c", "a": "d"}]}',
        b'{"instances": [{"a:b": 1, "c": 2, "c": 3}]}',
        b'{"instances": ["\\ud800"]}',
        b'{"instances": ["\xff"]}',
        '{"instances": []}'.encode("utf-16"),
        b'\xef\xbb\xbf{"instances": []}',
        b'{"instances": [' + b"[" * 100 + b"]" * 100 + b"]}",
        b'{"instances": ' + b"[" * 100_000,
        b'{"instances": []} {}',
    ],
)
def test_what_is_not_json(run: Any, body: bytes) -> None:
    async def test(serving: Serving) -> None:
        answer = await serving.post(PATH, body)
        assert (answer.status, answer.json["error"]["code"]) == (400, "invalid_json"), answer.content

    run(test)


def test_a_row_of_a_table(run: Any) -> None:
    async def test(serving: Serving) -> None:
        rows: list[Any] = [{"age": 31, "city": "Oslo", "note": "12:30", "label": "no"}, {"city": None}, {}]
        known, missing, empty = await serving.predict("table", rows)
        assert known["label"] in ("no", "yes")
        assert missing == empty
        answer = await serving.post("/v1/models/table/predict", {"instances": [{}, {"age": "old"}]})
        assert answer.status == 422
        assert answer.json["error"]["message"] == "instances[1].age: expected a number, got 'old'"
        answer = await serving.post("/v1/models/table/predict", b'{"instances": [{"city": "a\\u0000b"}]}')
        assert answer.status == 422
        # A colon or a bracket in a text is no key and no list.
        odd: list[Any] = [{"city": "a:b"}, {"city": "[{:"}, {"note": "\\u0000"}, {"note": ["deep", {"a": []}]}]
        assert await serving.predict("table", odd[:2]) == await serving.predict("table", [{"city": "unknown"}] * 2)
        assert await serving.predict("table", odd[2:]) == [empty, empty]

    run(test)


def test_methods_and_media_types(run: Any) -> None:
    async def test(serving: Serving) -> None:
        for method in ("GET", "PUT", "DELETE", "OPTIONS"):
            answer = await request(serving.app, method, PATH, [b""], None, {})
            assert (answer.status, answer.headers["allow"]) == (405, "POST")
        body = {"instances": [ROW]}
        for good in ("application/json", "application/json; charset=utf-8", "Application/JSON", "application/x+json"):
            assert (await serving.post(PATH, body, content_type=good)).status == 200
        for bad in ("text/plain", "application/x-www-form-urlencoded", ""):
            assert (await serving.post(PATH, body, content_type=bad)).status == 415
        assert (await serving.post(PATH, body, content_encoding="gzip")).status == 415
        assert (await serving.post(PATH, body, content_encoding="identity")).status == 200

    run(test)


def test_a_body_in_pieces_and_a_body_too_large(run: Any) -> None:
    async def test(serving: Serving) -> None:
        body = orjson.dumps({"instances": [ROW]})
        answer = await serving.post(PATH, [body[:5], body[5:20], body[20:]])
        assert answer.status == 200
        assert answer.json["predictions"] == await serving.predict("dense", [ROW])
        many = orjson.dumps({"instances": [ROW] * 2000})
        assert len(many) > 65536
        answer = await serving.post(PATH, many)
        assert [row["label"] for row in answer.json["predictions"]] == [
            (await serving.predict("dense", [ROW]))[0]["label"]
        ] * 2000
        for parts in ([b" " * 200_001], [b" " * 100_000] * 3):
            answer = await serving.post(PATH, parts)
            assert (answer.status, answer.json["error"]["code"]) == (413, "too_large")
        answer = await serving.post(PATH, [b"{", b"}"], content_length="900000")
        assert answer.status == 413

    run(test, max_predict_bytes=200_000)


def test_more_rows_than_a_queue_takes(run: Any) -> None:
    async def test(serving: Serving) -> None:
        assert (await serving.post(PATH, {"instances": [ROW] * 64})).status == 200
        answer = await serving.post(PATH, {"instances": [ROW] * 65})
        assert (answer.status, answer.json["error"]["code"]) == (413, "too_large")

    run(test, predict_queue_rows=64)


def test_a_timeout_must_be_seconds(run: Any) -> None:
    async def test(serving: Serving) -> None:
        for good in ("2", "2.0", "0.5", "100000"):
            assert (await serving.post(PATH, {"instances": [ROW]}, x_request_timeout=good)).status == 200
        for bad in ("-1", "soon", "", "1e9", "inf", "nan"):
            answer = await serving.post(PATH, {"instances": [ROW]}, x_request_timeout=bad)
            assert (answer.status, answer.json["error"]["param"]) == (422, "X-Request-Timeout")
        answer = await serving.post(PATH, {"instances": [ROW]}, x_request_timeout="0")
        assert (answer.status, answer.json["error"]["code"]) == (504, "deadline_exceeded")

    run(test)


def test_keys(run: Any, tmp_path: Path) -> None:
    keys = tmp_path / "keys"
    keys.write_text(key_line("app", "ty_secret") + "\n")

    async def test(serving: Serving) -> None:
        body = {"instances": [ROW]}
        assert (await serving.post(PATH, body, authorization="Bearer ty_secret")).status == 200
        for wrong in ({}, {"authorization": "Bearer ty_other"}, {"authorization": "Basic ty_secret"}):
            answer = await serving.post(PATH, body, **wrong)
            assert (answer.status, answer.headers["www-authenticate"]) == (401, "Bearer")
            # Whether the model exists is not told either.
            assert (await serving.post("/v1/models/none/predict", body, **wrong)).status == 401

    assert hashlib.sha256(b"ty_secret").hexdigest() in keys.read_text()
    run(test, api_keys_file=keys)


def test_concurrent_requests_get_their_own_answers(run: Any) -> None:
    async def test(serving: Serving) -> None:
        rows = [[float(index), *ROW[1:]] for index in range(40)]
        alone = [(await serving.predict("dense", [row]))[0] for row in rows]
        together = await asyncio.gather(*(serving.predict("dense", [row]) for row in rows))
        for single, (batched,) in zip(alone, together, strict=True):
            assert batched["label"] == single["label"]
            assert batched["scores"] == pytest.approx(single["scores"], abs=1e-5)
        assert len({answer["scores"]["0"] for answer in alone}) == 40

    run(test)


def test_a_bad_request_harms_no_other(run: Any) -> None:
    async def test(serving: Serving) -> None:
        (expected,) = await serving.predict("dense", [ROW])
        bodies: list[Any] = [{"instances": [ROW]}, {"instances": ["bad"]}, {"instances": [ROW[:9]]}, b"{"] * 8
        answers = await asyncio.gather(*(serving.post(PATH, body) for body in bodies))
        assert [answer.status for answer in answers] == [200, 422, 422, 400] * 8
        for answer in answers[::4]:
            assert answer.json["predictions"][0]["scores"] == pytest.approx(expected["scores"], abs=1e-5)

    run(test)


def test_figures(run: Any) -> None:
    async def test(serving: Serving) -> None:
        figures = serving.service.figures.of("dense")
        answered, seconds = figures.answers.get(200, 0), sum(figures.seconds.counts)
        await serving.predict("dense", [ROW])
        await serving.post(PATH, {"instances": ["bad"]})
        assert figures.answers[200] == answered + 1
        assert figures.answers[422] >= 1
        assert sum(figures.seconds.counts) == seconds + 2
        assert figures.queued_rows == 0
        families = {family.name: family for family in serving.service.figures.collect()}
        (count,) = [
            sample.value
            for sample in families["trainyard_predict_requests"].samples
            if sample.labels == {"model": "dense", "status": "200"}
        ]
        assert count == figures.answers[200]
        buckets = [
            sample.value
            for sample in families["trainyard_predict_seconds"].samples
            if sample.name.endswith("_bucket") and sample.labels["model"] == "dense"
        ]
        assert buckets == sorted(buckets)
        assert buckets[-1] == sum(figures.seconds.counts)

    run(test)
