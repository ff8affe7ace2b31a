"""From what pydantic found to an error of the API: the field's path, what was wrong, what would be right."""

from collections.abc import Sequence
from typing import Any, TypeVar

from pydantic import ValidationError

from app.core.errors import Unprocessable
from app.recipes.request import Request

Model = TypeVar("Model", bound=Request)


def parse_part(model: type[Model], value: Any, path: str) -> Model:
    """Return `value` checked against `model`. Raises Unprocessable that names each wrong field below `path`."""
    try:
        return model.model_validate(value)
    except ValidationError as error:
        details = [_detail(found, path, value) for found in error.errors(include_url=False, include_context=True)]
        first = details[0]
        code = "unknown_field" if error.errors()[0]["type"] == "extra_forbidden" else "invalid_value"
        raise Unprocessable(first["message"], code=code, param=first["param"], details=details) from error


def field_path(location: Sequence[str | int], value: Any, path: str) -> str:
    """Return `params.architecture.units[2]` for a location; parts that are not in `value` (union tags) are left out."""
    here = value
    for position, part in enumerate(location):
        if isinstance(part, int):
            path += f"[{part}]"
            here = here[part] if isinstance(here, list) and part < len(here) else None
        elif isinstance(here, dict) and part not in here and position + 1 < len(location):
            continue  # the tag of a union, not a field
        else:
            path += f".{part}" if path else part
            here = here.get(part) if isinstance(here, dict) else None
    return path


def _detail(found: Any, path: str, value: Any) -> dict[str, Any]:
    param = field_path(found["loc"], value, path)
    if found["type"] == "extra_forbidden":
        return {"param": param, "message": f"{param}: there is no such field."}
    message = found["msg"]
    message = message[0].lower() + message[1:]
    shown = repr(found.get("input"))
    got = f", got {shown}" if len(shown) <= 80 and found["type"] != "missing" else ""
    return {"param": param, "message": f"{param}: {message}{got}."}
