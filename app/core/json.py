"""RFC 8259 JSON, strictly: what a parser quietly lets through is refused here (API.md §1, §8)."""

import json
import math
from typing import Any

import orjson

from app.core.errors import BadRequest, Unprocessable

# Deep enough for a batch of images (instances, row, column, channel) inside objects; far below
# where a recursive consumer would fail.
MAX_DEPTH = 64


def parse_json(body: bytes, *, unique_keys: bool = True) -> Any:
    """Return the value of a JSON text.

    Raise BadRequest `invalid_json` for what is not UTF-8 JSON: NaN, Infinity, a number beyond a
    double, a lone surrogate, a duplicate key (with `unique_keys`), deeper than `MAX_DEPTH`; and
    Unprocessable for a NUL character in a text, which no database of ours can keep.
    """
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise BadRequest(f"The body is not valid JSON: {_reason(error, body)}.") from None
    check_json(value)
    if unique_keys:
        # orjson and pydantic keep the last of two equal keys; the standard parser shows the pairs.
        json.loads(body, object_pairs_hook=_unique)
    return value


def check_json(value: Any) -> None:
    """Raise for a parsed value that nests too deep, overflows a double or holds a NUL."""
    stack: list[tuple[Any, int]] = [(value, 1)]
    while stack:
        node, depth = stack.pop()
        kind = type(node)
        if kind is list or kind is dict:
            if depth > MAX_DEPTH:
                raise BadRequest(f"The body nests deeper than {MAX_DEPTH} levels.")
            if kind is dict:
                for key in node:
                    _check_text(key)
                stack.extend((child, depth + 1) for child in node.values())
            else:
                stack.extend((child, depth + 1) for child in node if type(child) is not int)
        elif kind is str:
            _check_text(node)
        elif kind is float and not math.isfinite(node):
            raise BadRequest("The body holds a number beyond the range of a double.")


def _check_text(text: str) -> None:
    if "\x00" in text:
        raise Unprocessable("A text holds a NUL character, which is not accepted.")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        seen: set[str] = set()
        for key, _ in pairs:
            if key in seen:
                raise BadRequest(f"The body has the key {key[:100]!r} twice in one object.")
            seen.add(key)
    return found


def _reason(error: orjson.JSONDecodeError, body: bytes) -> str:
    if not body.strip():
        return "it is empty"
    message = str(error).split(":")[0].strip()
    return f"{message} (line {error.lineno}, column {error.colno})"


def dump_json(value: Any) -> bytes:
    """Return compact JSON; NaN and infinities become null, NumPy scalars and arrays are numbers."""
    return orjson.dumps(value, option=orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_NON_STR_KEYS)
