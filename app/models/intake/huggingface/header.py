"""The header of a safetensors file: names, types, shapes and places of its tensors, each checked.

The format: eight bytes, little-endian, the length n of the header; n bytes of JSON; the tensors, without gaps
(https://huggingface.co/docs/safetensors, "Format").
"""

import itertools
import json
import math
import struct
from typing import IO, Any, NamedTuple

from app.models.intake.huggingface.archive import WEIGHTS
from app.models.intake.rewrite.refused import Refused

MAX_HEADER_BYTES = 8 << 20
MAX_TENSORS = 20_000
MAX_AXES = 8
MAX_LENGTH = 1 << 31
# Bytes of one value. Types other than of numbers with a point are of buffers that are not read.
ITEM_BYTES = {
    "F32": 4, "F16": 2, "BF16": 2, "F64": 8,
    "I64": 8, "I32": 4, "I16": 2, "I8": 1, "U8": 1, "BOOL": 1,
}  # fmt: skip
READ_TYPES = frozenset({"F32", "F16", "BF16"})


class Tensor(NamedTuple):
    """A tensor of the file: `start` and `stop` are bytes after the header."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    start: int
    stop: int


def read_header(source: IO[bytes], file_bytes: int) -> list[Tensor]:
    """Return the tensors of the file in the order in which they lie; leaves `source` at the first.

    Raises Refused for a header that is not of the format, is longer than `MAX_HEADER_BYTES` or does not describe the
    whole file of `file_bytes`.
    """
    start = source.read(8)
    if len(start) != 8:
        raise _damaged("is too short to be one")
    (length,) = struct.unpack("<Q", start)
    if not 2 <= length <= min(MAX_HEADER_BYTES, file_bytes - 8):
        raise _damaged(f"has a header of {length} bytes")
    content = source.read(length)
    if len(content) != length:
        raise _damaged("ends within its header")
    try:
        document = json.loads(content, object_pairs_hook=_unique)
    except (ValueError, RecursionError) as error:
        raise _damaged("has a header that is not JSON") from error
    if not isinstance(document, dict) or len(document) > MAX_TENSORS:
        raise _damaged("has a header that lists no tensors, or too many")
    document.pop("__metadata__", None)
    tensors = sorted((_tensor(name, facts) for name, facts in document.items()), key=lambda tensor: tensor[3:])
    edges = [0, *itertools.chain.from_iterable(tensor[3:] for tensor in tensors), file_bytes - 8 - length]
    # Each begins where the one before ends, the first at 0, and the last ends with the file.
    if any(stop != start for stop, start in zip(edges[::2], edges[1::2], strict=True)):
        raise _damaged("has tensors that overlap, or bytes of none")
    return tensors


def _tensor(name: str, facts: Any) -> Tensor:
    shown = name[:100]
    if not isinstance(facts, dict) or set(facts) != {"dtype", "shape", "data_offsets"}:
        raise _damaged("does not describe a tensor", shown)
    dtype, shape, offsets = facts["dtype"], facts["shape"], facts["data_offsets"]
    if not isinstance(dtype, str) or dtype not in ITEM_BYTES:
        raise Refused("weights_type", f"{shown} has a type that is not read: {str(dtype)[:20]}.", shown)
    if not _are_sizes(shape, MAX_LENGTH) or len(shape) > MAX_AXES:
        raise _damaged("has a tensor without a shape", shown)
    if not _are_sizes(offsets, 1 << 62) or len(offsets) != 2:
        raise _damaged("has a tensor without a place", shown)
    start, stop = offsets
    if stop - start != math.prod(shape) * ITEM_BYTES[dtype]:
        raise _damaged("has a tensor whose place is not as large as its shape", shown)
    return Tensor(name, dtype, tuple(shape), start, stop)


def _are_sizes(value: Any, most: int) -> bool:
    return isinstance(value, list) and all(type(length) is int and 0 <= length <= most for length in value)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key twice")
    return found


def _damaged(what: str, where: str = WEIGHTS) -> Refused:
    return Refused("not_a_model", f"{WEIGHTS} {what}.", where)
