"""One object for one Idempotency-Key, whatever is retried and whatever dies."""

import itertools
from typing import Any

import anyio
import httpx
import pytest

from app.core.asgi import Message, Receive, Scope, Send, send_json
from app.core.ids import created_id
from app.core.settings import Settings
from app.db.engine import Database, DatabaseUnavailable
from app.db.migrate import migrate
from app.idempotency import repository
from app.idempotency.layer import IdempotencyLayer


class Inner:
    """Stands for the application: keeps what it created, and can be told to hang, fail or die."""

    def __init__(self) -> None:
        self.created: dict[str, Any] = {}
        self.mode = "ok"
        self.entered = anyio.Event()
        self.go_on = anyio.Event()
        self.counter = itertools.count(1)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["method"] == "GET":
            found = self.created.get(scope["path"].rsplit("/", 1)[1])
            await send_json(send, 200 if found else 404, found or {}, [])
            return
        body = b""
        more = True
        while more:
            message: Message = await receive()
            body += message.get("body", b"")
            more = message.get("more_body", False)
        if self.mode == "hang":
            self.entered.set()
            await self.go_on.wait()
        if self.mode == "fail":
            await send_json(send, 503, {"error": "later"}, [])
            return
        new = created_id("job")
        self.created[new] = {"id": new, "n": next(self.counter)}
        if self.mode == "die after commit":
            raise KeyboardInterrupt
        if self.mode == "fail after commit":
            await send_json(send, 503, {"error": "the database went"}, [])
            return
        await send_json(send, 201, self.created[new], [(b"location", f"/v1/jobs/{new}".encode())])


class Edge:
    def __init__(self, layer: IdempotencyLayer) -> None:
        self.layer = layer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope["trainyard.project"], scope["trainyard.request_id"] = "default", "req_1"
        await self.layer(scope, receive, send)


@pytest.fixture
def database(settings: Settings) -> Database:
    settings.home_dir.mkdir()
    database = Database(settings.database)
    migrate(database)
    return database


async def post(client: httpx.AsyncClient, body: bytes, key: str | None = "k1", path: str = "/v1/jobs") -> Any:
    headers = {"idempotency-key": key} if key is not None else {}
    return await client.post(path, content=body, headers=headers)


def run(database: Database, inner: Inner, test: Any) -> None:
    async def main() -> None:
        transport = httpx.ASGITransport(Edge(IdempotencyLayer(inner, database)))
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            await test(client)

    anyio.run(main)


def test_the_first_answer_again(database: Database) -> None:
    inner = Inner()

    async def test(client: httpx.AsyncClient) -> None:
        first, second = await post(client, b"{}"), await post(client, b"{}")
        assert (first.status_code, second.status_code) == (201, 201)
        assert first.json() == second.json()
        assert second.headers["location"] == first.headers["location"]
        assert "idempotency-replayed" not in first.headers
        assert second.headers["idempotency-replayed"] == "true"
        other = await post(client, b'{"x":1}')
        assert (other.status_code, other.json()["error"]["code"]) == (422, "idempotency_mismatch")
        assert (await post(client, b"{}", key="k2")).json()["n"] == 2
        assert (await post(client, b"{}", key=None)).json()["n"] == 3
        assert (await post(client, b"{}", key="a b")).status_code == 422

    run(database, inner, test)
    assert len(inner.created) == 3


def test_a_request_under_way_is_a_conflict(database: Database) -> None:
    inner = Inner()
    inner.mode = "hang"

    async def test(client: httpx.AsyncClient) -> None:
        answers: list[Any] = []

        async def first() -> None:
            answers.append(await post(client, b"{}"))

        async with anyio.create_task_group() as group:
            group.start_soon(first)
            await inner.entered.wait()
            busy = await post(client, b"{}")
            assert (busy.status_code, busy.json()["error"]["code"]) == (409, "idempotency_in_progress")
            inner.go_on.set()
        assert answers[0].status_code == 201

    run(database, inner, test)
    assert len(inner.created) == 1


def test_many_at_once_create_one(database: Database) -> None:
    inner = Inner()

    async def test(client: httpx.AsyncClient) -> None:
        answers: list[Any] = []

        async def one() -> None:
            answers.append(await post(client, b"{}"))

        async with anyio.create_task_group() as group:
            for _ in range(50):
                group.start_soon(one)
        assert {a.status_code for a in answers} <= {201, 409}
        assert any(a.status_code == 201 for a in answers)

    run(database, inner, test)
    assert len(inner.created) == 1


def test_a_failed_request_frees_its_key(database: Database) -> None:
    inner = Inner()
    inner.mode = "fail"

    async def test(client: httpx.AsyncClient) -> None:
        assert (await post(client, b"{}")).status_code == 503
        inner.mode = "ok"
        assert (await post(client, b"{}")).status_code == 201

    run(database, inner, test)


def test_death_between_commit_and_answer_creates_nothing_twice(database: Database) -> None:
    """A process that dies leaves its row begun; the retry finds the job by its id."""
    inner = Inner()
    with database.transaction() as session:
        assert repository.begin(session, "default", "k1", "abc") is None
    inner.created["job_abc"] = {"id": "job_abc", "n": 7}

    async def test(client: httpx.AsyncClient) -> None:
        again = await post(client, b"{}")
        assert (again.status_code, again.json()["n"]) == (201, 7)
        assert again.headers["location"] == "/v1/jobs/job_abc"
        assert again.headers["idempotency-replayed"] == "true"

    run(database, inner, test)
    assert len(inner.created) == 1


def test_a_request_that_fails_after_its_commit_creates_nothing_twice(database: Database) -> None:
    """The job is written, the database goes, the answer is a 503: the client asks again, as it is told to."""
    inner = Inner()
    inner.mode = "fail after commit"

    async def test(client: httpx.AsyncClient) -> None:
        assert (await post(client, b"{}")).status_code == 503
        inner.mode = "ok"
        again = await post(client, b"{}")
        assert (again.status_code, again.json()["n"]) == (201, 1)

    run(database, inner, test)
    assert len(inner.created) == 1


def test_a_database_that_is_away_is_an_answer(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    def away(*_: object) -> None:
        raise DatabaseUnavailable

    async def test(client: httpx.AsyncClient) -> None:
        monkeypatch.setattr(repository, "begin", away)
        refused = await post(client, b"{}")
        assert (refused.status_code, refused.headers["retry-after"]) == (503, "2")

    run(database, Inner(), test)


def test_an_abandoned_request_is_taken_over(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    inner = Inner()
    with database.transaction() as session:
        repository.begin(session, "default", "k1", "abc")

    async def test(client: httpx.AsyncClient) -> None:
        assert (await post(client, b"{}")).status_code == 409
        monkeypatch.setattr("app.idempotency.layer._ABANDONED_SECONDS", -1.0)
        assert (await post(client, b"{}")).json()["id"] == "job_abc"

    run(database, inner, test)


def test_a_new_multipart_boundary_is_the_same_body(database: Database) -> None:
    inner = Inner()

    async def test(client: httpx.AsyncClient) -> None:
        def form(boundary: str, content: str) -> dict[str, Any]:
            body = f"--{boundary}\r\n\r\n{content}\r\n--{boundary}--\r\n"
            media_type = f"multipart/form-data; boundary={boundary}"
            return {"content": body.encode(), "headers": {"content-type": media_type, "idempotency-key": "m"}}

        first = await client.post("/v1/datasets", **form("aaaa1111", "a,b"))
        same = await client.post("/v1/datasets", **form("bbbbb2222", "a,b"))
        other = await client.post("/v1/datasets", **form("ccc", "a,c"))
        assert (first.status_code, same.status_code, other.status_code) == (201, 201, 422)
        assert same.headers["idempotency-replayed"] == "true"

    run(database, inner, test)


def test_keys_are_forgotten_after_their_time(database: Database) -> None:
    with database.transaction() as session:
        repository.begin(session, "default", "k1", "abc")
        assert repository.forget_older(session, 3600, 10) == 0
        assert repository.forget_older(session, -1, 10) == 1
        assert repository.begin(session, "default", "k1", "def") is None
