"""Arrays over a pipe: a frame is two lengths, a head in JSON, and the bytes of its arrays. No pickle, no code.

    head bytes (4, little endian) · array bytes (8, little endian) · head · arrays one after another

The head: `{"kind", "message", "arrays": [{"dtype", "shape"}]}`. Both ends check every length.
"""

import math
import os
import select
import struct
import time
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import orjson

_LENGTHS: Final = struct.Struct("<IQ")
_MAX_HEAD_BYTES: Final = 1 << 20
MAX_ARRAY_BYTES: Final = 2 << 30
_DTYPES: Final = frozenset(
    ("float16", "float32", "float64", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "bool")
)
_CHUNK_BYTES: Final = 1 << 20


class FrameBroken(Exception):
    """The other end closed the pipe, took too long, or sent what is no frame."""


@dataclass(frozen=True)
class Frame:
    """What one end tells the other."""

    kind: str
    arrays: list[np.ndarray]
    message: str = ""


def write_frame(descriptor: int, frame: Frame, seconds: float | None = None) -> None:
    """Write a frame; FrameBroken when the other end is gone, or does not read it within `seconds`."""
    arrays = [np.ascontiguousarray(array) for array in frame.arrays]
    told = [{"dtype": array.dtype.name, "shape": list(array.shape)} for array in frame.arrays]
    head = orjson.dumps({"kind": frame.kind, "message": frame.message, "arrays": told})
    until = None if seconds is None else time.monotonic() + seconds
    _write(descriptor, _LENGTHS.pack(len(head), sum(array.nbytes for array in arrays)) + head, until)
    for array in arrays:
        _write(descriptor, array.reshape(-1).view(np.uint8).data, until)


def read_frame(descriptor: int, seconds: float | None = None) -> Frame:
    """Read a frame; FrameBroken at the end of the pipe, after `seconds`, and for what is no frame."""
    until = None if seconds is None else time.monotonic() + seconds
    head_bytes, array_bytes = _LENGTHS.unpack(_read(descriptor, _LENGTHS.size, until))
    if head_bytes > _MAX_HEAD_BYTES or array_bytes > MAX_ARRAY_BYTES:
        raise FrameBroken("the frame is too large")
    try:
        head = orjson.loads(_read(descriptor, head_bytes, until))
        kind, message, told = str(head["kind"]), str(head["message"]), list(head["arrays"])
        sizes = [_bytes_of(one) for one in told]
    except (orjson.JSONDecodeError, KeyError, TypeError, ValueError) as error:
        raise FrameBroken("the frame's head is none") from error
    if sum(sizes) != array_bytes:
        raise FrameBroken("the frame's arrays have other sizes than it says")
    arrays = [
        np.frombuffer(_read(descriptor, size, until), one["dtype"]).reshape(one["shape"])
        for one, size in zip(told, sizes, strict=True)
    ]
    return Frame(kind, arrays, message)


def _bytes_of(told: dict[str, Any]) -> int:
    if told["dtype"] not in _DTYPES or any(type(length) is not int or length < 0 for length in told["shape"]):
        raise ValueError("no array")
    return int(math.prod(told["shape"]) * np.dtype(told["dtype"]).itemsize)


def _write(descriptor: int, content: "bytes | memoryview", until: float | None) -> None:
    view = memoryview(content)
    while view:
        _wait(descriptor, select.POLLOUT, until)
        try:
            # A pipe that can be written to takes this much without blocking (PIPE_BUF).
            view = view[os.write(descriptor, view[: select.PIPE_BUF if until else _CHUNK_BYTES]) :]
        except OSError as error:
            raise FrameBroken("the other end is gone") from error


def _read(descriptor: int, size: int, until: float | None) -> bytearray:
    content = bytearray(size)
    view = memoryview(content)
    while view:
        _wait(descriptor, select.POLLIN, until)
        try:
            piece = os.read(descriptor, min(len(view), _CHUNK_BYTES))
        except OSError as error:
            raise FrameBroken("the other end is gone") from error
        if not piece:
            raise FrameBroken("the other end is gone")
        view[: len(piece)] = piece
        view = view[len(piece) :]
    return content


def _wait(descriptor: int, event: int, until: float | None) -> None:
    if until is None:
        return
    poll = select.poll()
    poll.register(descriptor, event)
    if not poll.poll(max(0.0, until - time.monotonic()) * 1000):
        raise FrameBroken("the other end takes too long")
