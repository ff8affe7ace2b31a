"""Attributions in the form that a client reads (API.md §6)."""

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from app.inference.explain.heat_map import heat_map
from app.inference.predictor import Predictor

# More elements are told as nested lists alone, not one by one with their names.
MOST_NAMED: Final = 1024


def is_picture(shape: tuple[int, ...]) -> bool:
    """Whether an input looks like an image: at least 4 × 4, with 1 or 3 channels."""
    return (len(shape) == 2 or (len(shape) == 3 and shape[2] in (1, 3))) and min(shape[:2]) >= 4


def tell_columns(names: list[str], instance: Any, attributions: NDArray[np.float64]) -> dict[str, Any]:
    """Return one attribution a column, the strongest first; `given` is what the instance has there."""
    given = instance if isinstance(instance, dict) else {}
    order = np.argsort(-np.abs(attributions), kind="stable").tolist()
    return {
        "attributions": [
            {"name": names[index], "value": float(attributions[index]), "given": given.get(names[index])}
            for index in order
        ]
    }


def tell_elements(predictor: Predictor, elements: dict[str, NDArray[np.float64]]) -> dict[str, Any]:
    """Return nested lists in the inputs' shapes, few elements also by name, and pictures as an image.

    Of a picture the channels are summed: `attributions_map` is (H, W). Of several inputs it is an object by name.
    """
    read = [column["name"] for column in predictor.rows.columns if not column.get("ignored")]
    # A single column may have another name than the network's input that it becomes.
    names = dict(zip(elements, read if len(read) == len(elements) else elements, strict=True))
    maps, images, named = {}, {}, []
    for key, values in elements.items():
        name = names[key]
        if is_picture(values.shape):
            flat = values.reshape(*values.shape[:2], -1).sum(axis=2)
            maps[name], images[name] = flat.tolist(), heat_map(flat)
            continue
        maps[name] = values.tolist()
        if values.size <= MOST_NAMED:
            named += [
                {"name": f"{name}[{', '.join(map(str, index))}]" if index else name, "value": float(value)}
                for index, value in np.ndenumerate(values)
            ]
    told: dict[str, Any] = {"attributions": named}
    told["attributions_map"] = maps if len(maps) > 1 else next(iter(maps.values()))
    if images:
        told["image"] = images if len(images) > 1 else next(iter(images.values()))
    return told
