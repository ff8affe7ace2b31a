"""The inside of an npz file: a stranger's zip of arrays, whose directory and headers are checked first.

Objects (pickles) are refused; no array is read before its header, its shape and its size agree.
"""

import math
import re
import struct
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.lib import format as npy_format
from numpy.typing import NDArray

from app.datasets.findings import refuse
from app.datasets.stored import SPLITS

_SPLIT_NAME: Final = re.compile(r"(.+)_(train|validation|valid|val|test)")
_SPLIT_OF: Final = {name: name for name in SPLITS} | {"valid": "validation", "val": "validation"}
_ZIPS: Final = "A zip of class folders has the format images or texts."
_MAX_HEADER_BYTES: Final = 10_000
_MAX_DIMENSIONS: Final = 8
_MAX_ROW_BYTES: Final = 64 << 20
# What `zipfile` raises for archives that are cut off, damaged, encrypted or lie about offsets.
BROKEN_ARCHIVE: Final = (
    zipfile.BadZipFile,
    zlib.error,
    struct.error,
    EOFError,
    NotImplementedError,
    RuntimeError,
    OSError,
    ValueError,
)
_HEADER_READERS: Final[dict[tuple[int, int], Any]] = {
    (1, 0): npy_format.read_array_header_1_0,
    (2, 0): npy_format.read_array_header_2_0,
}


@dataclass(frozen=True)
class Entry:
    """An array in the archive, known by its header."""

    member: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    is_fortran: bool

    @property
    def row_bytes(self) -> int:
        return self.dtype.itemsize * math.prod(self.shape[1:])


def read_header(archive: zipfile.ZipFile, member: str) -> Entry:
    """Read one header; 422 for objects, for no array, and for a size that is not the header's."""
    if not member.endswith(".npy"):
        raise refuse(f"The archive has a member {member[:80]!r} that is no array. {_ZIPS}", param="file")
    with archive.open(member) as stream:
        try:
            read = _HEADER_READERS[npy_format.read_magic(stream)]
            shape, is_fortran, dtype = read(stream, max_header_size=_MAX_HEADER_BYTES)
        except (KeyError, ValueError, SyntaxError, TypeError, UnicodeError) as error:
            raise refuse(f"Array {member[:80]!r} has a broken header.", param="file") from error
        header_bytes = stream.tell()
    if dtype.hasobject or dtype.kind not in "iufbUSM":
        raise refuse(f"Array {member[:80]!r} has the type {dtype}, which is not supported.", param="file")
    if not shape or len(shape) > _MAX_DIMENSIONS or any(n <= 0 for n in shape):
        raise refuse(
            f"Array {member[:80]!r} has the shape {shape}; a column has rows, and no empty axis.", param="file"
        )
    entry = Entry(member, shape, dtype, is_fortran)
    if archive.getinfo(member).file_size - header_bytes != entry.row_bytes * shape[0]:
        raise refuse(f"Array {member[:80]!r} has not the size that its header says.", param="file")
    if entry.row_bytes == 0 or entry.row_bytes > _MAX_ROW_BYTES:
        raise refuse(f"Array {member[:80]!r} has {entry.row_bytes} bytes a row.", param="file")
    return entry


def arrange(entries: dict[str, Entry]) -> tuple[tuple[str, ...] | None, dict[str | None, dict[str, Entry]]]:
    """Return (splits, split → column → array): official splits where every name ends with one."""
    matches = {name: _SPLIT_NAME.fullmatch(name) for name in entries}
    found: dict[str | None, dict[str, Entry]] = {}
    if all(matches.values()):
        for name, match in matches.items():
            if match is not None:
                columns = found.setdefault(_SPLIT_OF[match[2]], {})
                if match[1] in columns:
                    raise refuse(f"Column {match[1]!r} has two arrays for one split.", param="file")
                columns[match[1]] = entries[name]
    else:
        found[None] = dict(entries)
    names = set(next(iter(found.values())))
    for split, columns in found.items():
        where = "" if split is None else f" of split {split!r}"
        if set(columns) != names:
            odd = sorted(names ^ set(columns))[0]
            raise refuse(f"Column {odd!r} is not in every split.", param="file")
        rows = {name: entry.shape[0] for name, entry in columns.items()}
        if len(set(rows.values())) > 1:
            shown = ", ".join(f"{name}: {n}" for name, n in list(rows.items())[:10])
            raise refuse(f"The arrays{where} differ in their first axis ({shown}).", param="file")
    if None in found:
        return None, found
    ordered: list[str | None] = [split for split in SPLITS if split in found]
    first = list(found[ordered[0]])
    return tuple(str(s) for s in ordered), {s: {name: found[s][name] for name in first} for s in ordered}


def rows_of(archive: zipfile.ZipFile, entry: Entry, step: int, memory_bytes: int) -> Iterator[NDArray[Any]]:
    """Yield the rows of an array, `step` at a time."""
    with archive.open(entry.member) as stream:
        # Past the header, which was checked before; its versions differ in the length field.
        is_first_version = npy_format.read_magic(stream) == (1, 0)
        stream.read(int.from_bytes(stream.read(2 if is_first_version else 4), "little"))
        if entry.is_fortran and len(entry.shape) > 1:
            size = entry.row_bytes * entry.shape[0]
            if size > memory_bytes // 4:
                message = f"Array {entry.member!r} is stored column by column and too large to be turned."
                raise refuse(f"{message} Save it with numpy.ascontiguousarray.", param="file")
            values = np.frombuffer(stream.read(size), entry.dtype).reshape(entry.shape, order="F")
            for start in range(0, entry.shape[0], step):
                yield np.ascontiguousarray(values[start : start + step])
            return
        for start in range(0, entry.shape[0], step):
            rows = min(step, entry.shape[0] - start)
            raw = stream.read(rows * entry.row_bytes)
            yield np.frombuffer(raw, entry.dtype).reshape(rows, *entry.shape[1:])
