"""One pass over a text upload before anything is parsed: unpacked, decoded, checked.

What comes out is a UTF-8 file without a byte-order mark: the upload itself where it already is
one, else a work file. Refused here, by line: bytes that are not in the encoding, NUL bytes.
"""

import codecs
import gzip
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Final

from app.core.errors import TooLarge
from app.datasets.findings import Findings, refuse

CHUNK_BYTES: Final = 4 << 20
GZIP_MAGIC: Final = b"\x1f\x8b"
# Text encodings that decode any file the same way every time; what is not here is refused by name.
ENCODINGS: Final = frozenset(
    ["ascii", "utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le", "utf-32-be"]
    + [f"iso8859-{n}" for n in (*range(1, 12), *range(13, 17))]
    + [f"cp{n}" for n in (437, 720, 737, 775, 850, 852, 855, 857, 858, 860, 861, 862, 863, 864, 865, 866, 869, 874)]
    + [f"cp{n}" for n in (932, 949, 950, *range(1250, 1259))]
    + ["gb2312", "gbk", "gb18030", "hz", "big5", "big5hkscs", "shift_jis", "shift_jis_2004", "euc_jp", "iso2022_jp"]
    + ["euc_kr", "johab", "koi8-r", "koi8-u", "mac-roman", "mac-cyrillic", "mac-greek", "mac-turkish", "tis-620"]
)
_UTF8: Final = ("utf-8", "utf-8-sig", "ascii")


@dataclass(frozen=True)
class TextFile:
    """A checked UTF-8 file without a byte-order mark, and its size."""

    path: Path
    bytes: int


def find_encoding(name: str) -> str:
    """Return the normal name of a text encoding; 422 `invalid_value` for one that is not supported."""
    try:
        normal = codecs.lookup(name.strip()).name
    except (LookupError, UnicodeError, ValueError):
        normal = ""
    if normal not in ENCODINGS:
        message = f"Encoding {name[:40]!r} is not supported; for example utf-8, latin-1, cp1252, gbk."
        raise refuse(message, param="encoding")
    return normal


@contextmanager
def open_upload(path: Path, max_bytes: int) -> Iterator["BoundedReader"]:
    """Open an upload, unpacked when it is gzip; reading more than `max_bytes` raises TooLarge."""
    with path.open("rb") as raw:
        packed = raw.read(2) == GZIP_MAGIC
        raw.seek(0)
        if packed:
            with gzip.GzipFile(fileobj=raw, mode="rb") as unpacked:
                yield BoundedReader(unpacked, max_bytes)
        else:
            yield BoundedReader(raw, max_bytes)


class BoundedReader:
    """Reads chunks; TooLarge when there are more than `max_bytes` (a gzip bomb), 422 when gzip is broken."""

    def __init__(self, source: IO[bytes] | gzip.GzipFile, max_bytes: int) -> None:
        self._source: Any = source
        self.packed = isinstance(source, gzip.GzipFile)
        self._left = max_bytes
        self._max_bytes = max_bytes

    def read(self, size: int = CHUNK_BYTES) -> bytes:
        """Return up to `size` bytes, b"" at the end."""
        try:
            chunk: bytes = self._source.read(size)
        except (gzip.BadGzipFile, zlib.error, EOFError) as error:
            raise refuse("The gzip file is cut off or broken.", param="file") from error
        self._left -= len(chunk)
        if self._left < 0:
            limit = f"max_upload_bytes = {self._max_bytes}"
            raise TooLarge(f"Unpacked, the file has more than {limit} bytes.", param="file")
        return chunk


def scan_text(upload: Path, work_dir: Path, encoding: str | None, max_bytes: int, findings: Findings) -> TextFile:
    """Check the text in `upload` and return it as UTF-8 without a byte-order mark.

    Raises Unprocessable naming line and byte of what is not in the encoding, and of NUL bytes.
    """
    codec = find_encoding(encoding) if encoding else "utf-8"
    with open_upload(upload, max_bytes) as source:
        head = source.read()
        has_mark = codec in _UTF8 and head.startswith(codecs.BOM_UTF8)
        if has_mark:
            findings.note("byte_order_mark_removed", "The file began with a byte-order mark; it was left out.")
            head = head[len(codecs.BOM_UTF8) :]
        if not (source.packed or has_mark or codec not in _UTF8):
            return TextFile(upload, _check(source, head, codec, None))
        target = work_dir / "text"
        with target.open("wb") as sink:
            return TextFile(target, _check(source, head, codec, sink))


def _check(source: BoundedReader, chunk: bytes, codec: str, sink: IO[bytes] | None) -> int:
    """Decode everything, write it as UTF-8 to `sink` where given, and return the bytes of UTF-8."""
    decode = codecs.getincrementaldecoder(codec)(errors="strict").decode
    is_bytewise = codec in _UTF8
    lines, size, column = 1, 0, 0
    while True:
        try:
            text = decode(chunk, final=not chunk)
        except UnicodeDecodeError as error:
            # A multi-byte decoder hands back what it had kept of the chunk before, too.
            kept = len(error.object) - len(chunk)
            raise _not_in_encoding(error, codec, lines, column - kept) from error
        data = chunk if is_bytewise else text.encode()
        if b"\0" in data:
            line = lines + data.count(b"\n", 0, data.index(b"\0"))
            raise refuse(f"Line {line} has a NUL byte: the file is not text.", param="file")
        size += len(data)
        lines += data.count(b"\n")
        # Bytes of the present line that lie before the next chunk, for the error message.
        column = len(data) - data.rindex(b"\n") - 1 if b"\n" in data else column + len(data)
        if sink is not None:
            sink.write(data)
        if not chunk:
            return size
        chunk = source.read()


def _not_in_encoding(error: UnicodeDecodeError, codec: str, lines: int, column: int) -> Exception:
    before = error.object[: error.start]
    line = lines + before.count(b"\n")
    byte = len(before) - before.rindex(b"\n") if b"\n" in before else column + len(before) + 1
    value = f"0x{error.object[error.start]:02x}" if error.start < len(error.object) else "missing"
    looks = " It looks like UTF-16." if error.object[:2] in (b"\xff\xfe", b"\xfe\xff") and line == 1 else ""
    return refuse(
        f"Line {line}: byte {byte} of the line is {value}, which is not {codec.upper()}.{looks} "
        "Name the file's encoding in the field encoding, for example latin-1, cp1252 or gbk.",
        param="encoding",
        details=[{"param": "file", "line": line, "byte": byte, "message": f"{value} is not {codec.upper()}"}],
    )
