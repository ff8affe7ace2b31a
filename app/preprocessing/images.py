"""Images as the array a network takes: decoded, brought to one size, scaled; the same code in trainer and API."""

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from app.core.errors import Unprocessable
from app.preprocessing.columns import ColumnArrays
from app.preprocessing.fitted import FittedRows, InstanceColumn, TensorSpec
from app.preprocessing.labels import Target, target_from_json, target_to_json
from app.preprocessing.pixels import Frame, ImageRefused, bring, decode

FORMAT: Final = 1
INPUT: Final = "x"
# Images decoded by one thread before it takes the next ones: a few milliseconds of small ones.
_CHUNK: Final = 64
_THREADS: Final = min(8, os.cpu_count() or 1)


class InputScale(NamedTuple):
    """What a pixel's value becomes: value · multiply + add."""

    multiply: float
    add: float


class ImagePreprocessing(FittedRows):
    """What turns an image column into `x` (N, H, W, C) float32.

    `column` is the one that is read: image files, or arrays of numbers. `is_bytes`: its pixels are 0 to 255, as those
    of files. `mirrors`: whether mirrored images of the training rows look like others of their class. `channel_order`:
    "rgb", or "bgr" for a network that was trained on blue first.
    """

    def __init__(
        self,
        columns: Sequence[InstanceColumn],
        target: Target,
        column: str,
        frame: Frame,
        scale: InputScale,
        is_bytes: bool,
        mirrors: bool,
        strip: bool,
        channel_order: str = "rgb",
    ) -> None:
        super().__init__(columns, target, strip)
        self.column = column
        self.channel_order = channel_order
        self.frame = frame
        self.scale = scale
        self.is_bytes = is_bytes
        self.mirrors = mirrors

    @property
    def inputs(self) -> list[TensorSpec]:
        """The network's input."""
        return [TensorSpec(INPUT, "float32", self.frame.shape)]

    @property
    def instance_columns(self) -> list[dict[str, Any]]:
        """The columns of an instance; that of the image says what an image becomes, and whether files are taken."""
        told = super().instance_columns
        for column in told:
            if column["name"] == self.column:
                column.pop("shape", None)
                column |= {"type": "image", "frame": asdict(self.frame), "files": self.is_bytes}
        return told

    def keep(self, columns: ColumnArrays) -> dict[str, NDArray[Any]]:
        """Return pixels that are not scaled yet, (N, H, W, C): uint8 of files, a quarter of what floats take."""
        return {INPUT: self._pixels(columns[self.column])}

    def transform(self, columns: ColumnArrays) -> dict[str, NDArray[Any]]:
        """Return the scaled pixels."""
        pixels = self._pixels(columns[self.column])
        scaled = pixels.astype(np.float32) * np.float32(self.scale.multiply) + np.float32(self.scale.add)
        return {INPUT: scaled}

    def with_mirrors(self, mirrors: bool) -> "ImagePreprocessing":
        """Return the same with another `mirrors`."""
        return ImagePreprocessing(
            self.columns,
            self.target,
            self.column,
            self.frame,
            self.scale,
            self.is_bytes,
            mirrors,
            self.strip,
            self.channel_order,
        )

    def to_json(self) -> dict[str, Any]:
        """Return everything as plain data; `from_json` gives back the same."""
        return {
            "kind": "images",
            "format": FORMAT,
            "columns": [column.to_json() for column in self.columns],
            "target": target_to_json(self.target),
            "column": self.column,
            "frame": asdict(self.frame),
            "input_scale": self.scale._asdict(),
            "is_bytes": self.is_bytes,
            "mirrors": self.mirrors,
            "strip": self.strip,
            "channel_order": self.channel_order,
        }

    @classmethod
    def from_json(cls, document: dict[str, Any]) -> "ImagePreprocessing":
        """Return what `to_json` wrote. Raises ValueError for another kind or a later format."""
        if document.get("kind") != "images" or document.get("format") != FORMAT:
            raise ValueError(f"not preprocessing of images of format {FORMAT}")
        return cls(
            columns=[InstanceColumn.from_json(column) for column in document["columns"]],
            target=target_from_json(document["target"]),
            column=document["column"],
            frame=Frame(**document["frame"]),
            scale=InputScale(**document["input_scale"]),
            is_bytes=document["is_bytes"],
            mirrors=document["mirrors"],
            strip=document["strip"],
            channel_order=document.get("channel_order", "rgb"),
        )

    def _pixels(self, column: NDArray[Any]) -> NDArray[Any]:
        """An image column, or arrays of numbers, in the size and order of colours of the network."""
        pixels = self._sized(column)
        return np.ascontiguousarray(pixels[..., ::-1]) if self.channel_order == "bgr" else pixels

    def _sized(self, column: NDArray[Any]) -> NDArray[Any]:
        if column.dtype != object and column.shape[1:] in (self.frame.shape, self.frame.shape[:2]):
            whole = column if column.dtype == np.uint8 else column.astype(np.float32, copy=False)
            return whole.reshape(len(column), *self.frame.shape)
        dtype = np.uint8 if column.dtype in (object, np.uint8) else np.float32
        pixels = np.empty((len(column), *self.frame.shape), dtype)

        def fill(start: int) -> None:
            for index in range(start, min(start + _CHUNK, len(column))):
                pixels[index] = self._one(column[index], index)

        if len(column) <= _CHUNK:
            fill(0)
            return pixels
        # Pillow lets other threads run while it decodes.
        with ThreadPoolExecutor(_THREADS, thread_name_prefix="decode") as pool:
            list(pool.map(fill, range(0, len(column), _CHUNK)))
        return pixels

    def _one(self, value: Any, index: int) -> NDArray[Any]:
        try:
            return decode(value, self.frame) if isinstance(value, bytes) else bring(value, self.frame)
        except ImageRefused as error:
            raise Unprocessable(f"Row {index + 1} of '{self.column}' {error}.", param="columns.input") from error


def frame_of(params: dict[str, Any]) -> Frame:
    """Return what images become, from `params` with every field set."""
    height, width = params["image_size"]
    return Frame(height, width, {"grey": 1, "rgb": 3}[params["channels"]], params["resize"], params["fit"])
