"""Images as pixels: decoded and brought to one size by one implementation, for the reader, the trainer and the API.

A decoded image is (H, W, C) uint8, C 1 (grey) or 3 (red, green, blue): turned as its EXIF orientation says, laid on
white where it is transparent, 16 bits a value brought to 8.
"""

import io
import struct
import warnings
import zlib
from dataclasses import dataclass
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

# Of broken EXIF data, which is passed over, and of sizes that are checked here.
warnings.filterwarnings("ignore", module=r"PIL\.")

Method = Literal["nearest", "bilinear", "bicubic", "lanczos"]
Fit = Literal["stretch", "crop", "pad"]
FORMATS: Final = ("PNG", "JPEG")
# 150 MB as colours; the largest photographs of phones have 50 million pixels when they are put together by software.
MAX_PIXELS: Final = 50_000_000
MAX_SIDE: Final = 30_000
# A JPEG is decoded at the eighth, quarter or half of its size that is at least this often what is needed.
_DRAFT: Final = 2
_METHODS: Final = {
    "nearest": Image.Resampling.NEAREST,
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
}
_ORIENTATION: Final = 0x0112  # EXIF 2.3, table 4
_SIDEWAYS: Final = (5, 6, 7, 8)
_GREY: Final = ("1", "L", "LA", "La", "I", "I;16", "I;16B", "I;16L", "I;16N", "F")
# What Pillow raises for files that are cut off, damaged or no images.
_BROKEN: Final = (OSError, SyntaxError, ValueError, EOFError, IndexError, TypeError, KeyError, OverflowError,
                  struct.error, zlib.error)  # fmt: skip


class ImageRefused(ValueError):
    """Bytes that are no image that is taken; the message says why, as the end of a sentence."""


@dataclass(frozen=True)
class Frame:
    """What every image becomes: `height` and `width` pixels of `channels` (1 or 3) values, and how it gets there.

    `fit`: "stretch" each side by itself, "crop" what is over on the longer side, or "pad" the shorter one with black.
    """

    height: int
    width: int
    channels: int
    method: Method = "bilinear"
    fit: Fit = "stretch"

    @property
    def shape(self) -> tuple[int, int, int]:
        """Of one image."""
        return (self.height, self.width, self.channels)


def open_image(content: bytes) -> Image.Image:
    """Return the image in `content`, of which nothing but the header is decoded yet.

    Raises ImageRefused for what is neither PNG nor JPEG, and for more than MAX_PIXELS.
    """
    try:
        image = Image.open(io.BytesIO(content), formats=FORMATS)
    except Image.DecompressionBombError as error:
        raise ImageRefused(f"has more than {MAX_PIXELS} pixels") from error
    except _BROKEN as error:
        raise ImageRefused("is no PNG or JPEG image") from error
    width, height = image.size
    if width * height > MAX_PIXELS or max(width, height) > MAX_SIDE:
        raise ImageRefused(f"has {width} × {height} pixels; at most {MAX_PIXELS}, and {MAX_SIDE} a side, are taken")
    return image


def displayed_size(content: bytes) -> tuple[int, int]:
    """Return width and height as an image is looked at, turned as its EXIF orientation says. ImageRefused."""
    image = open_image(content)
    try:
        sideways = image.getexif().get(_ORIENTATION) in _SIDEWAYS
    except _BROKEN:
        sideways = False
    width, height = image.size
    return (height, width) if sideways else (width, height)


def decode(content: bytes, frame: Frame | None = None) -> NDArray[np.uint8]:
    """Return the pixels of a PNG or JPEG file, in the size and channels of `frame`; without one, as it is.

    Raises ImageRefused for what cannot be decoded.
    """
    image = open_image(content)
    try:
        if frame is not None:
            longer = _DRAFT * max(frame.height, frame.width)
            image.draft(None, (longer, longer))
        image.load()
        plain = _plain(_turn(image), None if frame is None else frame.channels)
    except _BROKEN as error:
        raise ImageRefused("cannot be decoded: it is damaged or cut off") from error
    return as_pixels(plain if frame is None else _resize(plain, frame))


def as_pixels(image: Image.Image) -> NDArray[np.uint8]:
    """Return a grey or colour image as (H, W, C)."""
    pixels: NDArray[np.uint8] = np.asarray(image, np.uint8)
    return pixels[:, :, None] if pixels.ndim == 2 else pixels


def bring(pixels: NDArray[Any], frame: Frame) -> NDArray[Any]:
    """Return an array (H, W) or (H, W, C) of numbers in the size and channels of `frame`.

    uint8 stays uint8, as an image file of the same pixels would become; other numbers become float32. Raises
    ImageRefused for other shapes.
    """
    if pixels.ndim == 2:
        pixels = pixels[:, :, None]
    if pixels.ndim != 3 or pixels.shape[2] not in (1, 3) or 0 in pixels.shape:
        raise ImageRefused(f"must have the shape (height, width) or (height, width, 1 or 3), not {pixels.shape}")
    if pixels.dtype != np.uint8:
        return _bring_numbers(pixels.astype(np.float32), frame)
    if pixels.shape == frame.shape:
        return pixels
    image = Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels)
    return as_pixels(_resize(_plain(image, frame.channels), frame))


def _bring_numbers(pixels: NDArray[np.float32], frame: Frame) -> NDArray[np.float32]:
    if pixels.shape[2] > frame.channels:
        # ITU-R 601, as Pillow makes colours grey.
        pixels = pixels @ np.array([[0.299], [0.587], [0.114]], np.float32)
    elif pixels.shape[2] < frame.channels:
        pixels = np.repeat(pixels, frame.channels, axis=2)
    if pixels.shape == frame.shape:
        return np.ascontiguousarray(pixels)
    planes = [np.asarray(_resize(Image.fromarray(pixels[:, :, index]), frame)) for index in range(frame.channels)]
    return np.stack(planes, axis=-1).astype(np.float32)


def _turn(image: Image.Image) -> Image.Image:
    """Turn an image as its EXIF orientation says; one whose EXIF data is broken stays as it is."""
    try:
        return ImageOps.exif_transpose(image)
    except _BROKEN:
        return image


def _plain(image: Image.Image, channels: int | None) -> Image.Image:
    """Return the image in mode L or RGB; None: whichever it is by itself."""
    grey = image.mode in _GREY
    if image.mode.startswith("I"):
        values = np.asarray(image).astype(np.int64)
        image = Image.fromarray((np.clip(values, 0, 65_535) >> 8).astype(np.uint8))
    elif image.mode in ("LA", "La", "PA", "RGBA", "RGBa") or "transparency" in image.info:
        colours = image.convert("RGBA")
        white = Image.new("RGBA", colours.size, (255, 255, 255, 255))
        image = Image.alpha_composite(white, colours).convert("RGB")
    wanted = "L" if channels == 1 or (channels is None and grey) else "RGB"
    return image if image.mode == wanted else image.convert(wanted)


def _resize(image: Image.Image, frame: Frame) -> Image.Image:
    size, method = (frame.width, frame.height), _METHODS[frame.method]
    if image.size == size:
        return image
    if frame.fit == "crop":
        return ImageOps.fit(image, size, method)
    if frame.fit == "pad":
        return ImageOps.pad(image, size, method, color=0)
    # A first reduction by whole numbers to three times the size: of a photograph it is ten times as fast.
    return image.resize(size, method, reducing_gap=None if image.mode == "F" else 3.0)
