"""What an upload is, by its first bytes and, for a zip, by its directory and its JSON. No Keras, no h5py, no unpacking.

An HDF5 file is known by its signature alone here: that library's parser is for the locked-in child.
"""

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from app.models.intake.findings import Findings, RefusedUpload, reason, shown
from app.models.intake.huggingface.archive import is_checkpoint
from app.models.intake.huggingface.inspect import inspect_checkpoint
from app.models.intake.inspect_json import parse_config
from app.models.intake.inspect_zip import check_members, read_directory, read_member
from app.models.intake.limits import MAX_CONFIG_BYTES, MAX_METADATA_BYTES, IntakeLimits

HDF5 = b"\x89HDF\r\n\x1a\n"
_ZIP = (b"PK\x03\x04", b"PK\x05\x06", b"PK\x07\x08")
_HEAD_BYTES = 4096
_VERSION = re.compile(r"[0-9A-Za-z.+\-]{1,40}")
KERAS_MEMBERS = ("metadata.json", "config.json", "model.weights.h5")
# A weights member holds optimizer slots too: three numbers for each weight, and one of them of eight bytes.
_BYTES_PER_PARAMETER = 32


@dataclass(frozen=True)
class Inspected:
    """A file that may be looked at further: `format` is "keras", "h5" or "huggingface"."""

    format: str
    keras_version: str = ""
    config: Any = None
    members: list[str] = field(default_factory=list)


def inspect_file(path: Path, limits: IntakeLimits) -> Inspected:
    """Return what the file is; RefusedUpload with every reason for what is no model that is taken in."""
    size = path.stat().st_size
    with path.open("rb") as source:
        head = source.read(_HEAD_BYTES)
        if head.startswith(HDF5):
            return Inspected("h5")
        if not head.startswith(_ZIP):
            raise RefusedUpload([_no_model(head)])
        members = read_directory(source, size)
    names = [member.filename for member in members]
    if not head.startswith(_ZIP[0]) or (members and min(member.header_offset for member in members) != 0):
        raise RefusedUpload([reason("not_a_model", "The zip does not begin with its first member.")])
    if is_checkpoint(names):
        inspect_checkpoint(path, members, limits.max_upload_bytes, limits.max_parameters)
        return Inspected("huggingface", members=names)
    if "config.json" not in names and KERAS_MEMBERS[2] not in names:
        raise RefusedUpload([_no_model_zip(names)])
    findings = Findings()
    most = {
        "metadata.json": MAX_METADATA_BYTES,
        "config.json": MAX_CONFIG_BYTES,
        KERAS_MEMBERS[2]: min(limits.max_upload_bytes, _BYTES_PER_PARAMETER * limits.max_parameters),
    }
    check_members(members, most, KERAS_MEMBERS, findings)
    findings.stop()
    return _inspect_keras(path)


def _inspect_keras(path: Path) -> Inspected:
    findings = Findings()
    metadata = config = None
    try:
        content = read_member(path, "metadata.json", MAX_METADATA_BYTES)
        metadata = parse_config(content, "metadata.json", MAX_METADATA_BYTES)
    except RefusedUpload as refused:
        findings.reasons += refused.reasons
    try:
        config = parse_config(read_member(path, "config.json", MAX_CONFIG_BYTES), "config.json", MAX_CONFIG_BYTES)
    except RefusedUpload as refused:
        findings.reasons += refused.reasons
    findings.stop()
    if not isinstance(config, dict):
        raise RefusedUpload([reason("config_invalid", "It is not an object.", "config.json")])
    said = metadata.get("keras_version") if isinstance(metadata, dict) else None
    version = said if isinstance(said, str) and _VERSION.fullmatch(said) else ""
    return Inspected("keras", keras_version=version, config=config, members=list(KERAS_MEMBERS))


def _no_model(head: bytes) -> dict[str, str]:
    """Say what a file is that is neither HDF5 nor a zip, as far as its first bytes tell."""
    pickled = head[:1] == b"\x80" and head[1:2] in (b"\x02", b"\x03", b"\x04", b"\x05")
    if pickled:
        return reason("pickle", "It is a pickle (PyTorch, scikit-learn). Loading one runs code; none is taken in.")
    if head[4:8] == b"TFL3":
        return reason("unsupported_format", "It is a TensorFlow Lite file, which cannot be trained on or checked.")
    if head.startswith(b"\x1f\x8b") or head[257:262] == b"ustar":
        return reason("unsupported_format", "It is a tar or gzip archive; send the model file itself.")
    if head.startswith(b"\x08") and (b"pytorch" in head or b"onnx" in head or b"ir_version" in head):
        return reason("unsupported_format", "It is an ONNX file; send the Keras model that it was made from.")
    if b"saved_model" in head or b"SavedModel" in head or head.startswith((b"\x08\x01\x12", b"\x0a")):
        return reason("saved_model", "It looks like a TensorFlow graph, which is a program. Save the model as .keras.")
    if not head:
        return reason("not_a_model", "The file is empty.")
    return reason("not_a_model", "It is neither a .keras file nor HDF5, nor a zip of a checkpoint.")


def _no_model_zip(names: list[str]) -> dict[str, str]:
    last = {name.rsplit("/", 1)[-1] for name in names}
    if "saved_model.pb" in last or any(name.endswith(".pb") for name in last):
        message = "It holds a TensorFlow SavedModel, which is a program and can read and write files. "
        return reason("saved_model", message + "Save the model as .keras.")
    if "data.pkl" in last or any(name.endswith((".pkl", ".bin", ".pt", ".pth", ".ckpt")) for name in last):
        message = "It holds pickles (PyTorch). Loading one runs code; send model.safetensors instead."
        return reason("pickle", message)
    listed = ", ".join(shown(name) for name in names[:5]) or "nothing"
    needs = "config.json and model.weights.h5, or config.json and model.safetensors"
    return reason("not_a_model", f"The zip has {listed}; a model has {needs}.")
