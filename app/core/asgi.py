"""The outermost layer: request ids, keys, HEAD, ETags and headers, as plain ASGI for speed."""

import hashlib
import logging
import re
import time
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from app.core.auth import Authenticator
from app.core.errors import TrainyardError
from app.core.http import error_body, error_headers
from app.core.ids import new_id
from app.core.json import dump_json
from app.core.logging import log_context

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

_OPEN_PATHS = frozenset({"/livez", "/readyz"})
_REQUEST_ID = re.compile(rb"[\x21-\x7e]{1,128}")
_access = logging.getLogger("trainyard.access")


def header(scope: Scope, name: bytes) -> bytes | None:
    """Return the first header of that (lower-case) name."""
    return next((value for key, value in scope["headers"] if key == name), None)


async def send_json(send: Send, status: int, body: Any, headers: list[tuple[bytes, bytes]]) -> None:
    """Send one whole JSON answer."""
    content = dump_json(body)
    start = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(content)).encode()),
        *headers,
    ]
    await send({"type": "http.response.start", "status": status, "headers": start})
    await send({"type": "http.response.body", "body": content})


async def send_error(send: Send, error: TrainyardError, request_id: str, *, plain: bool = False) -> None:
    """Send an error in the one form, or `{"error": "text"}` where its clients need it."""
    body = {"error": error.message} if plain else error_body(error, request_id)
    headers = [(name.lower().encode(), value.encode()) for name, value in error_headers(error).items()]
    await send_json(send, error.status, body, headers)


class Edge:
    """Wraps everything but predictions, which do the same for themselves at less cost.

    Sets `scope["trainyard.project"]` and `scope["trainyard.request_id"]`; adds `X-Request-Id`,
    `X-Content-Type-Options` and `Cache-Control`; answers HEAD by GET; gives GET of JSON under
    `/v1` an ETag and answers 304; writes one access line a request.
    """

    def __init__(self, app: App, authenticator: Authenticator) -> None:
        self.app = app
        self.authenticator = authenticator

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        given = header(scope, b"x-request-id")
        request_id = given.decode() if given and _REQUEST_ID.fullmatch(given) else new_id("req")
        scope["trainyard.request_id"] = request_id
        token = log_context.set({"request_id": request_id})
        answer = _Answer(scope, send, request_id)
        try:
            try:
                if scope["path"] not in _OPEN_PATHS:
                    caller = self.authenticator.identify(scope["headers"])
                    scope["trainyard.project"], scope["trainyard.key"] = caller.project, caller.key
            except TrainyardError as error:
                await send_error(answer.send, error, request_id, plain=is_plain_error_path(scope["path"]))
            else:
                await self.app(scope, receive, answer.send)
        finally:
            answer.log()
            log_context.reset(token)


def is_plain_error_path(path: str) -> bool:
    """Tell whether errors of `path` are `{"error": "text"}` (API.md §1)."""
    return path.startswith("/v2") or path.endswith(":predict")


class _Answer:
    def __init__(self, scope: Scope, send: Send, request_id: str) -> None:
        self._send = send
        self._method, self._path = scope["method"], scope["path"]
        self._request_id = request_id
        self._if_none_match = header(scope, b"if-none-match")
        self._tagged = self._method in ("GET", "HEAD") and self._path.startswith("/v1/")
        self._start: Message | None = None
        self._status = 0
        self._began = time.perf_counter()
        if self._method == "HEAD":
            scope["method"] = "GET"

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._status = message["status"]
            headers = message.setdefault("headers", [])
            headers.append((b"x-request-id", self._request_id.encode()))
            headers.append((b"x-content-type-options", b"nosniff"))
            if not any(name == b"cache-control" for name, _ in headers):
                headers.append((b"cache-control", b"no-cache"))
            is_json = any(n == b"content-type" and v.startswith(b"application/json") for n, v in headers)
            if self._tagged and self._status == 200 and is_json:
                self._start = message  # held back until the body is known
                return
        elif self._start is not None:
            start, self._start = self._start, None
            if not message.get("more_body"):
                message = self._tag(start, message)
            await self._send(start)
        if self._method == "HEAD" and message["type"] == "http.response.body":
            message = {**message, "body": b""}
        await self._send(message)

    def _tag(self, start: Message, message: Message) -> Message:
        body = message.get("body", b"")
        tags = [value for name, value in start["headers"] if name == b"etag"]
        tag = tags[0] if tags else b'"' + hashlib.sha256(body).hexdigest()[:32].encode() + b'"'
        if not tags:
            start["headers"].append((b"etag", tag))
        known = [part.strip().removeprefix(b"W/") for part in (self._if_none_match or b"").split(b",")]
        if tag in known or b"*" in known:
            start["status"] = self._status = 304
            start["headers"] = [(n, v) for n, v in start["headers"] if n not in (b"content-length", b"content-type")]
            return {**message, "body": b""}
        return message

    def log(self) -> None:
        if _access.isEnabledFor(logging.INFO):
            _access.info(
                "%s %s",
                self._method,
                self._path,
                extra={"status": self._status, "ms": round((time.perf_counter() - self._began) * 1000, 2)},
            )
