"""texts: a zip of class folders of text files, one document a file."""

import codecs

import pyarrow as pa

from app.datasets.readers.class_folders import BadFile, ClassFolders
from app.datasets.stored import ColumnInfo
from app.datasets.table import Source
from app.datasets.text_scan import find_encoding

COLUMN = "text"
MAX_TEXT_BYTES = 16 << 20


class TextFolders(ClassFolders):
    """The texts of an archive with their labels; an empty file is a missing text."""

    def __init__(self, source: Source) -> None:
        encoding = source.options.encoding
        self._codec = find_encoding(encoding) if encoding else "utf-8"
        super().__init__(source, ColumnInfo(COLUMN, "text"), self._take_text, pa.string())

    def _take_text(self, content: bytes) -> str | None:
        if len(content) > MAX_TEXT_BYTES:
            raise BadFile(f"has {len(content)} bytes; a text has at most {MAX_TEXT_BYTES}")
        if self._codec == "utf-8":
            content = content.removeprefix(codecs.BOM_UTF8)
        try:
            text = content.decode(self._codec)
        except UnicodeDecodeError as error:
            raise BadFile(f"is not {self._codec.upper()} at byte {error.start + 1}; encoding names another") from error
        if "\0" in text:
            raise BadFile("has a NUL character: it is no text")
        return text or None


def read_texts(source: Source) -> TextFolders:
    """Read a zip of texts."""
    return TextFolders(source)
