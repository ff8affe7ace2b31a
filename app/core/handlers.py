"""The one place where an exception becomes an answer."""

import logging
from collections.abc import Iterator
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.routing import Match

from app.core.asgi import is_plain_error_path
from app.core.errors import BadRequest, MethodNotAllowed, NotFound, TrainyardError
from app.core.http import ApiResponse, error_body, error_headers, validation_error

_log = logging.getLogger("trainyard.errors")


def install_handlers(app: FastAPI) -> None:
    """Make every error of `app` one of `app.core.errors`, in the form of API.md §1."""

    def answer(request: Request, error: TrainyardError, headers: dict[str, str] | None = None) -> Response:
        request_id = request.scope.get("trainyard.request_id", "")
        plain = is_plain_error_path(request.url.path)
        body = {"error": error.message} if plain else error_body(error, request_id)
        return ApiResponse(body, status_code=error.status, headers={**error_headers(error), **(headers or {})})

    @app.exception_handler(TrainyardError)
    def known(request: Request, error: TrainyardError) -> Response:
        return answer(request, error)

    @app.exception_handler(RequestValidationError)
    def invalid(request: Request, error: RequestValidationError) -> Response:
        return answer(request, validation_error(error))

    @app.exception_handler(HTTPException)
    def http(request: Request, error: HTTPException) -> Response:
        if error.status_code == 405:
            methods = allowed_methods(app, request)
            message = f"{request.method} is not a method of {request.url.path}. Its methods: {methods}."
            return answer(request, MethodNotAllowed(message), {"Allow": methods})
        if error.status_code == 404:
            return answer(request, NotFound(f"There is no route {request.url.path[:200]}."))
        return answer(request, BadRequest("The request could not be read.", code="invalid_request"))

    @app.exception_handler(Exception)
    def unknown(request: Request, error: Exception) -> Response:
        _log.error("unhandled error", exc_info=error)
        return answer(request, TrainyardError("Something went wrong inside the service; the log says what."))


def allowed_methods(app: FastAPI, request: Request) -> str:
    """Return the methods of all routes that match the path (Starlette lists the first one's only)."""
    methods: set[str] = set()
    for route in iter_routes(app.router):
        match, _ = route.matches(request.scope)
        if match is not Match.NONE:
            methods |= route.methods or set()
    if "GET" in methods:
        methods.add("HEAD")
    return ", ".join(sorted(methods))


def iter_routes(router: Any) -> Iterator[Any]:
    """Yield every route with methods, those of included routers too."""
    for route in router.routes:
        if hasattr(route, "original_router"):
            yield from iter_routes(route.original_router)
        elif hasattr(route, "methods"):
            yield route
