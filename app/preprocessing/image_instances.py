"""Images in a prediction request: files in base64, or nested lists of pixels, as pixels of the model's size."""

import binascii
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from app.preprocessing.pixels import Frame, ImageRefused, bring, decode, open_image
from app.preprocessing.refusal import Refused

# All images of one request together: of more it would take seconds to decode them.
MAX_REQUEST_PIXELS: Final = 200_000_000
_SIDES: Final = 1 << 12


def image_column(
    column: Mapping[str, Any], values: Sequence[object], refuse: Callable[[int, Refused], Exception]
) -> NDArray[Any]:
    """Return (N, H, W, C) pixels in the frame that `column` names: uint8 where all are files, else float32.

    `refuse` makes the error for the value at an index.
    """
    frame = Frame(**column["frame"])
    pixels, left = [], MAX_REQUEST_PIXELS
    for index, value in enumerate(values):
        try:
            if isinstance(value, list):
                pixels.append(bring(_numbers(value), frame))
            else:
                content = read_file(value, bool(column["files"]))
                left = _count_down(left, content)
                pixels.append(decode(content, frame))
        except ImageRefused as error:
            raise refuse(index, Refused(f"the image {error}")) from error
        except Refused as refused:
            raise refuse(index, refused) from refused
    dtype = np.uint8 if all(one.dtype == np.uint8 for one in pixels) else np.float32
    return np.stack(pixels).astype(dtype, copy=False)


def _count_down(left: int, content: bytes) -> int:
    """Return how many pixels the further images of the request may have, after the one in `content`."""
    width, height = open_image(content).size
    if width * height > left:
        raise Refused(f"the images of one request may have {MAX_REQUEST_PIXELS} pixels together, got more")
    return left - width * height


def read_file(value: object, are_files: bool = True) -> bytes:
    """Return the bytes of `{"b64": …}`, or of a bare string; a data URL's head is passed over. Refused."""
    wanted = 'a PNG or JPEG image as {"b64": "…"}, or nested lists of pixels' if are_files else "nested lists of pixels"
    text = value
    if isinstance(value, dict):
        text = value.get("b64") if set(value) == {"b64"} else None
    if not isinstance(text, str) or not are_files:
        raise Refused(f"expected {wanted}")
    if text.startswith("data:image/") and ";base64," in text[:64]:
        text = text.split(";base64,", 1)[1]
    try:
        return binascii.a2b_base64(text.encode("ascii"), strict_mode=True)
    except (ValueError, UnicodeEncodeError) as error:  # binascii.Error is a ValueError
        raise Refused("expected base64 of a PNG or JPEG image") from error


def _numbers(value: list[Any]) -> NDArray[np.float32]:
    wanted = Refused("expected nested lists of numbers in the shape [height, width] or [height, width, 1 or 3]")
    try:
        array = np.array(value)
    except (ValueError, OverflowError) as error:  # ragged lists; whole numbers beyond every type
        raise wanted from error
    # NumPy takes true and false among numbers for 1 and 0: of one type each they are told from them.
    if array.dtype.kind not in "iuf" or array.ndim not in (2, 3) or max(array.shape) > _SIDES:
        raise wanted
    with np.errstate(over="ignore"):
        numbers = array.astype(np.float32)
    if not np.isfinite(numbers).all():
        raise wanted
    return numbers
