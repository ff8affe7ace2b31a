"""images: a zip of class folders of PNG and JPEG files, each decoded once before it is stored as it came."""

from collections import Counter
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from app.datasets.readers.class_folders import BadFile, ClassFolders
from app.datasets.stored import ColumnInfo
from app.datasets.table import Source
from app.preprocessing.pixels import ImageRefused, decode, open_image

COLUMN = "image"
# Grey images are often stored as colours; JPEG leaves a trace of colour in them.
_GREY_TRACE = 3


class Pictures:
    """Counts what the images are while they are read; `facts` is the column's profile, kept up to date."""

    def __init__(self) -> None:
        self.facts: dict[str, Any] = {}
        self._heights: list[int] = []
        self._widths: list[int] = []
        self._modes: Counter[str] = Counter()
        self._formats: Counter[str] = Counter()
        self._channels: Counter[str] = Counter()

    def take(self, content: bytes) -> bytes:
        """Return the file as it is stored, after it was decoded whole; BadFile where it cannot be."""
        try:
            image = open_image(content)
            pixels = decode(content)
        except ImageRefused as error:
            raise BadFile(str(error)) from error
        self._heights.append(pixels.shape[0])
        self._widths.append(pixels.shape[1])
        self._modes[image.mode] += 1
        self._formats[str(image.format or "").replace("MPO", "JPEG")] += 1
        self._channels["grey" if _is_grey(pixels) else "rgb"] += 1
        return content

    def sum_up(self) -> None:
        """Write what was counted into the facts."""
        self.facts |= {
            "height": _spread(self._heights),
            "width": _spread(self._widths),
            "modes": dict(self._modes.most_common()),
            "formats": dict(self._formats.most_common()),
            "channels": dict(self._channels.most_common()),
        }


class ImageTable(ClassFolders):
    """The images of an archive with their labels."""

    def __init__(self, source: Source) -> None:
        self._pictures = Pictures()
        column = ColumnInfo(COLUMN, "image", profile=self._pictures.facts)
        super().__init__(source, column, self._pictures.take, pa.binary())

    def finish(self) -> None:
        """Sum up what the images are."""
        self._pictures.sum_up()
        super().finish()


def read_images(source: Source) -> ImageTable:
    """Read a zip of images."""
    return ImageTable(source)


def _is_grey(pixels: NDArray[np.uint8]) -> bool:
    if pixels.shape[2] == 1:
        return True
    few = pixels[:: max(1, pixels.shape[0] // 64), :: max(1, pixels.shape[1] // 64)].astype(np.int16)
    return bool((few.max(axis=2) - few.min(axis=2)).max() <= _GREY_TRACE)


def _spread(sides: list[int]) -> dict[str, int]:
    if not sides:
        return {"min": 0, "median": 0, "max": 0}
    return {"min": min(sides), "median": int(np.median(sides)), "max": max(sides)}
