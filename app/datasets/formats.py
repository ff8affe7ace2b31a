"""Which formats there are, and which one a file is: by what the client says, its name, its first bytes."""

import zlib
from pathlib import PurePosixPath
from typing import Final

from app.core.errors import Unprocessable
from app.datasets.findings import refuse

SUPPORTED: Final = ("csv", "tsv", "jsonl", "json", "parquet", "npz", "txt", "images", "texts")
# Named in the contract, read by a later release: refused by name until then.
PLANNED: Final = ("parallel", "conll")
# Zips; which one of them a file is, is told by the names in it (`readers.folder_zip.look_into_zip`).
ZIPS: Final = ("npz", "images", "texts")
_SUFFIXES: Final = {
    ".csv": "csv",
    ".tsv": "tsv",
    ".tab": "tsv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "json",
    ".parquet": "parquet",
    ".pq": "parquet",
    ".npz": "npz",
    ".txt": "txt",
}
_HEAD_BYTES: Final = 1 << 16
_GZIP: Final = b"\x1f\x8b"
# First bytes that belong to one format, whatever the name says.
_MAGIC: Final = {b"PAR1": "parquet", b"PK\x03\x04": "npz"}
_BINARY: Final = {
    b"PK\x05\x06": "an empty zip file",
    b"\xd0\xcf\x11\xe0": "an old Excel file",
    b"%PDF": "a PDF",
    b"\x89PNG": "a PNG image",
    b"\xff\xd8\xff": "a JPEG image",
    b"\x89HDF": "an HDF5 file",
    b"BZh": "bzip2",
    b"\xfd7zX": "xz",
    b"(\xb5/\xfd": "zstd",
    b"SQLi": "an SQLite file",
    b"\x93NUM": "a single NumPy array (save it as .npz)",
}


def check_format(name: str | None) -> None:
    """Raise 422 for a format that is not supported."""
    if name is not None and name not in SUPPORTED:
        later = f" {name!r} comes with a later release." if name in PLANNED else ""
        raise Unprocessable(
            f"format {name[:40]!r} is not supported.{later} Supported: {', '.join(SUPPORTED)}.",
            code="format_unsupported",
            param="format",
        )


def read_head(head: bytes) -> bytes:
    """Return the first bytes of the content: of what a gzip file holds, else as they are."""
    if not head.startswith(_GZIP):
        return head
    try:
        return zlib.decompressobj(wbits=31).decompress(head, _HEAD_BYTES)
    except zlib.error as error:
        raise refuse("The gzip file is broken.", param="file") from error


def find_format(said: str | None, file_name: str, packed_head: bytes) -> str:
    """Return the format of an upload; 422 where there is none, or where it is plainly not what was said."""
    check_format(said)
    head = read_head(packed_head)
    if not head:
        raise refuse("The file is empty.", param="file")
    actual = next((name for magic, name in _MAGIC.items() if head.startswith(magic)), None)
    binary = next((name for magic, name in _BINARY.items() if head.startswith(magic)), None)
    if binary is not None:
        raise refuse(f"The file is {binary}. Supported formats: {', '.join(SUPPORTED)}.", param="file")
    named = said or _by_suffix(file_name)
    if named in ("parquet", *ZIPS) and actual != ("npz" if named in ZIPS else named):
        raise refuse(f"The file is no {'zip' if named in ('images', 'texts') else named} file.", param="file")
    if named is not None and actual not in (None, named) and named not in ZIPS:
        raise refuse(f"The file is no {named} file: it begins like {_looks(actual)}.", param="file")
    return named or actual or _by_content(head)


def has_known_suffix(file_name: str) -> bool:
    """Tell whether the name ends like that of a supported format (`.gz` may follow)."""
    return _by_suffix(file_name) is not None or file_name.lower().endswith(".zip")


def _by_suffix(file_name: str) -> str | None:
    name = file_name.lower().removesuffix(".gz")
    return _SUFFIXES.get(PurePosixPath(name).suffix)


def _looks(actual: str | None) -> str:
    return "a zip (an .npz or .xlsx file?)" if actual == "npz" else f"a {actual} file"


def _by_content(head: bytes) -> str:
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    if text.startswith(b"{"):
        return "jsonl"
    if text.startswith(b"["):
        return "json"
    first = text.split(b"\n", 1)[0]
    if b"\t" in first:
        return "tsv"
    return "csv" if b"," in first or b";" in first or b"|" in first else "txt"
