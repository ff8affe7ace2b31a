"""From what pydantic found to an error of the API: the field's path, what was wrong, what would be right."""

from collections.abc import Sequence
from typing import Any, TypeVar, get_args

from pydantic import ValidationError

from app.core.errors import Unprocessable
from app.recipes.recipe import Recipe
from app.recipes.request import JobRequest, Request

Model = TypeVar("Model", bound=Request)


def parse_part(model: type[Model], value: Any, path: str) -> Model:
    """Return `value` checked against `model`. Raises Unprocessable that names each wrong field below `path`."""
    try:
        return model.model_validate(value)
    except ValidationError as error:
        found = error.errors(include_url=False)
        details = [_detail(one, path, model) for one in found]
        first = details[0]
        code = "unknown_field" if found[0]["type"] == "extra_forbidden" else "invalid_value"
        raise Unprocessable(first["message"], code=code, param=first["param"], details=details) from error


def parse_params(recipe: Recipe, request: JobRequest) -> Request:
    """Return `params` of a request by the recipe's model; an architecture without a type is the recipe's first.

    Raises Unprocessable that names each wrong field.
    """
    asked: dict[str, Any] = dict(request.params)
    architecture = asked.get("architecture")
    if isinstance(architecture, dict) and "type" not in architecture:
        asked["architecture"] = {**architecture, "type": recipe.architectures[0]}
    return parse_part(recipe.params_model, asked, "params")


def _detail(found: Any, path: str, model: type[Request]) -> dict[str, Any]:
    fields, parts = _walk(found["loc"], model)
    param = path + "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in parts)
    if found["type"] == "extra_forbidden":
        return {"param": param, "message": f"{param}: there is no such field. There are {', '.join(fields)}."}
    if found["type"] == "union_tag_invalid":
        context = found["ctx"]
        param += f".{context['discriminator'].strip(chr(39))}"
        message = f"{param}: must be one of {context['expected_tags']}, got {context['tag']!r}."
        return {"param": param, "message": message}
    message = found["msg"][0].lower() + found["msg"][1:]
    shown = repr(found.get("input"))
    got = f", got {shown}" if len(shown) <= 80 and found["type"] != "missing" else ""
    return {"param": param, "message": f"{param}: {message}{got}."}


def _walk(location: Sequence[str | int], model: type[Request]) -> tuple[list[str], list[str | int]]:
    """The fields beside the last part of a location, and the location without the tags of unions."""
    here: list[type[Request]] = [model]
    parts: list[str | int] = []
    fields = list(model.model_fields)
    is_tag = False
    for part in location:
        if is_tag:
            here = [one for one in here if part in get_args(one.model_fields["type"].annotation)]
            fields = [name for one in here for name in one.model_fields]
            is_tag = False
            continue
        parts.append(part)
        fields = [name for one in here for name in one.model_fields]
        if isinstance(part, str):
            known = [one.model_fields[part] for one in here if part in one.model_fields]
            here = [inner for field in known for inner in _models(field.annotation)]
            is_tag = any(field.discriminator is not None for field in known)
    return fields, parts


def _models(annotation: Any) -> list[type[Request]]:
    if isinstance(annotation, type) and issubclass(annotation, Request):
        return [annotation]
    return [found for argument in get_args(annotation) for found in _models(argument)]
