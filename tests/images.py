"""Small image files, and zips of them, for tests."""

import io
import zipfile
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from PIL import Image


def png(pixels: NDArray[np.uint8], mode: str | None = None) -> bytes:
    """Return pixels (H, W[, C]) as a PNG file, in a mode of Pillow."""
    sink = io.BytesIO()
    image = Image.fromarray(pixels)
    (image if mode is None else image.convert(mode)).save(sink, "PNG")
    return sink.getvalue()


def jpeg(pixels: NDArray[np.uint8], mode: str | None = None, **options: object) -> bytes:
    """Return pixels (H, W[, C]) as a JPEG file."""
    sink = io.BytesIO()
    image = Image.fromarray(pixels)
    (image if mode is None else image.convert(mode)).save(sink, "JPEG", **options)
    return sink.getvalue()


def zip_of(files: Mapping[str, bytes], compression: int = zipfile.ZIP_STORED) -> bytes:
    """Return a zip of files by name."""
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w", compression) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return sink.getvalue()
