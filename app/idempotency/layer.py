"""`Idempotency-Key` on creating POSTs: one object, whatever is retried (API.md §1).

The scheme follows draft-ietf-httpapi-idempotency-key-header-07: same key and same body give the
first answer again; another body is a 422; a request still under way a 409.
"""

import hashlib
import re
from collections.abc import Callable
from typing import Any

from anyio import to_thread

from app.core.asgi import App, Message, Receive, Scope, Send, header, send_error, send_json
from app.core.errors import Conflict, TrainyardError, Unprocessable
from app.core.ids import new_id, preset_suffix
from app.core.json import parse_json
from app.db.engine import Database
from app.idempotency import repository

_UPLOAD = "up"  # of an uploaded model, whose version has a name and a number but no id
# Path → prefix of the id that it creates.
_CREATING = (
    (re.compile(r"/v1/datasets"), "ds"),
    (re.compile(r"/v1/jobs(/[a-z0-9_]+/(retry|checkpoints/[0-9]+-[0-9]+/publish))?"), "job"),
    (re.compile(r"/v1/webhooks"), "wh"),
    (re.compile(r"/v1/models"), _UPLOAD),
)
_KEY = re.compile(rb"[\x21-\x7e]{1,255}")
_COLLECTION = {"ds": "datasets", "job": "jobs", "wh": "webhooks"}
_ABANDONED_SECONDS = 60.0  # no creating request but a large upload takes longer; uploads hold no row but their own
_MAX_BODY_BYTES = 1 << 20


class IdempotencyLayer:
    """Wraps the application below the key check."""

    def __init__(self, app: App, database: Database) -> None:
        self.app = app
        self.database = database

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        prefix = _created_prefix(scope)
        key = header(scope, b"idempotency-key") if prefix else None
        if prefix is None or key is None or b"dry_run=true" in scope.get("query_string", b""):
            await self.app(scope, receive, send)
            return
        try:
            await self._once(prefix, key, scope, receive, send)
        except TrainyardError as error:  # of this layer's own reads and writes; nothing was sent yet
            await send_error(send, error, scope["trainyard.request_id"])

    async def _once(self, prefix: str, key: bytes, scope: Scope, receive: Receive, send: Send) -> None:
        request_id = scope["trainyard.request_id"]
        if not _KEY.fullmatch(key):
            unfit = Unprocessable("Idempotency-Key has 1 to 255 visible ASCII characters.", param="Idempotency-Key")
            await send_error(send, unfit, request_id)
            return
        project, name = scope["trainyard.project"], key.decode()
        suffix = new_id("x").partition("_")[2]
        row = await to_thread.run_sync(self._write(repository.begin, project, name, suffix))
        if row is not None and row.status is None:
            status, found, location = await self._find(scope, f"{prefix}_{row.suffix}")
            if status == 200:
                await _replay(send, 201, {"location": location}, found)
                return
            if not await to_thread.run_sync(self._write(repository.take_over, project, name, _ABANDONED_SECONDS)):
                busy = Conflict(
                    "A request with this Idempotency-Key is still in progress.",
                    code="idempotency_in_progress",
                    param="Idempotency-Key",
                    retry_after_seconds=1,
                )
                await send_error(send, busy, request_id)
                return
            suffix, row = row.suffix, None
        if row is not None:
            await self._answer_again(row, scope, receive, send)
            return
        await self._run(project, name, f"{prefix}_{suffix}", scope, receive, send)

    async def _run(self, project: str, key: str, created: str, scope: Scope, receive: Receive, send: Send) -> None:
        reader = _HashingReceive(scope, receive)
        capture = _Capture(send)
        token = preset_suffix.set(created.partition("_")[2])
        kept = False
        try:
            await self.app(scope, reader.receive, capture.hold)
            if capture.status < 500 and reader.complete and len(capture.body) <= _MAX_BODY_BYTES:
                text = bytes(capture.body).decode()
                facts = {"sha256": reader.hexdigest(), "status": capture.status, "body": text}
                headers = capture.kept_headers()
                await to_thread.run_sync(self._write(repository.end, project, key, headers=headers, **facts))
                kept = True
        finally:
            preset_suffix.reset(token)
            if not kept and await self._made_nothing(scope, created, capture.status):
                await to_thread.run_sync(self._write(repository.forget, project, key))
        # Sent only after the answer is kept: whoever has read it can repeat the request at once.
        await capture.release()

    async def _answer_again(self, row: Any, scope: Scope, receive: Receive, send: Send) -> None:
        reader = _HashingReceive(scope, receive)
        await reader.drain()
        if reader.hexdigest() != row.request_sha256:
            error = Unprocessable(
                "This Idempotency-Key was used with another request.",
                code="idempotency_mismatch",
                param="Idempotency-Key",
            )
            await send_error(send, error, scope["trainyard.request_id"])
            return
        await _replay(send, row.status, row.headers or {}, parse_json(row.body.encode()) if row.body else None)

    async def _made_nothing(self, scope: Scope, created: str, status: int) -> bool:
        """Tell whether a request whose answer is not kept made nothing, so that its key may be used again.

        One that failed after its commit, where the database went before the answer was read, has made something:
        its key stays, and who asks again is given what was made.
        """
        if 400 <= status < 500:
            return True
        return (await self._find(scope, created))[0] == 404

    async def _find(self, scope: Scope, created: str) -> tuple[int, Any, str]:
        """Return the status, the body and the place of what has the id `created`: 404 where there is no such thing."""
        prefix = created.partition("_")[0]
        if prefix == _UPLOAD:
            find = self._write(repository.find_upload, scope["trainyard.project"], created)
            location = await to_thread.run_sync(find)
            if location is None:
                return 404, None, ""
        else:
            location = f"/v1/{_COLLECTION[prefix]}/{created}"
        return *(await self._fetch(scope, location)), location

    async def _fetch(self, scope: Scope, path: str) -> tuple[int, Any]:
        """GET `path` from the application itself; return the status and, where it is 200, the body."""
        capture = _Capture(None)
        inner = {**scope, "method": "GET", "path": path, "raw_path": path.encode(), "query_string": b""}
        await self.app(inner, _no_body, capture.hold)
        return capture.status, parse_json(bytes(capture.body)) if capture.status == 200 else None

    def _write(self, verb: Callable[..., Any], *args: Any, **facts: Any) -> Callable[[], Any]:
        def run() -> Any:
            with self.database.transaction() as session:
                return verb(session, *args, **facts)

        return run


def _created_prefix(scope: Scope) -> str | None:
    if scope["type"] != "http" or scope["method"] != "POST":
        return None
    return next((prefix for pattern, prefix in _CREATING if pattern.fullmatch(scope["path"])), None)


async def _no_body() -> Message:
    return {"type": "http.request", "body": b"", "more_body": False}


async def _replay(send: Send, status: int, headers: dict[str, str], body: Any) -> None:
    pairs = [(name.encode(), value.encode()) for name, value in headers.items()]
    await send_json(send, status, body, [*pairs, (b"idempotency-replayed", b"true")])


class _HashingReceive:
    """Passes a body on and hashes it with method, path and query; a multipart boundary does not count."""

    def __init__(self, scope: Scope, receive: Receive) -> None:
        self._receive = receive
        self._hash = hashlib.sha256(f"{scope['method']} {scope['path']}?".encode() + scope.get("query_string", b""))
        media_type = header(scope, b"content-type") or b""
        _, _, boundary = media_type.partition(b"boundary=")
        # Clients draw a new boundary for every request, also when they repeat one.
        self._boundary = boundary.split(b";")[0].strip(b'"') if media_type.startswith(b"multipart/") else b""
        self._tail = b""
        self.complete = False

    async def receive(self) -> Message:
        message = await self._receive()
        if message["type"] == "http.request":
            self._add(message.get("body", b""))
            self.complete = not message.get("more_body", False)
        return message

    async def drain(self) -> None:
        while not self.complete:
            message = await self.receive()
            if message["type"] == "http.disconnect":
                return

    def _add(self, chunk: bytes) -> None:
        if not self._boundary:
            self._hash.update(chunk)
            return
        data = (self._tail + chunk).replace(self._boundary, b"")
        keep = len(self._boundary) - 1
        self._tail = data[-keep:] if keep else b""
        self._hash.update(data[: len(data) - len(self._tail)])

    def hexdigest(self) -> str:
        final = self._hash.copy()
        final.update(self._tail)
        return final.hexdigest()


class _Capture:
    """Holds an answer back."""

    def __init__(self, send: Send | None) -> None:
        self._send = send
        self._messages: list[Message] = []
        self.status = 500
        self.body = bytearray()

    async def hold(self, message: Message) -> None:
        self._messages.append(message)
        if message["type"] == "http.response.start":
            self.status = message["status"]
        elif message["type"] == "http.response.body":
            self.body += message.get("body", b"")

    def kept_headers(self) -> dict[str, str]:
        start = next(m for m in self._messages if m["type"] == "http.response.start")
        return {name.decode(): value.decode() for name, value in start["headers"] if name == b"location"}

    async def release(self) -> None:
        if self._send is not None:
            for message in self._messages:
                await self._send(message)
