"""A zip by its directory alone: which members there are and how large they would be. Nothing is unpacked."""

import struct
import zipfile
from collections.abc import Iterable
from pathlib import Path
from typing import BinaryIO

from app.models.intake.findings import Findings, RefusedUpload, reason, shown
from app.models.intake.limits import MAX_DIRECTORY_BYTES, MAX_MEMBERS, MAX_RATIO, RATIO_FROM_BYTES

_END = b"PK\x05\x06"
_END_BYTES = 22
_ZIP64_LOCATOR = b"PK\x06\x07"
_COMMENT_BYTES = 65_535
_ENCRYPTED = 0x1
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_READ_BYTES = 1 << 20


def read_directory(source: BinaryIO, size: int) -> list[zipfile.ZipInfo]:
    """Return the members that the directory of a zip lists; RefusedUpload `not_a_model` where there is no sound one.

    The directory's own size is looked at before Python's reader loads it whole.
    """
    try:
        _check_end(source, size)
        source.seek(0)
        with zipfile.ZipFile(source) as archive:
            return archive.infolist()
    except (zipfile.BadZipFile, struct.error, ValueError, EOFError, OSError, NotImplementedError) as error:
        message = "The file begins like a zip but has no sound directory: it is cut off or damaged."
        raise RefusedUpload([reason("not_a_model", message)]) from error


def _check_end(source: BinaryIO, size: int) -> None:
    tail_bytes = min(size, _END_BYTES + _COMMENT_BYTES)
    source.seek(size - tail_bytes)
    tail = source.read(tail_bytes)
    at = tail.rfind(_END)
    if at < 0 or len(tail) - at < _END_BYTES:
        raise zipfile.BadZipFile
    entries, directory_bytes, start = struct.unpack("<HII", tail[at + 10 : at + 20])
    # Zip64 is for archives of more than 4 GiB; its sizes are checked where the members are.
    if tail.rfind(_ZIP64_LOCATOR, 0, at) < 0 and start + directory_bytes > size:
        raise zipfile.BadZipFile
    if entries > MAX_MEMBERS or (directory_bytes > MAX_DIRECTORY_BYTES and directory_bytes != 0xFFFFFFFF):
        message = f"The zip lists more than {MAX_MEMBERS} members; no model has so many."
        raise RefusedUpload([reason("unknown_member", message)])
    if directory_bytes == 0xFFFFFFFF or entries == 0xFFFF:
        raise RefusedUpload([reason("not_a_model", "The zip's directory is larger than that of any model.")])


def check_members(
    members: Iterable[zipfile.ZipInfo], limits: dict[str, int], required: Iterable[str], findings: Findings
) -> None:
    """Check names, sizes and kinds of the members. `limits`: name → most bytes unpacked; no other name may be there."""
    names: list[str] = []
    for member in members:
        name = member.filename
        names.append(name)
        if names.count(name) == 2:
            findings.add("duplicate_member", "The zip has two members of one name.", shown(name))
        if name not in limits:
            findings.add("unknown_member", "The zip has a member that no model has.", shown(name))
        check_member(member, findings)
        if name in limits and member.file_size > limits[name]:
            findings.add(
                "too_large_unpacked", f"It has {member.file_size} bytes unpacked; at most {limits[name]} may be.", name
            )
    for name in required:
        if name not in names:
            findings.add("missing_member", "The zip lacks this member.", name)


def check_member(member: zipfile.ZipInfo, findings: Findings) -> None:
    """Check one member by what the directory says of it, whatever its name."""
    where = shown(member.filename)
    if member.flag_bits & _ENCRYPTED:
        findings.add("encrypted_member", "It is encrypted.", where)
    if member.compress_type not in _METHODS:
        findings.add("unknown_compression", "It is packed by another method than stored or deflated.", where)
    if (member.external_attr >> 16) & 0o170000 == 0o120000:
        findings.add("link_member", "It is a link.", where)
    too_much = member.file_size > RATIO_FROM_BYTES and member.file_size > MAX_RATIO * max(member.compress_size, 1)
    if too_much:
        message = f"It unpacks to more than {MAX_RATIO} times its size: {member.file_size} bytes."
        findings.add("too_much_compressed", message, where)


def read_member(path: Path, name: str, most_bytes: int) -> bytes:
    """Return one member, unpacked; RefusedUpload when it is damaged or larger than the directory says."""
    try:
        with zipfile.ZipFile(path) as archive, archive.open(name) as source:
            content = source.read(most_bytes + 1)
            damaged = len(content) > most_bytes or bool(source.read(1))
    except (zipfile.BadZipFile, EOFError, OSError, RuntimeError, NotImplementedError, ValueError, KeyError) as error:
        raise _damaged(name) from error
    except zipfile.zlib.error as error:  # type: ignore[attr-defined]
        raise _damaged(name) from error
    if damaged:
        raise _damaged(name)
    return content


def copy_member(path: Path, name: str, most_bytes: int, sink: BinaryIO) -> None:
    """Write one member, unpacked, to `sink`, in pieces; RefusedUpload as `read_member`."""
    try:
        with zipfile.ZipFile(path) as archive, archive.open(name) as source:
            left = most_bytes
            while piece := source.read(_READ_BYTES):
                left -= len(piece)
                if left < 0:
                    raise _damaged(name)
                sink.write(piece)
    except (zipfile.BadZipFile, EOFError, RuntimeError, NotImplementedError, ValueError, KeyError) as error:
        raise _damaged(name) from error
    except zipfile.zlib.error as error:  # type: ignore[attr-defined]
        raise _damaged(name) from error


def _damaged(name: str) -> RefusedUpload:
    return RefusedUpload([reason("not_a_model", "The member is damaged: it does not unpack to what is listed.", name)])
