"""Predictions as a small ASGI application, below FastAPI's machinery (DESIGN.md §5).

A FastAPI route costs 45 µs of CPU a request, a prediction of a small model 6 (FACTS, Serving).
Everything on this path is written for that: one dictionary for the path, one pass over the
headers, no database, no log line for an answer that succeeded.
"""

import contextlib
import itertools
import logging
import re
import secrets
import time
from collections.abc import Awaitable, Callable, Iterator, MutableMapping
from typing import Any

from app.core.asgi import header
from app.core.auth import Authenticator
from app.core.errors import (
    MethodNotAllowed,
    Overloaded,
    TooLarge,
    TrainyardError,
    Unprocessable,
    UnsupportedMedia,
)
from app.core.http import error_body, error_headers
from app.core.json import dump_json
from app.inference.batcher import Batcher, ClientGone, Receive, next_turn
from app.inference.body import Request, read_embed, read_native, read_tf
from app.inference.cache import LoadedModel
from app.inference.catalogue import Catalogue, model_not_found
from app.inference.openapi import openapi_paths
from app.inference.paths import Route, Verb, parse_path
from app.inference.service import InferenceService
from app.inference.work import Work

__all__ = ["PredictApp", "openapi_paths"]

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Send = Callable[[Message], Awaitable[None]]
Headers = dict[bytes, bytes]

_access = logging.getLogger("trainyard.access")
_READ_HEADERS = frozenset({b"x-request-id", b"x-request-timeout", b"content-type", b"content-encoding"})
_REQUEST_ID = re.compile(rb"[\x21-\x7e]{1,128}")
_TIMEOUT = re.compile(rb"[0-9]{1,9}(\.[0-9]{1,9})?")
# Reading and checking a larger body takes a millisecond or more: in a thread, beside the loop.
_LOOP_BODY_BYTES = 16 << 10
# Large bodies that one process holds at the same time, in units of the largest that it takes.
_LARGE_BODIES = 4
_MAX_PATHS = 4096
_CLIENT_GONE = 499  # nginx's number for it; only counted, as nobody is there to be told
_JSON = (b"content-type", b"application/json")
_PLAIN = {b"content-type": b"application/json"}
_READERS: dict[Verb, Callable[[bytes, Any, int], Request]] = {
    Verb.NATIVE: read_native,
    Verb.TF_SERVING: read_tf,
    Verb.EMBED: read_embed,
}
_UNFORESEEN = TrainyardError("Something went wrong inside the service; the log says what.")


class PredictApp:
    """Answers the predictions among all requests; `takes` says which those are."""

    def __init__(self, inference: InferenceService, authenticator: Authenticator) -> None:
        self._inference = inference
        self._authenticator = authenticator
        self._max_bytes = inference.settings.max_predict_bytes
        self._timeout_seconds = inference.settings.predict_timeout_seconds
        self._most_rows = inference.settings.predict_queue_rows
        self._held_bytes = 0
        self._routes: dict[str, Route | None] = {}
        # Which model answers a path, for as long as the catalogue is the same.
        self._models: dict[tuple[str, str], LoadedModel] = {}
        self._catalogue: Catalogue | None = None
        self._id_prefix = f"req_{secrets.token_hex(6)}".encode()
        self._ids = itertools.count(1)
        self._uses = inference.cache.uses
        self._loop_bytes = min(_LOOP_BODY_BYTES, self._max_bytes)

    def takes(self, scope: Scope) -> bool:
        """Whether a request is answered here."""
        return scope["type"] == "http" and self._route(scope["path"]) is not None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request for which `takes` is true."""
        arrived = time.perf_counter()
        path = scope["path"]
        route = self._require_route(path)
        headers = {name: value for name, value in scope["headers"] if name in _READ_HEADERS}
        is_plain = headers == _PLAIN
        request_id = b"%b%010x" % (self._id_prefix, next(self._ids)) if is_plain else self._request_id(headers)
        model = None
        failure: TrainyardError | None = _UNFORESEEN
        try:
            project = self._authenticator.check(scope["headers"])
            deadline = arrived + (self._timeout_seconds if is_plain else self._seconds(headers))
            if self._catalogue is self._inference.catalogue:
                model = self._models.get((project, path))
            if model is None or not model.is_loaded or scope["method"] != "POST":
                model = await self._find(scope, project, route, deadline)
            message = await receive()
            body = message.get("body", b"")
            batcher = _queue_of(model, route)
            most_bytes = 0 if batcher.predictor.decodes else self._loop_bytes
            if not is_plain or message.get("more_body") or not 0 < len(body) <= most_bytes:
                work = await self._slowly(batcher, route, scope, headers, message, receive)
            else:
                work = Work(*_READERS[route.verb](body, batcher.predictor, self._most_rows))
            work.arrived, work.deadline = arrived, deadline
            if work.size:
                model.used = next(self._uses)
                batcher.add(work)
                await next_turn()
                if work.body is None:
                    await batcher.finish(work, receive)
            else:
                work.body = batcher.encoder.empty(work.form)
                batcher.figures.count(200, time.perf_counter() - arrived)
            failure = None
        except ClientGone:
            failure = None
            self._count(model, _CLIENT_GONE, arrived)
            return
        except TrainyardError as error:
            failure = error
            return
        finally:
            if failure is not None:
                # Also on the way of an error that nobody foresaw: the client gets its form of it.
                self._count(model, failure.status, arrived)
                _log_failure(scope, failure, request_id, arrived)
                await _send_error(send, failure, request_id, route)
        await send({"type": "http.response.start", "status": 200, "headers": _headers(work, request_id)})
        await send({"type": "http.response.body", "body": work.body})

    async def _slowly(
        self, batcher: Batcher[Any], route: Route, scope: Scope, headers: Headers, message: Message, receive: Receive
    ) -> Work:
        """Read and check a request with headers of its own, or a body that is large or comes in pieces."""
        _check_media(route, headers)
        if message["type"] != "http.request":
            raise ClientGone
        predictor, read = batcher.predictor, _READERS[route.verb]
        body = message.get("body", b"")
        if not message.get("more_body") and len(body) <= self._loop_bytes and not predictor.decodes:
            return Work(*read(body, predictor, self._most_rows))
        with self._holding(len(body) if not message.get("more_body") else self._told_bytes(scope)):
            whole = await self._read_body(message, receive)
            return Work(*await self._inference.run_in_thread(lambda: read(whole, predictor, self._most_rows)))

    @contextlib.contextmanager
    def _holding(self, size: int) -> Iterator[None]:
        """Count a large body against what the process may hold; refuse it before it is read."""
        if size > self._max_bytes:
            raise self._too_large()
        if self._held_bytes + size > _LARGE_BODIES * self._max_bytes:
            raise Overloaded("The service holds too many large requests; try again.", retry_after_seconds=1)
        self._held_bytes += size
        try:
            yield
        finally:
            self._held_bytes -= size

    def _told_bytes(self, scope: Scope) -> int:
        """Return the size of a body that comes in pieces: as told, or the largest that it may have."""
        told = header(scope, b"content-length") or b""
        return int(told) if told.isdigit() and len(told) < 20 else self._max_bytes

    async def _read_body(self, message: Message, receive: Receive) -> bytes:
        parts = [message.get("body", b"")]
        size = len(parts[0])
        while message.get("more_body"):
            message = await receive()
            if message["type"] != "http.request":
                raise ClientGone
            parts.append(message.get("body", b""))
            size += len(parts[-1])
            if size > self._max_bytes:
                raise self._too_large()
        return b"".join(parts)

    def _too_large(self) -> TooLarge:
        return TooLarge(f"The body is larger than {self._max_bytes} bytes.")

    async def _find(self, scope: Scope, project: str, route: Route, deadline: float) -> LoadedModel:
        """Return the model of a path that is not known yet, and remember it."""
        inference = self._inference
        if scope["method"] != "POST":
            raise MethodNotAllowed(f"{scope['method']} is not a method of this path. Its methods: POST.")
        if route.name is None:
            raise model_not_found(route.ref)
        left = max(0.0, deadline - time.perf_counter())
        model = await inference.get(project, route.name, route.selector, left)
        if self._catalogue is not inference.catalogue or len(self._models) > _MAX_PATHS:
            self._models.clear()
            self._catalogue = inference.catalogue
        # Unless the ref came to mean another version while this one was loaded.
        if self._catalogue.find(project, route.name, route.selector) == model.entry:
            self._models[project, scope["path"]] = model
        return model

    def _route(self, path: str) -> Route | None:
        try:
            return self._routes[path]
        except KeyError:
            if len(self._routes) > _MAX_PATHS:
                self._routes.clear()
            self._routes[path] = parse_path(path)
            return self._routes[path]

    def _require_route(self, path: str) -> Route:
        route = self._route(path)
        if route is None:
            raise ValueError("not a path of predictions")
        return route

    def _request_id(self, headers: Headers) -> bytes:
        given = headers.get(b"x-request-id")
        if given is not None and _REQUEST_ID.fullmatch(given):
            return given
        return b"%s%010x" % (self._id_prefix, next(self._ids))

    def _seconds(self, headers: Headers) -> float:
        given = headers.get(b"x-request-timeout")
        if given is None:
            return self._timeout_seconds
        if not _TIMEOUT.fullmatch(given):
            raise Unprocessable("X-Request-Timeout: expected seconds, such as 2.0.", param="X-Request-Timeout")
        return min(float(given), self._timeout_seconds)

    def _count(self, model: LoadedModel | None, status: int, arrived: float) -> None:
        figures = self._inference.figures.of("") if model is None else model.batcher.figures
        figures.count(status, time.perf_counter() - arrived)


def _queue_of(model: LoadedModel, route: Route) -> Batcher[Any]:
    """Return the queue that answers what is asked for; Unprocessable where the model does not answer it."""
    if route.verb is Verb.EMBED:
        if model.embedder is None:
            raise Unprocessable(f"The model {model.entry.name} embeds no texts.", code="unsupported", param="model")
        return model.embedder
    if model.embedder is not None and model.batcher.predictor.manifest["task"] is None:
        message = f"The model {model.entry.name} has nothing to predict; it answers embed."
        raise Unprocessable(message, code="unsupported", param="model")
    return model.batcher


def _headers(work: Work, request_id: bytes) -> list[tuple[bytes, bytes]]:
    return [
        _JSON,
        (b"content-length", b"%d" % len(work.body or b"")),
        (b"x-request-id", request_id),
        (b"server-timing", b"queue;dur=%.3f, inference;dur=%.3f" % (work.queue_ms, work.inference_ms)),
    ]


def _check_media(route: Route, headers: Headers) -> None:
    media = headers.get(b"content-type")
    if media != b"application/json" and route.verb is not Verb.TF_SERVING:
        # TensorFlow Serving reads any content type as JSON, and so do its clients' requests here.
        kind = (media or b"").split(b";")[0].strip().lower()
        if kind != b"application/json" and not kind.endswith(b"+json"):
            raise UnsupportedMedia("Send the body as Content-Type: application/json.")
    if headers.get(b"content-encoding", b"identity").lower() != b"identity":
        raise UnsupportedMedia("A JSON body with a Content-Encoding is not accepted.")


def _log_failure(scope: Scope, failure: TrainyardError, request_id: bytes, arrived: float) -> None:
    _access.info(
        "%s %s",
        scope["method"],
        scope["path"],
        extra={
            "status": failure.status,
            "ms": round((time.perf_counter() - arrived) * 1000, 2),
            "request_id": request_id.decode(),
        },
    )


async def _send_error(send: Send, error: TrainyardError, request_id: bytes, route: Route) -> None:
    is_plain = route.verb is Verb.TF_SERVING
    body = dump_json({"error": error.message} if is_plain else error_body(error, request_id.decode()))
    more = {**error_headers(error), **({"Allow": "POST"} if error.status == 405 else {})}
    headers = [
        _JSON,
        (b"content-length", b"%d" % len(body)),
        (b"x-request-id", request_id),
        *((name.lower().encode(), value.encode()) for name, value in more.items()),
    ]
    await send({"type": "http.response.start", "status": error.status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
