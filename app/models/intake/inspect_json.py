"""The JSON of a model file, strictly: small, shallow, without a key twice or a number that is none."""

import json
import math
from typing import Any

import orjson

from app.models.intake.findings import RefusedUpload, reason
from app.models.intake.limits import MAX_JSON_DEPTH, MAX_JSON_NODES

_MAX_TEXT_CHARS = 10_000
_MAX_WHOLE = 2**63


class _Twice(Exception):
    pass


def parse_config(content: bytes, where: str, most_bytes: int) -> Any:
    """Return the value of a JSON text of an upload.

    RefusedUpload: `config_too_large`, `config_too_deep`, or `config_invalid` for what is not RFC 8259 JSON, has a key
    twice in one object, NaN or infinity, or a number or text beyond all use.
    """
    if len(content) > most_bytes:
        raise _refused("config_too_large", f"It has {len(content)} bytes; at most {most_bytes} may be.", where)
    try:
        value = orjson.loads(content)
    except orjson.JSONDecodeError as error:
        if "depth limit" in str(error):  # its parser stops at 1,024 levels
            raise _too_deep(where) from error
        raise _refused("config_invalid", "It is not JSON in UTF-8, or has NaN or Infinity in it.", where) from error
    _check(value, where)
    try:
        # orjson keeps the last of two equal keys; the standard parser shows the pairs.
        json.loads(content, object_pairs_hook=_unique)
    except _Twice as error:
        raise _refused("config_invalid", "It has a key twice in one object.", where) from error
    return value


def _check(value: Any, where: str) -> None:
    nodes = 0
    stack = [(value, 1)]
    while stack:
        node, depth = stack.pop()
        nodes += 1
        if nodes > MAX_JSON_NODES:
            raise _refused("config_too_large", f"It has more than {MAX_JSON_NODES} values.", where)
        if isinstance(node, dict | list) and depth > MAX_JSON_DEPTH:
            raise _too_deep(where)
        if isinstance(node, dict):
            for key in node:
                _check_text(key, where)
            stack.extend((child, depth + 1) for child in node.values())
        elif isinstance(node, list):
            stack.extend((child, depth + 1) for child in node)
        elif isinstance(node, str):
            _check_text(node, where)
        elif isinstance(node, float) and not math.isfinite(node):
            raise _refused("config_invalid", "It has a number beyond the range of a double.", where)
        elif isinstance(node, int) and not -_MAX_WHOLE <= node < _MAX_WHOLE:
            raise _refused("config_invalid", "It has a whole number of more than 64 bits.", where)


def _check_text(text: str, where: str) -> None:
    if len(text) > _MAX_TEXT_CHARS or "\x00" in text:
        raise _refused("config_invalid", f"It has a text with NUL, or of over {_MAX_TEXT_CHARS} characters.", where)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise _Twice
    return found


def _too_deep(where: str) -> RefusedUpload:
    return _refused("config_too_deep", f"It nests deeper than {MAX_JSON_DEPTH} levels.", where)


def _refused(code: str, message: str, where: str) -> RefusedUpload:
    return RefusedUpload([reason(code, message, where)])
