"""Which requests go below FastAPI: predictions, and what TensorFlow Serving's clients ask of a model."""

import enum
import re
from dataclasses import dataclass

from app.inference.catalogue import Selector

_NAME = r"[a-z][a-z0-9._-]{0,62}"
_NATIVE = re.compile(r"/v1/models/([^/]{1,200})/predict")
_TF = re.compile(
    r"/v1/models/([^/:]{1,100})(?:/versions/([^/:]{1,20})|/labels/([^/:]{1,100}))?(:predict|:classify|:regress|/metadata)"
)
_TF_LABEL_STATUS = re.compile(r"/v1/models/([^/:]{1,100})/labels/([^/:]{1,100})")
_VERSION = re.compile(r"[1-9][0-9]{0,17}")


class Verb(enum.Enum):
    """What a path asks for."""

    PREDICT = "predict"
    TF_PREDICT = ":predict"
    TF_METADATA = "metadata"
    TF_STATUS = "status"


@dataclass(frozen=True)
class Route:
    """A path taken apart. `ref` is as it came where `name` and `selector` are None: no model has it."""

    verb: Verb
    ref: str
    name: str | None
    selector: Selector

    @property
    def method(self) -> str:
        """The method that the path takes."""
        return "POST" if self.verb in (Verb.PREDICT, Verb.TF_PREDICT) else "GET"


def parse_path(path: str) -> Route | None:
    """Return what a (decoded) path asks for; None when it is not for this part of the service."""
    if match := _NATIVE.fullmatch(path):
        return _native(match[1])
    if match := _TF.fullmatch(path):
        name, version, alias, action = match.groups()
        if action == ":predict":
            return _tf(Verb.TF_PREDICT, name, version, alias)
        # `name/metadata` of an own resource never exists, so the path is TensorFlow Serving's.
        return _tf(Verb.TF_METADATA, name, version, alias) if action == "/metadata" else None
    if match := _TF_LABEL_STATUS.fullmatch(path):
        return _tf(Verb.TF_STATUS, match[1], None, match[2])
    return None


def _native(ref: str) -> Route:
    match = re.fullmatch(rf"({_NAME})(?:@(?:([1-9][0-9]{{0,17}})|({_NAME})))?", ref)
    if match is None:
        return Route(Verb.PREDICT, ref, None, None)
    name, version, alias = match.groups()
    return Route(Verb.PREDICT, ref, name, int(version) if version else alias)


def _tf(verb: Verb, name: str, version: str | None, alias: str | None) -> Route:
    wanted = version or alias
    ref = f"{name}@{wanted}" if wanted else name
    known = re.fullmatch(_NAME, name) is not None
    if version is not None:
        known = known and _VERSION.fullmatch(version) is not None
        return Route(verb, ref, name if known else None, int(version) if known else None)
    known = known and (alias is None or re.fullmatch(_NAME, alias) is not None)
    return Route(verb, ref, name if known else None, alias if known else None)
