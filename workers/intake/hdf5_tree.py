"""What lies in an HDF5 file, with every way out of the file shut.

HDF5 can point elsewhere: soft and external links, external storage, virtual data sets (CVE-2026-1669, -9335, -12480).
None is followed: a file that has one is refused before anything is read through it.
"""

import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final

import h5py
import ml_dtypes
import numpy as np
import numpy.typing as npt

from app.models.intake.rewrite.refused import Refused

Array = npt.NDArray[Any]

_MOST_NODES: Final = 200_000
_MOST_DEPTH: Final = 64
_MOST_NAMES: Final = 50_000


@dataclass
class Node:
    """A group: its text lists among the attributes, its groups and its data sets by name."""

    texts: dict[str, list[str]] = field(default_factory=dict)
    groups: dict[str, "Node"] = field(default_factory=dict)
    arrays: dict[str, h5py.Dataset] = field(default_factory=dict)

    def at(self, path: str) -> "Node | None":
        """Return the group at "a/b", or None."""
        node: Node | None = self
        for name in path.split("/"):
            node = node.groups.get(name) if node is not None and name else node
        return node

    def array_at(self, path: str) -> h5py.Dataset | None:
        """Return the data set at "a/b", or None."""
        folder, _, name = path.rpartition("/")
        node = self.at(folder)
        return node.arrays.get(name) if node is not None else None

    def all_arrays(self) -> Iterator[h5py.Dataset]:
        """Give every data set in here."""
        yield from self.arrays.values()
        for group in self.groups.values():
            yield from group.all_arrays()


@contextmanager
def reading() -> Iterator[None]:
    """Refuse what turns out to be damaged: h5py raises errors of many kinds for bytes that make no sense."""
    try:
        yield
    except (OSError, RuntimeError, KeyError, ValueError, TypeError, zlib.error, zipfile.BadZipFile, EOFError) as error:
        raise Refused("not_a_model", "It is damaged: it cannot be read to its end.") from error


@reading()
def read_tree(group: h5py.Group) -> Node:
    """Return what lies in an HDF5 file without reading the data.

    Names that Keras 2.12 wrote on Windows, "layers\\\\dense", are taken apart.
    Refused: `unsafe_file` for links and storage outside, `config_too_large` for too much of it.
    """
    root, count = Node(), 0
    pending: list[tuple[h5py.Group, Node, int]] = [(group, root, 0)]
    while pending:
        here, node, depth = pending.pop()
        if depth > _MOST_DEPTH:
            raise Refused("config_too_large", f"Its groups nest deeper than {_MOST_DEPTH} levels.")
        node.texts.update(_texts(here))
        for name in here:
            count += 1
            if count > _MOST_NODES:
                raise Refused("config_too_large", f"It holds more than {_MOST_NODES} groups and data sets.")
            item = _item(here, name)
            *folders, last = name.replace("\\", "/").split("/")
            parent = node
            for folder in folders:
                parent = parent.groups.setdefault(folder, Node())
            if isinstance(item, h5py.Group):
                pending.append((item, parent.groups.setdefault(last, Node()), depth + 1))
            else:
                parent.arrays[last] = item
    return root


@reading()
def read_array(dataset: h5py.Dataset, shape: tuple[int, ...], where: str) -> Array:
    """Return a data set of numbers as it is stored, or as float32 for bfloat16.

    Refused: `weights_mismatch` before anything is read where the shape is another, `non_finite_weights`.
    """
    if tuple(dataset.shape or ()) != tuple(shape):
        stored = "×".join(map(str, dataset.shape or ())) or "one number"
        owed = "×".join(map(str, shape)) or "one number"
        raise Refused("weights_mismatch", f"A weight is stored as {stored} where the layer has {owed}.", where)
    kind = dataset.dtype.kind
    if kind not in "fiub" or dataset.dtype.itemsize > 8:
        raise Refused("weights_mismatch", "A weight is stored as something other than numbers.", where)
    values: Array = np.asarray(dataset[()])
    if kind in "iu" and _text(dataset.attrs.get("dtype")) == "bfloat16":
        values = values.astype(np.uint16).view(ml_dtypes.bfloat16).astype(np.float32)
    if values.dtype.kind == "f" and not np.isfinite(values).all():
        raise Refused("non_finite_weights", "It has weights that are NaN or infinite.", where)
    return values


def _item(group: h5py.Group, name: str) -> h5py.Group | h5py.Dataset:
    if not isinstance(group.get(name, getlink=True), h5py.HardLink):
        raise Refused("unsafe_file", "It holds links, which are never followed.")
    item = group.get(name)
    if isinstance(item, h5py.Dataset):
        if item.external or item.is_virtual:
            raise Refused("unsafe_file", "It keeps data outside of the file, which is never read.")
        return item
    if isinstance(item, h5py.Group):
        return item
    raise Refused("unsafe_file", "It holds something other than groups and data sets.")


def _texts(group: h5py.Group) -> dict[str, list[str]]:
    """Return the lists of texts among a group's attributes; lists of many were cut in name0, name1, …"""
    texts: dict[str, list[str]] = {}
    for name in ("layer_names", "weight_names"):
        pieces = [name] if name in group.attrs else []
        while f"{name}{len(pieces)}" in group.attrs and name not in group.attrs:
            pieces.append(f"{name}{len(pieces)}")
        if not pieces:
            continue
        values = [value for piece in pieces for value in np.ravel(np.asarray(group.attrs[piece], dtype=object))]
        if len(values) > _MOST_NAMES:
            raise Refused("config_too_large", f"It names more than {_MOST_NAMES} weights.")
        texts[name] = [_text(value) for value in values]
    return texts


def _text(value: Any) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
