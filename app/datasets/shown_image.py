"""An image of a data set as a page of rows shows it."""

import base64
from typing import Any

from app.preprocessing.pixels import open_image

# A page has up to a hundred rows; larger images are told by their size only.
MOST_SHOWN_BYTES = 64 << 10


def show_image(content: bytes | None) -> dict[str, Any] | None:
    """Return `{"b64", "format", "width", "height", "bytes"}`: sides as stored; `b64` is null for large files."""
    if content is None:
        return None
    image = open_image(content)
    shown = base64.b64encode(content).decode() if len(content) <= MOST_SHOWN_BYTES else None
    return {
        "b64": shown,
        "format": "png" if image.format == "PNG" else "jpeg",
        "width": image.width,
        "height": image.height,
        "bytes": len(content),
    }
