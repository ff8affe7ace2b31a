"""What size and channels the images of a data set are brought to, from the profile of their column."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from app.core.errors import Unprocessable
from app.preprocessing.columns import Column, is_picture

# Larger images are made smaller by default: their networks would take hours on a CPU.
MOST_SIDE = 64
LEAST_SIDE = 8
BYTE = 255.0


@dataclass(frozen=True)
class Pictures:
    """What a column of images holds: the usual size, whether all are grey, and its values.

    `is_bytes`: they are 0 to 255, as in files. `low` and `high`: least and largest value of arrays of other numbers.
    """

    height: int
    width: int
    is_grey: bool
    is_bytes: bool = True
    low: float = 0.0
    high: float = BYTE


def read_pictures(column: Column) -> Pictures:
    """Return what `column` holds; Unprocessable where it is an array that is no image."""
    profile: Mapping[str, Any] = getattr(column, "profile", None) or {}
    if column.type == "image":
        height, width = (int(profile[side]["median"]) for side in ("height", "width"))
        return Pictures(height, width, not profile["channels"].get("rgb"))
    shape = column.shape or ()
    if not is_picture(column):
        raise Unprocessable(
            f"columns.input: '{column.name}' has the shape {list(shape)}; an image has the shape [height, width] or "
            "[height, width, channels] with 1 or 3 channels.",
            code="column_type",
            param="columns.input",
        )
    low, high = profile.get("min"), profile.get("max")
    is_bytes = getattr(column, "dtype", None) == "uint8"
    grey = len(shape) == 2 or shape[2] == 1
    if is_bytes or low is None or high is None:
        return Pictures(shape[0], shape[1], grey, is_bytes)
    return Pictures(shape[0], shape[1], grey, is_bytes, float(low), float(high))


def settle_size(asked: Any, pictures: Pictures) -> list[int]:
    """Return [height, width]: as asked, or the usual size, bounded; nearly square images become square."""
    if isinstance(asked, int):
        return [asked, asked]
    if asked is not None:
        return list(asked)
    height, width = pictures.height, pictures.width
    if max(height, width) > MOST_SIDE and max(height, width) < 1.35 * min(height, width):
        height = width = min(height, width)
    shrink = max(1.0, max(height, width) / MOST_SIDE)
    return [max(LEAST_SIDE, round(side / shrink)) for side in (height, width)]
