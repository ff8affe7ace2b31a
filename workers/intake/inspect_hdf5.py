"""An HDF5 file's structure, by h5py alone and only in the locked-in child: what it declares, and that it holds it.

No link that leaves the place it is in, no data that lies elsewhere, no shape without the bytes for it.
"""

from dataclasses import dataclass, field
from math import prod
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from app.models.intake.findings import Findings, plain
from app.models.intake.limits import MAX_DATASETS, MAX_RATIO, RATIO_FROM_BYTES

_MAX_DEPTH = 48
_MAX_ATTRIBUTES = 64
_MAX_ATTRIBUTE_BYTES = 4 << 20
# gzip, shuffle, fletcher32: built into HDF5. Others are plugins, which are not loaded.
_FILTERS = frozenset({1, 2, 3})
_PIECE_VALUES = 4 << 20
_FAILURES = (OSError, RuntimeError, ValueError, KeyError, TypeError, OverflowError)


@dataclass
class Structure:
    """What a file holds: how many numbers in weights, and how many bytes in all."""

    datasets: int = 0
    weights: int = 0
    bytes: int = 0
    largest: int = 0
    attributes: dict[str, Any] = field(default_factory=dict)


def inspect_hdf5(path: Path, findings: Findings) -> Structure:
    """Walk through the file without reading any data of it; add a reason for everything that no model has."""
    structure = Structure()
    try:
        with h5py.File(path, "r", locking=False) as file:
            _walk(file, structure, findings, path.stat().st_size)
    except _FAILURES:
        findings.add("not_a_model", "The HDF5 structure is damaged.", "")
    return structure


def read_attribute(path: Path, name: str, most_bytes: int) -> bytes | None:
    """Return a text attribute of the root, None where there is none; ValueError for what is none or too large."""
    try:
        with h5py.File(path, "r", locking=False) as file:
            if name not in file.attrs:
                return None
            if attribute_bytes(file.attrs.get_id(name)) > most_bytes:
                raise ValueError(name)
            value = file.attrs[name]
    except (OSError, RuntimeError, KeyError, TypeError, OverflowError) as error:
        raise ValueError(name) from error
    if isinstance(value, str):
        value = value.encode("utf-8", "surrogateescape")
    if not isinstance(value, bytes) or len(value) > most_bytes:
        raise ValueError(name)
    return value


def attribute_bytes(attribute: Any) -> int:
    """Return how large an attribute is; a text of free length counts for its pointer."""
    return int(prod(attribute.shape)) * int(attribute.dtype.itemsize)


def _walk(file: Any, structure: Structure, findings: Findings, size: int) -> None:
    stack = [(file, "", 0)]
    seen: set[Any] = set()
    while stack and not findings.full:
        group, path, depth = stack.pop()
        key = h5py.h5o.get_info(group.id).addr
        if key in seen or depth > _MAX_DEPTH:
            findings.add("hdf5_link", "Its groups hold each other, or nest too deep.", plain(path))
            continue
        seen.add(key)
        _check_attributes(group, path, findings)
        for name in group:
            where = plain(f"{path}/{name}")
            link = group.get(name, getlink=True)
            if not isinstance(link, h5py.HardLink):
                findings.add("hdf5_link", "It is a link to something elsewhere.", where)
                continue
            kind = group.get(name, getclass=True)
            if kind is h5py.Group:
                stack.append((group[name], f"{path}/{name}", depth + 1))
            elif kind is h5py.Dataset:
                _check_dataset(group[name], where, structure, findings, size)
            else:
                findings.add("hdf5_content", "It is neither a group nor a data set.", where)
            structure.datasets += 1
            if structure.datasets > MAX_DATASETS:
                findings.add("hdf5_content", f"The file has more than {MAX_DATASETS} groups and data sets.", "")
                return


def _check_attributes(item: Any, path: str, findings: Findings) -> None:
    count = len(item.attrs)
    if count > _MAX_ATTRIBUTES:
        findings.add("hdf5_content", f"It has more than {_MAX_ATTRIBUTES} attributes.", plain(path))
        return
    for name in item.attrs:
        if attribute_bytes(item.attrs.get_id(name)) > _MAX_ATTRIBUTE_BYTES:
            findings.add("hdf5_content", "It has an attribute of more than 4 MiB.", plain(path))


def _check_dataset(item: Any, where: str, structure: Structure, findings: Findings, size: int) -> None:
    properties = item.id.get_create_plist()
    if properties.get_external_count() > 0:
        findings.add("hdf5_external", "Its data lie in another file.", where)
        return
    if item.is_virtual:
        findings.add("hdf5_external", "Its data are those of other data sets.", where)
        return
    filters = {properties.get_filter(index)[0] for index in range(properties.get_nfilters())}
    if filters - _FILTERS:
        findings.add("hdf5_content", "Its data are packed by a filter other than gzip, shuffle and fletcher32.", where)
    if not _is_plain(item.dtype):
        findings.add("hdf5_content", f"It holds {plain(str(item.dtype))[:60]}, not numbers or texts.", where)
        return
    _check_attributes(item, where, findings)
    declared, stored = int(item.size or 0) * item.dtype.itemsize, int(item.id.get_storage_size())
    if stored > size:
        findings.add("hdf5_content", "It claims more bytes than the file has.", where)
    if declared > stored and (not filters or (declared > RATIO_FROM_BYTES and declared > MAX_RATIO * max(stored, 1))):
        findings.add("hdf5_not_stored", f"It declares {declared} bytes and stores {stored}.", where)
    if item.dtype.kind == "f" and not findings.reasons and not _is_finite(item):
        findings.add("non_finite_weights", "It holds NaN or infinite values.", where)
    structure.bytes += declared
    structure.largest = max(structure.largest, declared)
    if "optimizer" not in where.lower():
        structure.weights += int(item.size or 0)


def _is_finite(item: Any) -> bool:
    """Tell whether a data set's numbers are finite; it is read in pieces."""
    if item.size is None or item.size == 0:
        return True
    if item.ndim == 0 or item.size <= _PIECE_VALUES:
        return bool(np.isfinite(item[()]).all())
    rows = max(_PIECE_VALUES // max(item.size // max(item.shape[0], 1), 1), 1)
    return all(bool(np.isfinite(item[at : at + rows]).all()) for at in range(0, item.shape[0], rows))


def _is_plain(dtype: Any) -> bool:
    if dtype.kind in "iufb" and dtype.fields is None and dtype.subdtype is None:
        return True
    # Keras 2 kept the optimizer's name, and lists of names, as texts.
    return dtype.kind == "S" or (dtype.kind == "O" and h5py.check_string_dtype(dtype) is not None) or dtype == np.bool_
