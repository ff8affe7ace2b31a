"""Opens a model file: its config, the Keras that wrote it, and its weights unread."""

import io
import json
import zipfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import h5py

from app.models.intake.rewrite.refused import Refused
from workers.intake.hdf5_tree import Node, read_tree, reading

_MOST_CONFIG_BYTES: Final = 16 * 2**20
_HDF5_MAGIC: Final = b"\x89HDF\r\n\x1a\n"


@dataclass(frozen=True)
class Source:
    """An open model file. `config` is the model's, as it is written; `backend` the one that trained it."""

    format: str
    keras_version: str
    backend: str
    config: Any
    weights: Node


@contextmanager
def open_source(path: Path, architecture: Path | None = None) -> Iterator[Source]:
    """Open a model file, with the architecture JSON of a file that has weights alone.

    Refused: `not_a_model`, `saved_model`, `weights_only`, `config_invalid`, `unsafe_file`.
    """
    if path.is_dir():
        raise Refused("saved_model", "It is a folder, as TensorFlow's SavedModel is; save it as .keras instead.")
    with path.open("rb") as file:
        start = file.read(8)
    with ExitStack() as stack:
        with reading():
            if start == _HDF5_MAGIC:
                opened = stack.enter_context(h5py.File(path, "r"))
                source = _from_hdf5(opened, _read_json(architecture.read_bytes()) if architecture else None)
            elif start[:2] == b"PK":
                source = _from_zip(stack.enter_context(zipfile.ZipFile(path)), stack)
            else:
                raise Refused("not_a_model", "It is neither a .keras file nor HDF5.")
        yield source


def _from_hdf5(opened: h5py.File, architecture: Any) -> Source:
    tree = read_tree(opened)
    text = opened.attrs.get("model_config")
    version, backend = _attribute(opened, "keras_version"), _attribute(opened, "backend")
    inner = opened.get("model_weights")
    if not version and isinstance(inner, h5py.Group):
        version, backend = _attribute(inner, "keras_version"), backend or _attribute(inner, "backend")
    if text is None and architecture is None:
        raise Refused(
            "weights_only", "It holds weights only. Send the architecture's JSON as a second part, architecture."
        )
    if text is not None:
        config, form = _read_json(text if isinstance(text, bytes) else str(text).encode()), "h5"
    else:
        config, form = architecture, "h5+json" if "layer_names" in tree.texts else "weights.h5+json"
        said = config.get("keras_version") if isinstance(config, dict) else None
        version = said if isinstance(said, str) else version
    weights = tree.groups.get("model_weights", tree)
    return Source(form, version, backend or "tensorflow", config, weights)


def _from_zip(archive: zipfile.ZipFile, stack: ExitStack) -> Source:
    if any(name.endswith("saved_model.pb") for name in archive.namelist()):
        raise Refused("saved_model", "It is a TensorFlow SavedModel; save it as .keras instead.")
    opened = stack.enter_context(h5py.File(io.BytesIO(_member(archive, "model.weights.h5")), "r"))
    config = _read_json(_member(archive, "config.json"))
    metadata = _read_json(_member(archive, "metadata.json"))
    version = metadata.get("keras_version") if isinstance(metadata, dict) else None
    return Source("keras", version if isinstance(version, str) else "", "tensorflow", config, read_tree(opened))


def _member(archive: zipfile.ZipFile, name: str) -> bytes:
    try:
        return archive.read(name)
    except KeyError as error:
        raise Refused("not_a_model", f"It has no {name}, which a .keras file has.") from error


def _read_json(content: bytes) -> Any:
    if len(content) > _MOST_CONFIG_BYTES:
        raise Refused("config_too_large", f"Its config has more than {_MOST_CONFIG_BYTES} bytes.")
    try:
        value = json.loads(content)
        # Whoever writes json.dump(model.to_json()) writes a text that is JSON.
        return json.loads(value) if isinstance(value, str) else value
    except (ValueError, RecursionError) as error:
        raise Refused("config_invalid", "Its config is not JSON, or too deep.") from error


def _attribute(group: h5py.Group, name: str) -> str:
    value = group.attrs.get(name, "")
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
