"""Which requests go below FastAPI: predictions, as our own route and as TensorFlow Serving's, and embeddings."""

import enum
import re
from dataclasses import dataclass

from app.core.errors import NotFound
from app.inference.catalogue import Selector, parse_ref

_NATIVE = re.compile(r"/v1/models/([^/]{1,200})/(predict|embed)")
_TF = re.compile(r"/v1/models/([^/:]{1,100})(?:/versions/([^/:]{1,100})|/labels/([^/:]{1,100}))?:predict")


class Verb(enum.Enum):
    """What is asked for, and in whose form."""

    NATIVE = "predict"
    EMBED = "embed"
    TF_SERVING = ":predict"


@dataclass(frozen=True)
class Route:
    """A path taken apart. `name` is None for a ref, kept as it came, that no model can have."""

    verb: Verb
    ref: str
    name: str | None
    selector: Selector


def parse_path(path: str) -> Route | None:
    """Return what a (decoded) path asks for; None when it is no prediction."""
    if match := _NATIVE.fullmatch(path):
        return _route(Verb(match[2]), match[1])
    if match := _TF.fullmatch(path):
        name, version, alias = match.groups()
        if version is not None and not version.isdigit():
            return Route(Verb.TF_SERVING, f"{name}@{version}", None, None)
        wanted = version or alias
        return _route(Verb.TF_SERVING, f"{name}@{wanted}" if wanted else name)
    return None


def _route(verb: Verb, ref: str) -> Route:
    try:
        return Route(verb, ref, *parse_ref(ref))
    except NotFound:
        return Route(verb, ref, None, None)
