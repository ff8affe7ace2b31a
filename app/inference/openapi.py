"""The place of the prediction routes in the OpenAPI document, from the tables that check their bodies."""

from typing import Any

from app.inference.body import EMBED_FIELDS, NATIVE_FIELDS, TF_FIELDS

_NAME = {"type": "string", "pattern": "^[a-z][a-z0-9._-]{0,62}$"}
_LABELLED = {
    "type": "object",
    "required": ["label", "score", "scores"],
    "properties": {
        "label": {"description": "Of the type that it has in the data set; null where the model gave no number."},
        "score": {"type": ["number", "null"], "description": "Probability of the label."},
        "scores": {"type": "object", "additionalProperties": {"type": ["number", "null"]}},
    },
}
_MULTI_LABELLED = {
    "type": "object",
    "required": ["labels", "scores"],
    "properties": {
        "labels": {"type": "array", "items": {}},
        "scores": {"type": "object", "additionalProperties": {"type": ["number", "null"]}},
    },
}
_VALUE = {
    "type": "object",
    "required": ["value"],
    "properties": {"value": {"description": "A number, or a list of them for several targets."}},
}
_MODEL = {
    "type": "object",
    "required": ["name", "version"],
    "properties": {"name": _NAME, "version": {"type": "integer", "minimum": 1}},
}
_ERROR = {
    "type": "object",
    "required": ["error"],
    "properties": {
        "error": {
            "type": "object",
            "required": ["type", "code", "param", "message", "request_id", "details"],
            "properties": {
                "type": {"type": "string"},
                "code": {"type": "string"},
                "param": {"type": ["string", "null"]},
                "message": {"type": "string"},
                "request_id": {"type": "string"},
                "details": {"type": "array", "items": {"type": "object"}},
            },
        }
    },
}
_PLAIN_ERROR = {"type": "object", "required": ["error"], "properties": {"error": {"type": "string"}}}
_STATUSES = {
    400: "Not JSON as RFC 8259 has it (`invalid_json`).",
    401: "No valid key.",
    404: "No such model, version or alias.",
    413: "The body is too large, or has more instances than the queue takes.",
    415: "The body is not sent as JSON.",
    422: "A field or an instance is wrong; the message names it.",
    503: "The queue of the model is full, or the model cannot be loaded now (`Retry-After`).",
    504: "Not ready within `X-Request-Timeout`.",
}
_HEADERS = [
    {
        "name": "X-Request-Timeout",
        "in": "header",
        "schema": {"type": "number", "exclusiveMinimum": 0},
        "description": "Seconds after which the work is dropped, if it has not begun.",
    },
    {"name": "X-Request-Id", "in": "header", "schema": {"type": "string", "maxLength": 128}},
]


def openapi_paths() -> dict[str, Any]:
    """Return the path items of every prediction route."""
    native = {
        "type": "object",
        "required": ["predictions", "model"],
        "properties": {
            "predictions": {"type": "array", "items": {"anyOf": [_LABELLED, _MULTI_LABELLED, _VALUE]}},
            "model": _MODEL,
        },
    }
    embedded = {
        "type": "object",
        "required": ["embeddings", "dim", "model"],
        "properties": {
            "embeddings": {"type": "array", "items": {"type": "array", "items": {"type": ["number", "null"]}}},
            "dim": {"type": "integer", "minimum": 1, "description": "Numbers of one embedding."},
            "model": _MODEL,
        },
    }
    rows_or_columns = {
        "type": "object",
        "properties": {
            "predictions": {"type": "array", "items": {}, "description": "For `instances`: raw outputs, one a row."},
            "outputs": {"description": "For `inputs`: raw outputs, one a row."},
        },
    }
    ref = _parameter("ref", {"type": "string", "maxLength": 130}, "`name`, `name@3` or `name@alias`.")
    name = _parameter("name", _NAME, "A model.")
    version = _parameter("version", {"type": "integer", "minimum": 1}, "A version of it.")
    alias = _parameter("alias", _NAME, "An alias of one of its versions.")
    body = {"type": "object", "additionalProperties": False}
    own = {**body, "required": list(NATIVE_FIELDS), "properties": NATIVE_FIELDS}
    serving = {**body, "properties": TF_FIELDS}
    texts = {**body, "required": list(EMBED_FIELDS), "properties": EMBED_FIELDS}
    # The text that the documentation shows, its operation's id, and the path's own parameters.
    forms = {
        "/v1/models/{name}:predict": ("tf_predict", [name]),
        "/v1/models/{name}/versions/{version}:predict": ("tf_predict_version", [name, version]),
        "/v1/models/{name}/labels/{alias}:predict": ("tf_predict_label", [name, alias]),
    }
    paths = {
        "/v1/models/{ref}/predict": _post("predict", "Predict", [ref], own, native, _ERROR),
        "/v1/models/{ref}/embed": _post("embed", "Embed texts", [ref], texts, embedded, _ERROR),
    }
    for path, (operation, parameters) in forms.items():
        summary = "Predict, as TensorFlow Serving does"
        paths[path] = _post(operation, summary, parameters, serving, rows_or_columns, _PLAIN_ERROR)
    return paths


def _parameter(name: str, schema: dict[str, Any], description: str) -> dict[str, Any]:
    return {"name": name, "in": "path", "required": True, "schema": schema, "description": description}


def _post(
    operation: str,
    summary: str,
    parameters: list[dict[str, Any]],
    request: dict[str, Any],
    answer: dict[str, Any],
    error: dict[str, Any],
) -> dict[str, Any]:
    timing = {"schema": {"type": "string"}, "description": "`queue;dur=…, inference;dur=…`, milliseconds."}
    responses: dict[str, Any] = {
        "200": {
            "description": "One prediction or embedding an instance, in order.",
            "headers": {"Server-Timing": timing, "X-Request-Id": {"schema": {"type": "string"}}},
            "content": {"application/json": {"schema": answer}},
        }
    }
    for status, description in _STATUSES.items():
        responses[str(status)] = {"description": description, "content": {"application/json": {"schema": error}}}
    return {
        "post": {
            "tags": ["predictions"],
            "operationId": operation,
            "summary": summary,
            "parameters": [*parameters, *_HEADERS],
            "requestBody": {"required": True, "content": {"application/json": {"schema": request}}},
            "responses": responses,
        }
    }
