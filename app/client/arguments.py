"""What the command line's arguments mean: fields, JSON, instances."""

import base64
import json
import sys
from pathlib import Path
from typing import Any

from app.client.errors import BadInput

# How PNG and JPEG files begin.
_IMAGES = (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff")


def read_pair(text: str) -> tuple[str, str]:
    """Return the two sides of `NAME=VALUE`."""
    name, mark, value = text.partition("=")
    if not mark or not name:
        raise BadInput(f"{text!r} is not NAME=VALUE")
    return name, value


def put_setting(request: dict[str, Any], setting: str) -> None:
    """Put `training.epochs=20` into the request; a value that is no JSON is a string."""
    path, value = read_pair(setting)
    *parents, last = path.split(".")
    place = request
    for parent in parents:
        place = place.setdefault(parent, {})
        if not isinstance(place, dict):
            raise BadInput(f"--set {setting}: {parent} is not an object")
    place[last] = _json_or_text(value)


def _json_or_text(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


def read_instances(argument: str) -> list[Any]:
    """Return the instances of a JSON text, of `@FILE`, or of standard input for `-`.

    A list is several, `{"instances": […]}` is taken as what it holds, lines of JSON are one each. A PNG or JPEG file is
    one instance, an image.
    """
    content = _read_argument(argument)
    if isinstance(content, bytes):
        return [{"b64": base64.b64encode(content).decode()}]
    text = content
    try:
        value = json.loads(text)
    except ValueError as whole:
        try:
            value = [json.loads(line) for line in text.splitlines() if line.strip()]
        except ValueError:
            raise BadInput(f"The instances are not JSON: {whole}") from None
    if isinstance(value, dict) and set(value) == {"instances"}:
        value = value["instances"]
    found = value if isinstance(value, list) else [value]
    if not found:
        raise BadInput("There are no instances to predict for.")
    return found


def _read_argument(argument: str) -> str | bytes:
    """The text that is meant, or the bytes of an image."""
    try:
        if argument == "-":
            return sys.stdin.read()
        if argument.startswith("@"):
            content = Path(argument[1:]).read_bytes()
            return content if content.startswith(_IMAGES) else content.decode("utf-8")
    except OSError as error:
        raise BadInput(f"Cannot read {argument.lstrip('@')}: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise BadInput(f"{argument.lstrip('@')} is not UTF-8 text") from error
    return argument
