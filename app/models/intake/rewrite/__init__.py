"""Brings the config of a Keras model of any version to the form that Keras 3 reads. Pure Python, no Keras."""

from dataclasses import dataclass
from typing import Any

from app.models.intake.rewrite.change import Changes, Config, Origin
from app.models.intake.rewrite.keras1 import to_keras2
from app.models.intake.rewrite.models import rewrite_model
from app.models.intake.rewrite.origin import origin_of
from app.models.intake.rewrite.refused import Refused

__all__ = ["Changes", "Config", "Origin", "Refused", "Rewritten", "rewrite"]


@dataclass(frozen=True)
class Rewritten:
    """A model's config in the form of Keras 3, with what was changed to get there."""

    config: Config
    origin: Origin
    changes: Changes


def rewrite(config: Any, keras_version: str = "", backend: str = "tensorflow") -> Rewritten:
    """Return a model's config, {"class_name", "config"}, as Keras 3 writes it; the given one is left alone.

    `keras_version` and `backend` are what the file says, "" where it does not.
    Refused: for what Keras 3 cannot do or nobody may do; the code says which, `where` names the layer.
    """
    origin = origin_of(config, keras_version, backend)
    changes = Changes()
    if origin.keras < 3:
        changes.note("", f"config of Keras {keras_version or origin.keras} brought to the form of Keras 3")
    if not isinstance(config, dict) or config.get("class_name") not in ("Sequential", "Functional", "Model"):
        name = config.get("class_name") if isinstance(config, dict) else None
        raise Refused("subclassed_model", f"{str(name)[:80]!r} is a class of its own, not Sequential or Functional.")
    try:
        config = _unwrapped(config)
        if origin.keras == 1:
            config = to_keras2(config, changes)
        return Rewritten(rewrite_model(config, "", origin, changes), origin, changes)
    except (TypeError, KeyError, AttributeError, IndexError, ValueError, RecursionError) as error:
        # Every value may be of any type. What is read in many places is checked there; the rest is told here.
        raise Refused("config_invalid", "A value in the config is of a type that Keras never writes.") from error


def _unwrapped(value: Any) -> Any:
    """Return a copy in which lists that TensorFlow marked, {"class_name": "TensorShape", "items": […]}, are plain."""
    if isinstance(value, list):
        return [_unwrapped(inner) for inner in value]
    if not isinstance(value, dict):
        return value
    if value.get("class_name") in ("TensorShape", "__tuple__", "ListWrapper"):
        items = value.get("items", value.get("config"))
        if isinstance(items, list):
            return [_unwrapped(inner) for inner in items]
    return {key: _unwrapped(inner) for key, inner in value.items()}
