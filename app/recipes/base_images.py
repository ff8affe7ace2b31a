"""Images for a base: of its size and channels, and of the scale that it was made for."""

from collections.abc import Mapping, Sequence
from typing import Any

from app.core.errors import Unprocessable
from app.preprocessing.columns import Column
from app.preprocessing.findings import warn
from app.recipes.base import BaseModel
from app.recipes.base_columns import ONE, misfit
from app.recipes.family import Scene
from app.recipes.image_size import BYTE, read_pictures, settle_size

_CHANNELS = {1: "grey", 3: "rgb"}
# Values that a network is made for are about 1 in size, or as they come: 0 to 255.
_TINY, _LARGE = 0.02, 20.0
# Layers at the bottom that bring values to their scale themselves.
_SCALING = frozenset({"Rescaling", "Normalization", "BatchNormalization", "LayerNormalization"})


def settle_images(params: dict[str, Any], base: BaseModel, scene: Scene) -> None:
    """Set size, channels, scale and kind of pixels in place; Unprocessable where the images are not what it reads."""
    if len(scene.inputs) != 1:
        raise Unprocessable(
            f"columns.input: {scene.recipe.name} reads one column of images, not {len(scene.inputs)}. Name one.",
            param="columns.input",
        )
    pictures = read_pictures(scene.inputs[0])
    own = _frame(base)
    for name, value in own.items():
        asked = scene.request.params.get(name)
        if isinstance(asked, int):
            asked = [asked, asked]
        if asked is not None and asked != "auto" and asked != value:
            raise Unprocessable(f"params.{name}: {base.ref} reads images of {name} {value}.", param=f"params.{name}")
        params[name] = value
    if params["channels"] == "auto":
        params["channels"] = "grey" if pictures.is_grey else "rgb"
    params["image_size"] = own.get("image_size") or settle_size(params["image_size"], pictures)
    params["channel_order"] = params["channel_order"] or base.fitted.get("channel_order") or "rgb"
    params["pixels"] = "bytes" if pictures.is_bytes else "numbers"
    params["input_scale"] = params["input_scale"] or base.scale or dict(ONE)


def _frame(base: BaseModel) -> dict[str, Any]:
    """What the base decides of an image."""
    if base.kind == "images":
        frame = base.fitted["frame"]
        return {
            "image_size": [frame["height"], frame["width"]],
            "channels": _CHANNELS[frame["channels"]],
            "resize": frame["method"],
            "fit": frame["fit"],
        }
    shape = base.inputs[0]["shape"][1:]
    told = ", ".join(f"'{spec['name']}' {spec['shape'][1:]}" for spec in base.inputs)
    if len(base.inputs) != 1 or len(shape) not in (2, 3) or (len(shape) == 3 and shape[2] not in (-1, 1, 3)):
        raise misfit(base, f"reads {told}; an image is one input [height, width] or [height, width, 1 or 3 channels].")
    if (shape[0] == -1) != (shape[1] == -1):
        raise misfit(base, f"reads {told}: height and width are to be fixed both, or neither.")
    own: dict[str, Any] = {}
    if shape[0] != -1:
        own["image_size"] = list(shape[:2])
    if len(shape) == 2 or shape[2] != -1:
        own["channels"] = "grey" if len(shape) == 2 else _CHANNELS[shape[2]]
    return own


def check_range(scale: Mapping[str, float], base: BaseModel, columns: Sequence[Column]) -> list[dict[str, Any]]:
    """Warn where the values that would enter the base are plainly not of the size that networks are made for."""
    ends = [_range(column) for column in columns]
    known = [end for end in ends if end is not None]
    if not known:
        return []
    low, high = min(end[0] for end in known), max(end[1] for end in known)
    scaled = [value * scale["multiply"] + scale["add"] for value in (low, high)]
    entering = max(map(abs, scaled))
    figures = {"low": min(scaled), "high": max(scaled)}
    shown = f"{figures['low']:.4g} to {figures['high']:.4g}"
    if high - low > 0 and abs(scaled[1] - scaled[0]) < _TINY:
        message = (
            f"After input_scale the values are from {shown}, all nearly alike to {base.ref}: the data, from {low:g} to "
            f"{high:g}, seem to be scaled already."
        )
        return [warn("input_range", message, None, **figures)]
    first = [entry for entry in base.layers.values() if entry["parameters"] or entry["class"] in _SCALING][:1]
    scales_itself = bool(first) and first[0]["class"] in _SCALING
    if entering > _LARGE and not scales_itself and dict(scale) == ONE and base.scale is None:
        message = (
            f"Values from {shown} enter {base.ref} as they are. If it was trained on others (0 to 1, say), give "
            f'params.input_scale: {{"multiply": {1 / BYTE:.9f}, "add": 0}} for pixels.'
        )
        return [warn("input_scale_unknown", message, None, **figures)]
    return []


def _range(column: Column) -> tuple[float, float] | None:
    if column.type == "image":
        return 0.0, BYTE
    profile: Mapping[str, Any] = getattr(column, "profile", None) or {}
    low, high = profile.get("min"), profile.get("max")
    if low is None or high is None or isinstance(low, str):
        return None
    return float(low), float(high)
