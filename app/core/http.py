"""What every route shares: strict bodies, one form of error, paging, and who calls (API.md §1)."""

from collections.abc import Callable, Coroutine
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from fastapi.routing import APIRoute
from pydantic import BaseModel

from app.core.errors import UNION_TAG, TooLarge, TrainyardError, Unprocessable, UnsupportedMedia
from app.core.json import dump_json, parse_json

_MISSING = ("missing", "value_error.missing")


class ApiResponse(JSONResponse):
    """JSON by orjson; NaN and infinities become null."""

    def render(self, content: Any) -> bytes:
        return dump_json(content)


class StrictRoute(APIRoute):
    """A route whose JSON body is RFC 8259 and bounded, and whose query has no unknown names.

    `openapi_extra={"x-open-query": True}` leaves the query to the route.
    """

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handler = super().get_route_handler()
        has_body = self.body_field is not None
        body_required = has_body and self.body_field is not None and self.body_field.field_info.is_required()
        query_names = {field.alias for field in self._query_fields()}
        open_query = bool((self.openapi_extra or {}).get("x-open-query"))

        async def strict(request: Request) -> Response:
            if not open_query:
                _check_query(request, query_names)
            if has_body:
                body = await _read_json_body(request)
                if body or body_required:
                    request._json = parse_json(body)
            return await handler(request)

        return strict

    def _query_fields(self) -> list[Any]:
        fields: list[Any] = []
        waiting = [self.dependant]
        while waiting:
            dependant = waiting.pop()
            fields.extend(dependant.query_params)
            waiting.extend(dependant.dependencies)
        flat: list[Any] = []
        for field in fields:
            annotation = field.field_info.annotation
            if isinstance(annotation, type) and issubclass(annotation, BaseModel):
                flat.extend(_Alias(info.alias or name) for name, info in annotation.model_fields.items())
            else:
                flat.append(field)
        return flat


class _Alias:
    def __init__(self, alias: str) -> None:
        self.alias = alias


def make_router(prefix: str = "", tag: str | None = None) -> APIRouter:
    """Return a router whose routes are strict and answer JSON by orjson."""
    return APIRouter(
        prefix=prefix, route_class=StrictRoute, default_response_class=ApiResponse, tags=[tag] if tag else None
    )


def get_services(request: Request) -> Any:
    """Return the services that `create_app` built."""
    return request.app.state.services


def get_project(request: Request) -> str:
    """Return the project that the caller's key belongs to."""
    project: str = request.scope["trainyard.project"]
    return project


def get_key_name(request: Request) -> str:
    """Return the name of the caller's key, "" where no key is asked for."""
    key: str = request.scope["trainyard.key"]
    return key


class Page(BaseModel):
    """Where a list begins, how long a page is, and in which order."""

    limit: int
    after: str | None
    descending: bool


def page_query(
    limit: Annotated[int, Query(ge=1, le=100, description="Objects of one page.")] = 20,
    after: Annotated[str | None, Query(max_length=255, description="The last id of the page before.")] = None,
    order: Annotated[Literal["asc", "desc"], Query(description="By time of creation.")] = "desc",
) -> Page:
    """Read `limit`, `after` and `order` of a list (a dependency)."""
    return Page(limit=limit, after=after, descending=order == "desc")


ServicesDep = Annotated[Any, Depends(get_services)]
ProjectDep = Annotated[str, Depends(get_project)]
KeyNameDep = Annotated[str, Depends(get_key_name)]
PageDep = Annotated[Page, Depends(page_query)]


def list_body(data: list[dict[str, Any]], has_more: bool, key: str = "id") -> dict[str, Any]:
    """Return the body of a list; `key` names the field that `after` takes."""
    return {
        "object": "list",
        "data": data,
        "first_id": data[0][key] if data else None,
        "last_id": data[-1][key] if data else None,
        "has_more": has_more,
    }


def error_body(error: TrainyardError, request_id: str) -> dict[str, Any]:
    """Return the one form of an error (API.md §1)."""
    return {
        "error": {
            "type": error.type,
            "code": error.code,
            "param": error.param,
            "message": error.message,
            "request_id": request_id,
            "details": error.details,
        }
    }


def error_headers(error: TrainyardError) -> dict[str, str]:
    """Return the headers that go with an error."""
    headers = {}
    if error.retry_after_seconds is not None:
        headers["Retry-After"] = str(error.retry_after_seconds)
    if error.status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    return headers


def validation_error(error: RequestValidationError) -> TrainyardError:
    """Turn what pydantic found into one error that names every field, and echoes no value."""
    details = [_finding(item) for item in error.errors()]
    first = details[0]
    return Unprocessable(
        first["message"] if len(details) == 1 else f"{first['message']} ({len(details)} fields are wrong.)",
        code=first["code"],
        param=first["param"],
        details=details,
    )


def _finding(item: Any) -> dict[str, Any]:
    # Only the first part says where a field is sent; a field itself may be called `header`.
    place, *rest = item["loc"] or ("body",)
    where = [str(part) for part in (rest if place in ("body", "query", "path", "header") else item["loc"])]
    if where and where[0].startswith(UNION_TAG):
        where = where[1:]
    param = ".".join(where) or item.get("ctx", {}).get("param")
    name = param or "The body"
    kind = item["type"]
    if kind == "extra_forbidden":
        return {"code": "unknown_field", "param": param, "message": f"{name} is not a field of this request."}
    if kind in _MISSING:
        return {"code": "missing_field", "param": param, "message": f"{name} is required."}
    if kind == "value_error":
        message = str(item.get("ctx", {}).get("error", item["msg"]))
        return {"code": "invalid_value", "param": param, "message": f"{name}: {message}."}
    return {"code": "invalid_value", "param": param, "message": f"{name}: {item['msg']}."}


def _check_query(request: Request, names: set[str]) -> None:
    for name in request.query_params:
        if name not in names:
            known = ", ".join(sorted(names)) or "none"
            raise Unprocessable(
                f"{name[:100]} is not a query parameter of this route. Its parameters: {known}.",
                code="unknown_field",
                param=name[:100],
            )


async def _read_json_body(request: Request) -> bytes:
    limit: int = request.app.state.services.settings.max_json_bytes
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > limit:
            raise TooLarge(f"The body is larger than {limit} bytes.")
    request._body = bytes(body)
    if body:
        media_type = request.headers.get("content-type", "").split(";")[0].strip().lower()
        if media_type != "application/json" and not media_type.endswith("+json"):
            raise UnsupportedMedia("Send the body as Content-Type: application/json.")
        if request.headers.get("content-encoding", "identity").lower() != "identity":
            raise UnsupportedMedia("A JSON body with a Content-Encoding is not accepted.")
    return bytes(body)
