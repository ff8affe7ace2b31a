"""Which models there are: a snapshot of names, versions and aliases, so that no prediction reads the database."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

from app.core.errors import NotFound

_NAME = r"[a-z][a-z0-9._-]{0,62}"
_REF = re.compile(rf"({_NAME})(?:@(?:([1-9][0-9]{{0,17}})|({_NAME})))?")

Selector = int | str | None
"""A version, an alias, or None for the newest version."""


@dataclass(frozen=True, slots=True)
class VersionEntry:
    """A version that can be served: where its bundle lies, and the SHA-256 of the bundle's manifest."""

    project: str
    name: str
    version: int
    blob_prefix: str
    sha256: str


@dataclass(frozen=True, slots=True)
class AliasEntry:
    """A second name of a version."""

    project: str
    name: str
    alias: str
    version: int


class ModelSource(Protocol):
    """Where models are written down; `app.models.service.ModelService` is one. Called off the event loop."""

    def read_counter(self) -> int:
        """Return a number that rises with every change of a model or alias."""

    def read_catalogue(self) -> tuple[int, list[VersionEntry], list[AliasEntry]]:
        """Return the counter, every version and every alias of all projects, as of one moment."""


class Catalogue:
    """An immutable snapshot."""

    def __init__(self, counter: int, versions: Iterable[VersionEntry], aliases: Iterable[AliasEntry]) -> None:
        self.counter = counter
        self._versions: dict[tuple[str, str], dict[int, VersionEntry]] = {}
        self._aliases: dict[tuple[str, str], dict[str, int]] = {}
        for entry in versions:
            self._versions.setdefault((entry.project, entry.name), {})[entry.version] = entry
        for alias in aliases:
            self._aliases.setdefault((alias.project, alias.name), {})[alias.alias] = alias.version
        self._newest = {key: max(found) for key, found in self._versions.items()}

    def find(self, project: str, name: str, selector: Selector) -> VersionEntry | None:
        """Return the version that a ref means, or None when there is none."""
        key = (project, name)
        versions = self._versions.get(key)
        if versions is None:
            return None
        if selector is None:
            return versions[self._newest[key]]
        if isinstance(selector, str):
            number = self._aliases.get(key, {}).get(selector)
            return versions.get(number) if number is not None else None
        return versions.get(selector)

    def targets(self) -> dict[tuple[str, str, str | None], VersionEntry]:
        """Return what every bare name (None) and every alias stands for: what a client may see change."""
        found: dict[tuple[str, str, str | None], VersionEntry] = {
            (project, name, None): self._versions[project, name][newest]
            for (project, name), newest in self._newest.items()
        }
        for (project, name), aliases in self._aliases.items():
            for alias in aliases:
                if entry := self.find(project, name, alias):
                    found[project, name, alias] = entry
        return found

    def digests(self) -> set[str]:
        """Return the manifest hashes of all versions."""
        return {entry.sha256 for versions in self._versions.values() for entry in versions.values()}


EMPTY = Catalogue(-1, (), ())


def parse_ref(ref: str, param: str = "model") -> tuple[str, Selector]:
    """Return name and selector of `name`, `name@3` or `name@alias`; NotFound for what is no ref."""
    match = _REF.fullmatch(ref)
    if match is None:
        raise model_not_found(ref, param)
    name, version, alias = match.groups()
    return name, int(version) if version else alias


def format_ref(name: str, selector: Selector) -> str:
    """Return the text of a ref."""
    return name if selector is None else f"{name}@{selector}"


def model_not_found(ref: str, param: str = "model") -> NotFound:
    """Return the error for a ref that no model has."""
    return NotFound(f"There is no model {ref[:130]!r}.", code="model_not_found", param=param)
