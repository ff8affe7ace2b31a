"""A stranger's zip of class folders: `class/…`, or `train|validation|test/class/…`; its names are checked first.

Nothing is unpacked to disk: a member is read into memory, one at a time, with a limit.
"""

import contextlib
import stat
import zipfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from app.core.errors import TooLarge
from app.datasets.findings import BadRow, refuse
from app.datasets.names import has_control
from app.datasets.options import MAX_NAME_CHARS
from app.datasets.readers.npz_archive import BROKEN_ARCHIVE
from app.datasets.stored import SPLITS
from app.datasets.table import Source
from app.datasets.text_scan import CHUNK_BYTES, open_upload

MAX_FILES: Final = 200_000
MAX_FILE_BYTES: Final = 64 << 20
# Images hardly shrink in a zip, words to a tenth; what shrinks to less than a thousandth is there to fill a disk.
MAX_RATIO: Final = 1000
_RATIO_FROM_BYTES: Final = 1 << 20
_SPLIT_OF: Final = {name: name for name in SPLITS} | {"valid": "validation", "val": "validation"}
_SYSTEM_FILES: Final = ("thumbs.db", "desktop.ini")
_MAX_DEPTH: Final = 32


@dataclass(frozen=True)
class Member:
    """A file in a class folder: its number in the archive (from 1), its path as it is shown, split and class."""

    number: int
    path: str
    split: str | None
    label: str
    info: zipfile.ZipInfo


class FolderZip:
    """The files of an archive by split, sorted by path; `strays` are files that lie in no class folder."""

    def __init__(self, source: Source) -> None:
        """Read the directory of the archive; 422 for names that do not belong in one, 413 beyond the limits."""
        self._limits = source.limits
        self._path = _unpacked(source)
        paths = self._paths()
        root = _common_root([path for path, _, _ in paths])
        inside = [(path[len(root) :], number, info) for path, number, info in paths]
        is_split = bool(inside) and all(len(path) >= 3 and path[0].lower() in _SPLIT_OF for path, _, _ in inside)
        self.strays: list[BadRow] = []
        members: list[Member] = []
        for path, number, info in sorted(inside, key=lambda one: one[0]):
            split = _SPLIT_OF[path[0].lower()] if is_split else None
            folders = path[1:-1] if is_split else path[:-1]
            shown = "/".join((*root, *path))
            if not folders:
                self.strays.append(BadRow(number, f"{shown[:200]} lies in no class folder"))
            else:
                members.append(Member(number, shown, split, _checked_label(folders[0]), info))
        if not members:
            raise refuse("The zip has no file in a class folder.", param="file")
        self.splits = tuple(name for name in SPLITS if any(one.split == name for one in members)) if is_split else None
        self._members = members

    def members(self, split: str | None) -> list[Member]:
        """Return the files of a split."""
        return [member for member in self._members if member.split == split]

    def read(self, members: list[Member]) -> Iterator[tuple[Member, bytes]]:
        """Yield the files with their contents; 422 where the archive is damaged, naming the file."""
        with zipfile.ZipFile(self._path) as archive:
            for member in members:
                try:
                    with archive.open(member.info) as stream:
                        content = stream.read(member.info.file_size + 1)
                except BROKEN_ARCHIVE as error:
                    raise refuse(f"{member.path[:200]} cannot be read: the zip is damaged.", param="file") from error
                if len(content) != member.info.file_size:
                    raise refuse(f"{member.path[:200]} has not the size that the zip says.", param="file")
                yield member, content

    def _paths(self) -> list[tuple[tuple[str, ...], int, zipfile.ZipInfo]]:
        try:
            with zipfile.ZipFile(self._path) as archive:
                infos = archive.infolist()
        except BROKEN_ARCHIVE as error:
            raise refuse("The file is no whole zip archive.", param="file") from error
        found: list[tuple[tuple[str, ...], int, zipfile.ZipInfo]] = []
        for number, info in enumerate(infos, 1):
            path = _parts(info)
            if info.is_dir() or _is_hidden(path):
                continue
            _check_member(info)
            found.append((path, number, info))
        self._check_sizes([info for _, _, info in found])
        path, times = Counter(path for path, _, _ in found).most_common(1)[0] if found else ((), 0)
        if times > 1:
            raise refuse(f"The zip has two files of the name {'/'.join(path)[:200]}.", param="file")
        return found

    def _check_sizes(self, infos: list[zipfile.ZipInfo]) -> None:
        limit = self._limits.max_upload_bytes
        if len(infos) > MAX_FILES:
            raise TooLarge(f"The zip has {len(infos)} files; at most {MAX_FILES} are taken.", param="file")
        if sum(info.file_size for info in infos) > limit:
            raise TooLarge(f"Unpacked, the files have more than max_upload_bytes = {limit} bytes.", param="file")


def look_into_zip(path: Path) -> str:
    """Return which format of zip a file is by the names in it; "npz" where that cannot be told."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = [name.lower() for name in archive.namelist() if not name.endswith("/")]
    except BROKEN_ARCHIVE:
        return "npz"
    if any(name.endswith(".npy") for name in names):
        return "npz"
    images = sum(name.endswith((".png", ".jpg", ".jpeg", ".jpe")) for name in names)
    texts = sum(name.endswith(".txt") for name in names)
    return "npz" if not images and not texts else "images" if images >= texts else "texts"


def _unpacked(source: Source) -> Path:
    """Where the archive lies: the upload, or what a gzip file holds."""
    with open_upload(source.upload, source.limits.max_upload_bytes) as reader:
        if not reader.packed:
            return source.upload
        path = source.work_dir / "unpacked"
        with path.open("wb") as sink:
            while chunk := reader.read(CHUNK_BYTES):
                sink.write(chunk)
        return path


def _parts(info: zipfile.ZipInfo) -> tuple[str, ...]:
    """The parts of a member's path; 422 for a path that leaves the archive."""
    name = info.filename
    if not info.flag_bits & 0x800:
        # Without the flag for UTF-8 a name is read as CP437; most programs write UTF-8 all the same.
        with contextlib.suppress(UnicodeError):
            name = name.encode("cp437").decode("utf-8")
    name = name.replace("\\", "/")
    parts = [part for part in name.split("/") if part not in ("", ".")]
    if name.startswith("/") or ".." in parts or (parts and len(parts[0]) == 2 and parts[0][1] == ":"):
        raise refuse(f"The zip has a file {name[:200]!r}, whose path leaves the archive.", param="file")
    if len(parts) > _MAX_DEPTH:
        raise refuse(f"The zip has a file in {len(parts)} folders, one in another; at most {_MAX_DEPTH} are taken.")
    return tuple(parts)


def _is_hidden(path: tuple[str, ...]) -> bool:
    """Whether a file is one that systems leave in folders: `__MACOSX/…`, `.DS_Store`, `Thumbs.db`."""
    if any(part.startswith(".") or part == "__MACOSX" for part in path):
        return True
    return not path or path[-1].lower() in _SYSTEM_FILES


def _check_member(info: zipfile.ZipInfo) -> None:
    shown = info.filename[:200]
    kind = info.external_attr >> 16
    if stat.S_IFMT(kind) not in (0, stat.S_IFREG):
        raise refuse(f"{shown} is no plain file; links and devices are not taken.", param="file")
    if info.flag_bits & 0x1:
        raise refuse(f"{shown} is encrypted.", param="file")
    if info.file_size > MAX_FILE_BYTES:
        raise TooLarge(
            f"{shown} has {info.file_size} bytes unpacked; at most {MAX_FILE_BYTES} are taken.", param="file"
        )
    if info.file_size > _RATIO_FROM_BYTES and info.file_size > MAX_RATIO * max(info.compress_size, 1):
        raise TooLarge(f"{shown} unpacks to more than {MAX_RATIO} times its size.", param="file")


def _common_root(paths: list[tuple[str, ...]]) -> tuple[str, ...]:
    """The folders that everything lies in, above the classes: many programs put one on top."""
    root: list[str] = []
    while paths and all(len(path) >= 3 for path in paths) and len({path[0] for path in paths}) == 1:
        if paths[0][0].lower() in _SPLIT_OF:
            break
        root.append(paths[0][0])
        paths = [path[1:] for path in paths]
    return tuple(root)


def _checked_label(name: str) -> str:
    if len(name) > MAX_NAME_CHARS:
        raise refuse(f"The class folder {name[:50]!r}… has a name of more than {MAX_NAME_CHARS} characters.")
    if has_control(name):
        raise refuse(f"The class folder {name!r} has a control character in its name.", param="file")
    return name
