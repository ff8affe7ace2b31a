"""`architecture.type: "layers"` as it is asked for: a list of Keras layer configs."""

from typing import Any, Literal

from pydantic import Field

from app.recipes.request import Request


class LayerConfig(Request):
    """One Keras layer: its class and its own configuration, from the allow-list. A pasted `layer.get_config()` fits."""

    class_name: str = Field(max_length=64)
    config: dict[str, Any] = Field(default_factory=dict)
    module: Any = Field(None, exclude=True, description="As Keras writes it; not looked at.")
    registered_name: Any = Field(None, exclude=True, description="As Keras writes it; not looked at.")
    build_config: Any = Field(None, exclude=True, description="As Keras writes it; not looked at.")


class Layers(Request):
    """A list of Keras layers, one after the other, as written."""

    type: Literal["layers"]
    layers: list[LayerConfig] = Field(min_length=1, max_length=100)
