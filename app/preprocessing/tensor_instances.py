"""Tensors in a prediction request: nested lists in the input's type and shape, or an image file in base64."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from app.preprocessing.image_instances import MAX_REQUEST_PIXELS, read_file
from app.preprocessing.pixels import Frame, ImageRefused, decode, displayed_size
from app.preprocessing.refusal import Refused

_MAX_FILE_CHANNELS: Final = (1, 3)
_LARGEST_FLOAT: Final = float(np.finfo(np.float32).max)


def tensor_column(
    column: Mapping[str, Any], values: Sequence[object], refuse: Callable[[int, Refused], Exception]
) -> NDArray[Any]:
    """Return (N, …) values, or (N,) objects where the input has a free axis.

    `refuse` makes the error for the value at an index.
    """
    shape = tuple(column["shape"])
    rows, left = [], MAX_REQUEST_PIXELS
    for index, value in enumerate(values):
        try:
            if isinstance(value, dict):
                row = _pixels(column, shape, value, left)
                left -= row.size
            else:
                row = _tensor(value, column["dtype"], shape)
        except ImageRefused as error:
            raise refuse(index, Refused(f"the image {error}")) from error
        except Refused as refused:
            raise refuse(index, refused) from refused
        rows.append(row)
    if -1 not in shape:
        return np.stack(rows)
    found = np.empty(len(rows), dtype=object)
    for index, row in enumerate(rows):
        found[index] = row
    return found


def holds_truth(value: list[Any]) -> bool:
    """Tell whether a list, or one inside it, holds true or false, which NumPy takes for 1 and 0."""
    types = set(map(type, value))
    return bool in types or (list in types and any(holds_truth(one) for one in value if isinstance(one, list)))


def _tensor(value: object, dtype: str, shape: tuple[int, ...]) -> NDArray[Any]:
    kind = "true and false" if dtype == "bool" else "whole numbers" if "int" in dtype else "numbers"
    wanted = f"expected {kind} in the shape {_show(shape)}" if shape else f"expected one of: {kind}"
    if isinstance(value, list) != bool(shape):
        raise Refused(wanted)
    try:
        array = np.array(value)
    except (ValueError, OverflowError) as error:  # ragged lists; whole numbers beyond every type
        raise Refused(f"{wanted}, got lists of different lengths or numbers that are too large") from error
    if array.ndim != len(shape) or any(
        length not in (-1, given) for length, given in zip(shape, array.shape, strict=True)
    ):
        raise Refused(f"{wanted}, got {_show(array.shape)}")
    if 0 in array.shape:
        raise Refused(f"{wanted}, got an empty list")
    if array.dtype.kind not in ("b" if dtype == "bool" else "iuf"):
        raise Refused(f"{wanted}, got something else among them")
    if dtype != "bool" and isinstance(value, list) and holds_truth(value):
        raise Refused(f"{wanted}, not true or false")
    return _cast(array, dtype, wanted)


def _cast(array: NDArray[Any], dtype: str, wanted: str) -> NDArray[Any]:
    """Return the values in the input's type, where it has them."""
    if dtype == "bool":
        return array
    if dtype.startswith("float"):
        # JSON's numbers are doubles: one beyond single precision would be infinite for the model.
        if not (np.abs(array.astype(np.float64)) <= _LARGEST_FLOAT).all():
            raise Refused(f"{wanted} that fit single precision")
        return array.astype(np.float32)
    bounds = np.iinfo(dtype)
    if array.dtype.kind == "f" and not (np.floor(array) == array).all():
        raise Refused(f"{wanted}, got a fraction")
    if array.min() < bounds.min or array.max() > bounds.max:
        raise Refused(f"{wanted} from {bounds.min} to {bounds.max}")
    return array.astype(dtype)


def _pixels(column: Mapping[str, Any], shape: tuple[int, ...], value: dict[str, Any], left: int) -> NDArray[Any]:
    """Return the pixels of an image file for an input (height, width[, 1 or 3]); it is not resized."""
    channels = 1 if len(shape) == 2 else shape[2] if len(shape) == 3 else 0
    if channels not in _MAX_FILE_CHANNELS or column["dtype"] == "bool":
        raise Refused(f"expected nested lists in the shape {_show(shape)}; image files are for (height, width, 1 or 3)")
    content = read_file(value)
    width, height = displayed_size(content)
    if width * height * channels > left:
        raise Refused(f"the images of one request may have {MAX_REQUEST_PIXELS} values together, got more")
    if shape[0] not in (-1, height) or shape[1] not in (-1, width):
        raise Refused(
            f"the image has {width} × {height} pixels, the model takes {_side(shape[1])} × {_side(shape[0])}: resize it"
        )
    pixels = decode(content, Frame(height, width, channels))
    if column["channel_order"] == "bgr":
        pixels = pixels[:, :, ::-1]
    return pixels.reshape(pixels.shape[: len(shape)]).astype(np.float32)


def _side(length: int) -> str:
    return "any" if length == -1 else str(length)


def _show(shape: tuple[int, ...]) -> str:
    return f"[{', '.join('any' if length == -1 else str(length) for length in shape)}]"
