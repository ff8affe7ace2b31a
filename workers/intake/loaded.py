"""What comes of loading a model file: the model with the facts of the file, or a refusal."""

from dataclasses import dataclass, field
from typing import Any

from app.models.intake.rewrite.refused import Refused

__all__ = ["Facts", "Loaded", "Refused"]


@dataclass(frozen=True)
class Facts:
    """What a model file is.

    `format`: "keras" (zip), "h5", "h5+json" or "weights.h5+json". `keras_version`: as the file says it, "" where it
    does not. `layers`: name and class of every layer, nested ones included ("outer/inner"). `rewritten`: what was
    brought to today's Keras, as {"layer", "what"}.
    """

    format: str
    keras_version: str
    layers: list[dict[str, str]]
    parameters: int
    rewritten: list[dict[str, str]] = field(default_factory=list)


@dataclass(frozen=True)
class Loaded:
    """A Keras 3 model, built anew from the rewritten config and not compiled, with the weights of the file."""

    model: Any
    facts: Facts
