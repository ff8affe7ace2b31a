"""The body of a prediction request: strict JSON, the fields that exist, and the rows in it.

Reading it strictly twice (duplicate keys, numbers beyond a double, NUL) costs several times what a
small prediction does. What the row check has proved is therefore not looked at again: a body of
lists of finite numbers holds nothing else, and a body with as many colons as keys has no key twice.
"""

from typing import Any

import orjson

from app.core.errors import Unprocessable
from app.core.json import check_json, parse_json
from app.inference.predictor import Predictor
from app.inference.rows import Rows
from app.inference.work import Form

MAX_INSTANCES = 1_000_000
SIGNATURES = ("", "serving_default")

_INSTANCES = {
    "type": "array",
    "maxItems": MAX_INSTANCES,
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


Request = tuple[Rows, int, Form]
"""What a prediction request asks for: checked rows, how many they are, and the form of the answer."""


def read_native(body: bytes, predictor: Predictor) -> Request:
    """Read `{"instances": […]}`.

    Raises BadRequest `invalid_json` and Unprocessable, which names field, or instance and column.
    """
    try:
        value = orjson.loads(body)
        instances = value["instances"]
    except (orjson.JSONDecodeError, KeyError, TypeError):
        value = parse_json(body)
        instances = _field(value, "instances")
    if len(value) == 1 and type(instances) is list and instances:
        rows: Rows | None = predictor.rows.check_lists(instances)
        if rows is not None and body.count(b":") == 1:
            return rows, len(instances), Form.NATIVE
    _check_strictly(body, value)
    _refuse_unknown(value, NATIVE_FIELDS)
    return _checked(predictor, _instances(instances, "instances"), Form.NATIVE)


def read_tf(body: bytes, predictor: Predictor) -> Request:
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
        return _checked(predictor, _instances(value["instances"], "instances"), Form.TF_ROWS)
    return _checked(predictor, _rows_of_columns(value["inputs"]), Form.TF_COLUMNS)


def _checked(predictor: Predictor, instances: list[Any], form: Form) -> Request:
    rows = predictor.check(instances) if instances else []
    return rows, len(instances), form


def _check_strictly(body: bytes, value: Any) -> None:
    """Raise what `parse_json` would for a body that orjson let through as `value`."""
    check_json(value)
    instances = value["instances"]
    rows = instances if isinstance(instances, list) else []
    keys = len(value) + sum(len(row) for row in rows if type(row) is dict)
    if body.count(b":") != keys:
        parse_json(body)


def _field(value: Any, name: str) -> Any:
    if not isinstance(value, dict):
        raise Unprocessable(f"The body must be an object with the field {name}.")
    if name not in value:
        _refuse_unknown(value, NATIVE_FIELDS)
        raise Unprocessable(f"{name} is required.", code="missing_field", param=name)
    return value[name]


def _instances(instances: Any, name: str) -> list[Any]:
    if not isinstance(instances, list):
        raise Unprocessable(f"{name}: expected a list of instances.", param=name)
    if len(instances) > MAX_INSTANCES:
        raise Unprocessable(f"{name}: at most {MAX_INSTANCES} instances in one request.", param=name)
    return instances


def _rows_of_columns(inputs: Any) -> list[Any]:
    """Turn the column form into rows: one list, or an object of lists of one length."""
    if isinstance(inputs, list):
        return _instances(inputs, "inputs")
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
