"""The body of a prediction request: strict JSON, the fields that exist, and the rows in it.

Looking at every value of it for what a parser lets through (duplicate keys, numbers beyond a double, NUL, depth)
costs more than a small prediction does. Mostly the text itself proves that there is no such thing: as many colons as
keys, so no key was there twice; no bracket but those of the rows, so nothing is nested; no NUL escaped. Where it does
not, because a text holds a colon or a bracket, every value is looked at.
"""

import math
from itertools import chain
from typing import Any

import orjson

from app.core.errors import Unprocessable
from app.core.json import parse_json
from app.inference.batcher import too_many_rows
from app.inference.embedder import Embedder
from app.inference.predictor import Predictor
from app.inference.rows import Rows
from app.inference.work import Form

SIGNATURES = ("", "serving_default")
_INFINITE = frozenset({math.inf, -math.inf})

_INSTANCES = {
    "type": "array",
    "items": {},
    "description": "Rows: objects of columns, or the bare value where the model reads one column.",
}
# The fields of a body, as JSON Schema: what is not here is refused, and the OpenAPI document says the same.
NATIVE_FIELDS: dict[str, Any] = {"instances": _INSTANCES}
TF_FIELDS: dict[str, Any] = {
    "instances": _INSTANCES,
    "inputs": {
        "anyOf": [{"type": "array", "items": {}}, {"type": "object", "additionalProperties": {"type": "array"}}],
        "description": "Columns: an object of lists by input name, or one list where there is one input.",
    },
    "signature_name": {"type": "string", "enum": list(SIGNATURES), "default": ""},
}


EMBED_FIELDS: dict[str, Any] = {
    "input": {
        "anyOf": [{"type": "array", "items": {"type": "string"}}, {"type": "string"}],
        "description": "Texts, or one text.",
    },
}

Request = tuple[Rows, int, Form]
"""What a prediction request asks for: checked rows, how many they are, and the form of the answer."""


def read_native(body: bytes, predictor: Predictor, most_rows: int) -> Request:
    """Read `{"instances": […]}`.

    Raises BadRequest `invalid_json`, TooLarge beyond `most_rows`, and Unprocessable, which names field, or instance
    and column.
    """
    try:
        value = orjson.loads(body)
        instances = value["instances"]
    except (orjson.JSONDecodeError, KeyError, TypeError):
        value = parse_json(body)
        instances = _field(value, "instances", NATIVE_FIELDS)
    if len(value) == 1 and type(instances) is list and instances:
        rows: Rows | None = predictor.rows.check_lists(instances)
        if rows is not None and body.count(b":") == 1:
            return rows, len(instances), Form.NATIVE
    if not _is_proven(body, value, instances):
        parse_json(body)
    _refuse_unknown(value, NATIVE_FIELDS)
    return _checked(predictor, _instances(instances, "instances", most_rows), Form.NATIVE)


def read_tf(body: bytes, predictor: Predictor, most_rows: int) -> Request:
    """Read TensorFlow Serving's `{"instances": […]}` or `{"inputs": …}`, with or without `signature_name`.

    https://www.tensorflow.org/tfx/serving/api_rest, "Predict API".
    """
    value = parse_json(body)
    if not isinstance(value, dict):
        raise Unprocessable("The body must be an object with instances or inputs.")
    _refuse_unknown(value, TF_FIELDS)
    signature = value.get("signature_name", "")
    if signature not in SIGNATURES:
        raise Unprocessable(
            "signature_name: the only signature is serving_default.", code="unsupported", param="signature_name"
        )
    if ("instances" in value) == ("inputs" in value):
        raise Unprocessable("The body must have either instances (rows) or inputs (columns).", param="instances")
    if "instances" in value:
        return _checked(predictor, _instances(value["instances"], "instances", most_rows), Form.TF_ROWS)
    return _checked(predictor, _instances(_rows_of_columns(value["inputs"]), "inputs", most_rows), Form.TF_COLUMNS)


def read_embed(body: bytes, embedder: Embedder, most_rows: int) -> Request:
    """Read `{"input": […]}`; raises as `read_native` does."""
    value = parse_json(body)
    texts = _field(value, "input", EMBED_FIELDS)
    _refuse_unknown(value, EMBED_FIELDS)
    if isinstance(texts, str):
        texts = [texts]
    if not isinstance(texts, list):
        raise Unprocessable("input: expected a list of texts, or one text.", param="input")
    if len(texts) > most_rows:
        raise too_many_rows(len(texts), most_rows)
    return embedder.check(texts), len(texts), Form.EMBED


def _checked(predictor: Predictor, instances: list[Any], form: Form) -> Request:
    rows = predictor.check(instances) if instances else []
    return rows, len(instances), form


def _is_proven(body: bytes, value: dict[str, Any], instances: Any) -> bool:
    """Tell whether the text proves that `parse_json` would accept it; False: not known.

    `instances` must be flat objects; a number beyond a double came as infinity.
    """
    if type(instances) is not list or set(map(type, instances)) != {dict}:
        return False
    return (
        body.count(b":") == len(value) + sum(map(len, instances))
        and body.count(b"{") == len(instances) + 1
        and body.count(b"[") == 1
        and b"\\u0000" not in body
        and _INFINITE.isdisjoint(chain.from_iterable(map(dict.values, instances)))
    )


def _field(value: Any, name: str, known: dict[str, Any]) -> Any:
    if not isinstance(value, dict):
        raise Unprocessable(f"The body must be an object with the field {name}.")
    if name not in value:
        _refuse_unknown(value, known)
        raise Unprocessable(f"{name} is required.", code="missing_field", param=name)
    return value[name]


def _instances(instances: Any, name: str, most_rows: int) -> list[Any]:
    if not isinstance(instances, list):
        raise Unprocessable(f"{name}: expected a list of instances.", param=name)
    if len(instances) > most_rows:
        raise too_many_rows(len(instances), most_rows)
    return instances


def _rows_of_columns(inputs: Any) -> list[Any]:
    """Turn the column form into rows: one list, or an object of lists of one length."""
    if isinstance(inputs, list):
        return inputs
    if not isinstance(inputs, dict) or not inputs:
        raise Unprocessable("inputs: expected a list, or an object of lists by input name.", param="inputs")
    for name, column in inputs.items():
        if not isinstance(column, list):
            raise Unprocessable(f"inputs.{name[:100]}: expected a list, one value a row.", param="inputs")
    lengths = {len(column) for column in inputs.values()}
    if len(lengths) != 1:
        raise Unprocessable("inputs: every input must have as many rows as the others.", param="inputs")
    return [dict(zip(inputs, row, strict=True)) for row in zip(*inputs.values(), strict=True)]


def _refuse_unknown(value: dict[str, Any], known: dict[str, Any]) -> None:
    for name in value:
        if name not in known:
            raise Unprocessable(
                f"{name[:100]} is not a field of this request. Its fields: {', '.join(known)}.",
                code="unknown_field",
                param=name[:100],
            )
