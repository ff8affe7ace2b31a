"""Takes the bytes of an upload: to disk, hashed, bounded, never whole in memory.

The event loop only moves chunks: writing and hashing a megabyte is done in a thread.
"""

import hashlib
import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Final

from anyio import to_thread
from python_multipart.exceptions import MultipartParseError
from python_multipart.multipart import MultipartParser, parse_options_header

from app.core.errors import BadRequest, StorageFull, TooLarge, Unprocessable, UnsupportedMedia
from app.datasets.options import Limits

_CHUNK_BYTES: Final = 1 << 20
_CHECK_DISK_EVERY: Final = 64
_MAX_FIELDS: Final = 32
_MAX_FIELDS_BYTES: Final = 4 << 20


class UploadSink:
    """The file of one upload in its own folder; `finish` returns (bytes, sha256)."""

    def __init__(self, folder: Path, limits: Limits) -> None:
        self.path = folder / "upload"
        self._limits = limits
        self._file = self.path.open("xb")
        self._hash = hashlib.sha256()
        self._waiting = bytearray()
        self._chunks = 0
        self.bytes = 0

    def expect(self, size: int | None) -> None:
        """Check the announced size against the limit and the disk, before anything is read."""
        if size is not None and size > self._limits.max_upload_bytes:
            raise self._too_large()
        self._check_disk(size or 0)

    async def write(self, chunk: bytes) -> None:
        """Take a chunk; 413 beyond `max_upload_bytes`, 507 when the disk is nearly full."""
        self.bytes += len(chunk)
        if self.bytes > self._limits.max_upload_bytes:
            raise self._too_large()
        self._waiting += chunk
        if len(self._waiting) >= _CHUNK_BYTES:
            await to_thread.run_sync(self._store)

    async def finish(self) -> tuple[int, str]:
        """Write what is left and return the size and the hash."""
        await to_thread.run_sync(self._store)
        self._file.close()
        return self.bytes, self._hash.hexdigest()

    def close(self) -> None:
        """Close the file, whatever state it is in."""
        self._file.close()

    def _store(self) -> None:
        chunk, self._waiting = self._waiting, bytearray()
        if self._chunks % _CHECK_DISK_EVERY == 0:
            self._check_disk(len(chunk))
        self._chunks += 1
        self._hash.update(chunk)
        try:
            self._file.write(chunk)
            self._file.flush()
        except OSError as error:
            raise disk_full() from error

    def _check_disk(self, needed_bytes: int) -> None:
        if shutil.disk_usage(self.path.parent).free - needed_bytes < self._limits.min_free_bytes:
            raise disk_full()

    def _too_large(self) -> TooLarge:
        limit = f"max_upload_bytes = {self._limits.max_upload_bytes}"
        return TooLarge(f"The upload has more than {limit} bytes.", param="file")


def disk_full() -> StorageFull:
    """Return the 507."""
    return StorageFull("The server's disk is nearly full; nothing was stored.")


async def receive_raw(stream: AsyncIterator[bytes], sink: UploadSink) -> None:
    """Take a raw body."""
    async for chunk in stream:
        await sink.write(chunk)


async def receive_multipart(stream: AsyncIterator[bytes], content_type: str, sink: UploadSink) -> "Form":
    """Take a multipart body: the part `file` goes to `sink`, the other parts are fields.

    Raises BadRequest for a body that is not multipart or cut off, Unprocessable for a second file,
    a field given twice, or none.
    """
    _, options = parse_options_header(content_type)
    boundary = options.get(b"boundary")
    if not boundary:
        raise UnsupportedMedia("A multipart body needs a boundary in its Content-Type.")
    form = Form()
    try:
        parser = MultipartParser(boundary, form.callbacks())
        async for chunk in stream:
            parser.write(chunk)
            for part in form.take():
                await sink.write(part)
    except MultipartParseError as error:
        raise _broken_form() from error
    if not form.complete:
        raise _broken_form()
    if not form.has_file:
        raise Unprocessable("The form has no part called file.", code="missing_field", param="file")
    return form


def _broken_form() -> BadRequest:
    return BadRequest("The multipart body is cut off or broken.", code="invalid_multipart")


class Form:
    """What a multipart parser has found so far: text fields, and bytes of the file to be taken."""

    def __init__(self) -> None:
        self.fields: dict[str, str] = {}
        self.file_name = ""
        self.has_file = False
        self.complete = False
        self._headers: dict[bytes, bytes] = {}
        self._header_name = b""
        self._header_value = b""
        self._name: str | None = None
        self._field = bytearray()
        self._field_bytes = 0
        self._file_parts: list[bytes] = []

    def callbacks(self) -> Any:
        """Return the functions that the parser calls."""
        return {
            "on_part_begin": self._begin,
            "on_header_field": self._add_header_name,
            "on_header_value": self._add_header_value,
            "on_header_end": self._end_header,
            "on_headers_finished": self._open_part,
            "on_part_data": self._add_data,
            "on_part_end": self._close_part,
            "on_end": self._end,
        }

    def take(self) -> list[bytes]:
        """Return the bytes of the file since the last call."""
        parts, self._file_parts = self._file_parts, []
        return parts

    def _begin(self) -> None:
        self._headers, self._header_name, self._header_value = {}, b"", b""
        self._name, self._field = None, bytearray()

    def _add_header_name(self, data: bytes, start: int, end: int) -> None:
        self._header_name += data[start:end]

    def _add_header_value(self, data: bytes, start: int, end: int) -> None:
        self._header_value += data[start:end]

    def _end_header(self) -> None:
        self._headers[self._header_name.lower()] = self._header_value
        self._header_name, self._header_value = b"", b""

    def _open_part(self) -> None:
        kind, options = parse_options_header(self._headers.get(b"content-disposition", b""))
        raw_name = options.get(b"name")
        if kind != b"form-data" or raw_name is None:
            raise _broken_form()
        self._name = raw_name.decode("utf-8", "replace")[:100]
        if self._name == "file":
            if self.has_file:
                raise Unprocessable("The form has more than one part called file.", param="file")
            self.has_file = True
            self.file_name = options.get(b"filename", b"").decode("utf-8", "replace")
        elif self._name in self.fields:
            raise Unprocessable(f"The field {self._name} is given twice.", param=self._name)
        elif len(self.fields) >= _MAX_FIELDS:
            raise Unprocessable(f"The form has more than {_MAX_FIELDS} fields.")

    def _add_data(self, data: bytes, start: int, end: int) -> None:
        if self._name == "file":
            self._file_parts.append(data[start:end])
            return
        self._field_bytes += end - start
        if self._field_bytes > _MAX_FIELDS_BYTES:
            raise TooLarge(f"The fields of the form have more than {_MAX_FIELDS_BYTES} bytes.", param=self._name)
        self._field += data[start:end]

    def _close_part(self) -> None:
        if self._name is None or self._name == "file":
            return
        try:
            self.fields[self._name] = self._field.decode()
        except UnicodeDecodeError:
            raise Unprocessable(f"The field {self._name} is not UTF-8.", param=self._name) from None

    def _end(self) -> None:
        self.complete = True
