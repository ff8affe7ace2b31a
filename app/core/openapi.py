"""What every operation of the OpenAPI document shares: its errors, and the key."""

from typing import Any

_FIELD = {
    "type": "object",
    "required": ["type", "code", "param", "message", "request_id", "details"],
    "properties": {
        "type": {"type": "string"},
        "code": {"type": "string", "description": "Stable, for programs; docs/errors.md lists them."},
        "param": {"type": ["string", "null"], "description": "The field that was wrong."},
        "message": {"type": "string", "description": "What was wrong and where, for people."},
        "request_id": {"type": "string"},
        "details": {"type": "array", "items": {"type": "object"}, "description": "Every finding, if several."},
    },
}
_SCHEMA = {"type": "object", "required": ["error"], "properties": {"error": _FIELD}}
_ANSWER = {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}}

_ALWAYS = {
    "401": "No valid key.",
    "422": "Well-formed, with wrong content; `param` and `details` name it.",
    "500": "A fault of the service; its log says which.",
    "503": "Overloaded, or a part of the service does not answer (`Retry-After`).",
}
_WITH_ID = {"404": "There is no such object."}
_WITH_BODY = {
    "400": "Not JSON as RFC 8259 has it (`invalid_json`).",
    "409": "It does not fit the state of the object, or the `Idempotency-Key` is in use.",
    "413": "The body is too large.",
    "415": "The Content-Type is not accepted.",
    "507": "The disk is nearly full.",
}
_OPEN_PATHS = ("/livez", "/readyz")


def complete_document(document: dict[str, Any]) -> None:
    """Add to each operation the errors that the shared layers answer, and the Bearer key."""
    components = document.setdefault("components", {})
    schemas = components.setdefault("schemas", {})
    schemas["Error"] = _SCHEMA
    for replaced in ("HTTPValidationError", "ValidationError"):
        schemas.pop(replaced, None)
    components["securitySchemes"] = {"key": {"type": "http", "scheme": "bearer"}}
    for path, item in document["paths"].items():
        for method, operation in item.items():
            if path not in _OPEN_PATHS:
                operation.setdefault("security", [{"key": []}])
            _add_errors(path, method, operation)


def _add_errors(path: str, method: str, operation: dict[str, Any]) -> None:
    found = dict(_ALWAYS)
    if path in _OPEN_PATHS:
        del found["401"]
    if "{" in path or (path == "/v1/jobs" and method == "post"):
        found |= _WITH_ID
    if method in ("post", "put", "patch", "delete"):
        found |= _WITH_BODY
    responses = operation.setdefault("responses", {})
    for status, description in found.items():
        known = responses.get(status)
        if known is None or "HTTPValidationError" in str(known):
            responses[status] = {"description": description, "content": _ANSWER}
