"""From what pydantic found to an error of the API: the field's path, what was wrong, what would be right."""

from collections.abc import Sequence
from typing import Any, TypeVar, get_args

from pydantic import ValidationError

from app.core.errors import Unprocessable
from app.recipes.request import Request

Model = TypeVar("Model", bound=Request)


def parse_part(model: type[Model], value: Any, path: str) -> Model:
    """Return `value` checked against `model`. Raises Unprocessable that names each wrong field below `path`."""
    try:
        return model.model_validate(value)
    except ValidationError as error:
        details = [_detail(found, path, value, model) for found in error.errors(include_url=False)]
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


def _detail(found: Any, path: str, value: Any, model: type[Request]) -> dict[str, Any]:
    param = field_path(found["loc"], value, path)
    if found["type"] == "extra_forbidden":
        fields = ", ".join(_fields_beside(found["loc"], model))
        return {"param": param, "message": f"{param}: there is no such field. There are {fields}."}
    if found["type"] == "union_tag_invalid":
        param += f".{found['ctx']['discriminator'].strip(chr(39))}"
        message = f"{param}: must be one of {found['ctx']['expected_tags']}, got {found['ctx']['tag']!r}."
        return {"param": param, "message": message}
    message = found["msg"]
    message = message[0].lower() + message[1:]
    shown = repr(found.get("input"))
    got = f", got {shown}" if len(shown) <= 80 and found["type"] != "missing" else ""
    return {"param": param, "message": f"{param}: {message}{got}."}


def _fields_beside(location: Sequence[str | int], model: type[Request]) -> list[str]:
    """The fields of the model in which the last part of a location was not found."""
    here: list[type[Request]] = [model]
    for part in location[:-1]:
        if isinstance(part, int):
            continue
        inner = [
            found for one in here if part in one.model_fields for found in _models(one.model_fields[part].annotation)
        ]
        # A part that is no field is the tag of a union: the one member that has it as its type stays.
        here = inner or [one for one in here if part in get_args(one.model_fields["type"].annotation)]
    return [name for one in here for name in one.model_fields]


def _models(annotation: Any) -> list[type[Request]]:
    if isinstance(annotation, type) and issubclass(annotation, Request):
        return [annotation]
    return [found for argument in get_args(annotation) for found in _models(argument)]
