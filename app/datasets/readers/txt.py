"""txt: raw text in documents; put together again, the rows are the file, byte for byte."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pyarrow as pa

from app.datasets.findings import refuse
from app.datasets.options import MAX_DOCUMENT_BYTES
from app.datasets.stored import ColumnInfo
from app.datasets.table import Source
from app.datasets.text_scan import scan_text

_BATCH_BYTES: Final = 8 << 20
_BATCH_ROWS: Final = 1 << 16


class TextTable:
    """One column `text`."""

    splits: tuple[str, ...] | None = None

    def __init__(self, path: Path, documents: str) -> None:
        self._path = path
        self._documents = documents
        self.columns = [ColumnInfo("text", "text")]

    def batches(self, split: str | None) -> Iterator[list[Any]]:
        """Yield documents with their line ends."""
        del split
        batch: list[bytes] = []
        size = 0
        for document in self._read():
            batch.append(document)
            size += len(document)
            if size >= _BATCH_BYTES or len(batch) >= _BATCH_ROWS:
                yield [_strings(batch)]
                batch, size = [], 0
        if batch:
            yield [_strings(batch)]

    def finish(self) -> None:
        """Nothing is cleaned."""

    def _read(self) -> Iterator[bytes]:
        with self._path.open("rb") as source:
            if self._documents == "file":
                yield _bounded(source.read(MAX_DOCUMENT_BYTES + 1), 1)
                return
            number, start, waiting, blank = 0, 1, bytearray(), False
            while line := source.readline(MAX_DOCUMENT_BYTES + 1):
                number += 1
                if self._documents == "line":
                    yield _bounded(line, number)
                    continue
                # The blank lines after a document belong to it.
                if blank and not line.isspace():
                    yield bytes(waiting)
                    waiting, start = bytearray(), number
                waiting += line
                blank = line.isspace() and bool(waiting.strip())
                _bounded(waiting, start)
            if waiting:
                yield bytes(waiting)


def _bounded(document: bytes | bytearray, line: int) -> bytes:
    if len(document) > MAX_DOCUMENT_BYTES:
        message = f"The document that begins on line {line} is longer than {MAX_DOCUMENT_BYTES} bytes."
        raise refuse(f"{message} Send documents=line or blank-line.", param="documents")
    return document if isinstance(document, bytes) else b""


def _strings(batch: list[bytes]) -> Any:
    return pa.array(batch, pa.binary()).cast(pa.string())


def read_txt(source: Source) -> TextTable:
    """Read raw text, cut into `documents`."""
    limit = source.limits.max_upload_bytes
    text = scan_text(source.upload, source.work_dir, source.options.encoding, limit, source.findings)
    if text.bytes == 0:
        raise refuse("The file is empty.", param="file")
    return TextTable(text.path, source.options.documents)
