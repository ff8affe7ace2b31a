"""The zip of a checkpoint: known members only, sizes by the directory, nothing unpacked to disk."""

import stat
import zipfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, Any

from app.models.intake.findings import Findings, RefusedUpload, reason, shown
from app.models.intake.inspect_json import parse_config
from app.models.intake.inspect_zip import check_member, read_member

WEIGHTS = "model.safetensors"
POOLING = "1_Pooling/config.json"
# What is read, and the most bytes of each; the weights have a limit of their own.
READ = {
    "config.json": 1 << 20,
    "tokenizer.json": 32 << 20,
    "tokenizer_config.json": 4 << 20,
    "special_tokens_map.json": 1 << 20,
    "vocab.txt": 16 << 20,
    "vocab.json": 16 << 20,
    "merges.txt": 16 << 20,
    "modules.json": 1 << 16,
    "sentence_bert_config.json": 1 << 16,
    POOLING: 1 << 16,
}
# Files that can run code when they are read, and code.
_PICKLES = (".bin", ".pt", ".pth", ".pkl", ".pickle", ".ckpt", ".joblib", ".npy", ".npz")
_CODE = (".py", ".pyc", ".so", ".dll", ".sh")


@dataclass(frozen=True)
class Checkpoint:
    """A checked zip. `members`: what is read, by the name in the layout; `ignored`: the names of the rest."""

    path: Path
    members: dict[str, zipfile.ZipInfo]
    ignored: list[str]

    def __contains__(self, name: str) -> bool:
        return name in self.members

    def read(self, name: str) -> bytes:
        """Return the content of a member of `READ`; RefusedUpload when it is damaged."""
        info = self.members[name]
        return read_member(self.path, info.filename, info.file_size)

    def json(self, name: str) -> dict[str, Any]:
        """Return the object in a JSON member; {} where there is no such member."""
        value = parse_config(self.read(name), name, READ[name]) if name in self.members else {}
        if not isinstance(value, dict):
            raise RefusedUpload([reason("config_invalid", "It is not a JSON object.", name)])
        return value

    def json_list(self, name: str) -> list[Any]:
        """Return the list in a JSON member."""
        value = parse_config(self.read(name), name, READ[name])
        if not isinstance(value, list):
            raise RefusedUpload([reason("config_invalid", "It is not a JSON list.", name)])
        return value

    @property
    def weights_bytes(self) -> int:
        """The size of the weights, unpacked."""
        return self.members[WEIGHTS].file_size

    @contextmanager
    def open_weights(self) -> Iterator[IO[bytes]]:
        """Give the stream of the weights; RefusedUpload when it is damaged."""
        try:
            with zipfile.ZipFile(self.path) as archive, archive.open(self.members[WEIGHTS]) as source:
                yield source
        except (zipfile.BadZipFile, zipfile.zlib.error, EOFError, OSError) as error:  # type: ignore[attr-defined]
            message = "The member is damaged: it does not unpack to what is listed."
            raise RefusedUpload([reason("not_a_model", message, WEIGHTS)]) from error


def is_checkpoint(names: Iterable[str]) -> bool:
    """Tell whether a zip with these members is meant as a checkpoint in this layout, good or bad.

    A `.keras` file has a `config.json` too, with `metadata.json` and `model.weights.h5` beside it.
    """
    found = {PurePosixPath(name).name for name in names}
    if "metadata.json" in found or "model.weights.h5" in found:
        return False
    layout = {WEIGHTS, f"{WEIGHTS}.index.json", "pytorch_model.bin", "vocab.txt", "tokenizer.json", "merges.txt"}
    return "config.json" in found and bool(found & layout)


def check_archive(path: Path, members: list[zipfile.ZipInfo], max_bytes: int) -> Checkpoint:
    """Return the checkpoint in the zip at `path` by its directory alone; RefusedUpload with every reason against it.

    Members that are not of the layout are ignored, but for those that could run code: these are refused by name.
    """
    findings = Findings()
    seen: set[str] = set()
    for member in members:
        _check_name(member, seen, findings)
        check_member(member, findings)
    if sum(member.file_size for member in members) > max_bytes:
        findings.add("too_large_unpacked", f"Unpacked it is larger than {max_bytes} bytes.")
    findings.stop()
    folder = _folder(members)
    found: dict[str, zipfile.ZipInfo] = {}
    ignored = []
    for member in members:
        name = member.filename.removeprefix(folder)
        if name not in READ and name != WEIGHTS:
            ignored.append(name)
            continue
        found[name] = member
        most = READ.get(name, max_bytes)
        if member.file_size > most:
            findings.add(
                "too_large_unpacked", f"It has {member.file_size} bytes unpacked; at most {most} may be.", name
            )
    _check_whole(found, ignored, findings)
    findings.stop()
    return Checkpoint(path, found, [name for name in ignored if not name.endswith("/")])


def _check_name(member: zipfile.ZipInfo, seen: set[str], findings: Findings) -> None:
    name, where = member.filename, shown(member.filename)
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or "\\" in name or ":" in name or not name.isprintable():
        findings.add("unknown_member", "Its name leads out of the zip, or is no name.", where)
    if stat.S_IFMT(member.external_attr >> 16) not in (0, stat.S_IFREG, stat.S_IFDIR, stat.S_IFLNK):
        findings.add("unknown_member", "It is no file.", where)
    folded = name.rstrip("/").casefold()
    if folded in seen:
        findings.add("duplicate_member", "The zip has two members of one name.", where)
    seen.add(folded)
    suffix = path.suffix.casefold()
    if suffix in _PICKLES:
        message = (
            "A file of this kind can hold a pickle, which runs code when it is read. Leave it out: the weights must "
            f"be in {WEIGHTS}."
        )
        findings.add("pickle", message, where)
    elif suffix in _CODE:
        findings.add("code", "It is code, and code of an upload is never run. Leave it out.", where)


def _folder(members: list[zipfile.ZipInfo]) -> str:
    """Return the one folder that holds config.json, with its slash; "" where it lies on top."""
    names = [member.filename for member in members if PurePosixPath(member.filename).name == "config.json"]
    names = sorted((name for name in names if not name.endswith(POOLING)), key=lambda name: name.count("/"))
    if not names or names[0].count("/") > 1:
        message = "The zip must have a config.json, on top or in one folder."
        raise RefusedUpload([reason("missing_member", message, "config.json")])
    if len([name for name in names if name.count("/") == names[0].count("/")]) > 1:
        raise RefusedUpload([reason("duplicate_member", "The zip holds several checkpoints; send one.", "config.json")])
    return names[0].removesuffix("config.json")


def _check_whole(found: dict[str, zipfile.ZipInfo], ignored: list[str], findings: Findings) -> None:
    if WEIGHTS not in found:
        sharded = any(name.endswith((".safetensors", ".safetensors.index.json")) for name in ignored)
        more = " Weights in several files are not read: save them in one." if sharded else ""
        findings.add("missing_member", f"The zip lacks this member.{more}", WEIGHTS)
    has_merges = "vocab.json" in found and "merges.txt" in found
    if not ("tokenizer.json" in found or "vocab.txt" in found or has_merges):
        message = "The zip has no tokenizer: tokenizer.json, or vocab.txt, or vocab.json with merges.txt."
        findings.add("missing_member", message, "tokenizer.json")
