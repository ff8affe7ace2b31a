"""Finished models: names, versions, aliases, files (API.md §5)."""

import hashlib
from collections.abc import Callable, Iterator
from itertools import chain
from typing import Any

from app.core.clock import to_rfc3339
from app.core.errors import ArtifactCorrupt, Conflict, NotFound, Unprocessable
from app.db.engine import Database
from app.db.tables import Model, ModelVersion
from app.inference.catalogue import AliasEntry, Selector, VersionEntry, format_ref, model_not_found, parse_ref
from app.models import repository
from app.models.bundle import MANIFEST
from app.models.lineage import repository as lineage
from app.models.lineage.service import refuse_use
from app.models.repository import CATALOGUE
from app.models.schemas import (
    INTAKE_FIELDS,
    AliasView,
    Deleted,
    FileList,
    FileView,
    IntakeView,
    ModelList,
    ModelView,
    ServingStatus,
    VersionList,
    VersionView,
)
from app.storage.blobs import BlobStore


class ModelService:
    """Shows, names and removes models of a project; tells the inference which there are."""

    def __init__(self, database: Database, blobs: BlobStore) -> None:
        self.database = database
        self.blobs = blobs
        self.on_change: Callable[[], object] = lambda: None
        """Called after each change that predictions must see before it is answered."""

    # For the inference

    def read_counter(self) -> int:
        """Return a number that rises with every change of a model or alias."""
        with self.database.reading() as session:
            return repository.read_counter(session, CATALOGUE)

    def read_catalogue(self) -> tuple[int, list[VersionEntry], list[AliasEntry]]:
        """Return the counter, every version and every alias of all projects.

        The counter is read first: what changes meanwhile raises it, and is read again for that.
        """
        with self.database.reading() as session:
            counter = repository.read_counter(session, CATALOGUE)
            versions = [VersionEntry(*row) for row in repository.read_all_versions(session)]
            aliases = [AliasEntry(*row) for row in repository.read_all_aliases(session)]
        return counter, versions, aliases

    # Showing

    def page(self, project: str, *, limit: int, after: str | None, descending: bool) -> ModelList:
        """Return a page of models; `after` is a name."""
        with self.database.reading() as session:
            cursor = repository.get_model(session, project, after) if after is not None else None
            if after is not None and cursor is None:
                raise Unprocessable(f"after: there is no model {after[:64]!r}.", param="after")
            rows, has_more = repository.list_models(session, project, limit=limit, after=cursor, descending=descending)
            data = self._views(session, project, rows)
        return ModelList(data=data, has_more=has_more, **_ends([view.id for view in data]))

    def get(self, project: str, ref: str) -> ModelView:
        """Return the model that a ref means; with a version or alias in it, of that version only."""
        name, selector = parse_ref(ref)
        with self.database.reading() as session:
            row = repository.get_model(session, project, name)
            views = self._views(session, project, [row]) if row is not None else []
        if not views:
            raise model_not_found(ref)
        return views[0] if selector is None else _narrow(views[0], ref, selector)

    def versions(self, project: str, name: str, *, limit: int, after: int | None, descending: bool) -> VersionList:
        """Return a page of a model's versions."""
        with self.database.reading() as session:
            rows, has_more = repository.list_versions(
                session, project, name, limit=limit, after=after, descending=descending
            )
            if not rows and not repository.all_versions(session, project, [name])[name]:
                raise model_not_found(name)
            aliases = repository.all_aliases(session, project, [name])[name]
            bases = lineage.existing(session, project, (row.base for row in rows))
        ends = _ends([str(row.version) for row in rows])
        data = [_version_view(row, aliases, bases) for row in rows]
        return VersionList(data=data, has_more=has_more, **ends)

    def version(self, project: str, name: str, version: int) -> VersionView:
        """Return one version."""
        with self.database.reading() as session:
            row = self._require_version(session, project, name, version)
            bases = lineage.existing(session, project, [row.base])
            return _version_view(row, repository.all_aliases(session, project, [name])[name], bases)

    def intake(self, project: str, name: str, version: int) -> IntakeView:
        """Return the intake report of an uploaded version."""
        with self.database.reading() as session:
            self._require_version(session, project, name, version)
            report = repository.get_intake(session, project, name, version)
        if report is None:
            message = f"{format_ref(name, version)} was trained here, not uploaded: it has no intake report."
            raise NotFound(message, code="intake_not_found", param="version")
        return IntakeView(model=name, version=version, **{key: report.get(key) for key in INTAKE_FIELDS})

    def files(self, project: str, name: str, version: int) -> FileList:
        """Return the files of a version's bundle."""
        with self.database.reading() as session:
            row = self._require_version(session, project, name, version)
        data = self._files(row)
        return FileList(data=data, has_more=False, **_ends([file.name for file in data]))

    def find_file(self, project: str, name: str, version: int, file: str) -> FileView:
        """Return what is known of one file; only names in the bundle's manifest exist."""
        found = [view for view in self.files(project, name, version).data if view.name == file]
        if not found:
            raise _file_not_found(name, version, file)
        return found[0]

    def read_file(self, project: str, name: str, version: int, file: str) -> Iterator[bytes]:
        """Return the content of a file in pieces; the last is withheld, by ArtifactCorrupt, where the hash is another.

        So a small file that is damaged is an error, and a large one ends too early for its Content-Length.
        """
        sha256 = self.find_file(project, name, version, file).sha256
        with self.database.reading() as session:
            prefix = self._require_version(session, project, name, version).blob_prefix
        pieces = _checked(self.blobs.stream(f"{prefix}/{file}"), sha256)
        try:
            first = next(pieces, b"")
        except FileNotFoundError:
            raise _file_not_found(name, version, file) from None
        return chain([first], pieces)

    # Changing

    def put_alias(self, project: str, name: str, alias: str, version: int) -> AliasView:
        """Point an alias at a version, new or moved."""
        with self.database.transaction() as session:
            self._lock(session, project, name)
            self._require_version(session, project, name, version, param="version")
            repository.put_alias(session, project, name, alias, version)
        self.on_change()
        return AliasView(name=name, alias=alias, version=version)

    def delete_alias(self, project: str, name: str, alias: str) -> Deleted:
        """Remove an alias; the version stays."""
        with self.database.transaction() as session:
            if not repository.delete_alias(session, project, name, alias):
                message = f"Model {name[:64]!r} has no alias {alias[:64]!r}."
                raise NotFound(message, code="alias_not_found", param="alias")
        self.on_change()
        return Deleted(id=f"{name}@{alias}", object="model.alias")

    def delete_version(self, project: str, name: str, version: int, *, force: bool = False) -> Deleted:
        """Remove a version; refused while an alias points at it, so that none dangles, or a job or version needs it.

        With `force` what needs it is no reason: versions stay and say that their base is gone, jobs that have not
        fetched it fail with `configuration_error`.
        """
        with self.database.transaction() as session:
            self._lock(session, project, name)
            self._require_version(session, project, name, version)
            aliases = repository.all_aliases(session, project, [name])[name]
            pointing = [alias for alias, target in aliases.items() if target == version]
            if pointing:
                raise Conflict(
                    f"Aliases point at {name}@{version}: {', '.join(pointing)}. Move or delete them first.",
                    code="version_in_use",
                    details=[{"param": "alias", "message": alias} for alias in pointing],
                )
            if not force:
                refuse_use(session, project, name, version)
            prefix = repository.delete_version(session, project, name, version)
        self.on_change()
        if prefix is not None:
            self.blobs.delete_tree(prefix)
        return Deleted(id=f"{name}@{version}", object="model.version")

    def delete(self, project: str, name: str, *, force: bool = False) -> Deleted:
        """Remove a model with all its versions and aliases; the numbers of its versions stay used."""
        with self.database.transaction() as session:
            self._lock(session, project, name)
            if not force:
                refuse_use(session, project, name, None)
            prefixes = repository.delete_versions(session, project, name)
            if not prefixes:
                raise model_not_found(name)
        self.on_change()
        for prefix in prefixes:
            self.blobs.delete_tree(prefix)
        return Deleted(id=name, object="model")

    def _files(self, row: ModelVersion) -> list[FileView]:
        listed = row.manifest.get("files", {})
        files = [FileView(name=name, bytes=facts["bytes"], sha256=facts["sha256"]) for name, facts in listed.items()]
        # The manifest cannot name itself: its hash is in the row, its size in the store.
        try:
            manifest_bytes = len(self.blobs.get_bytes(f"{row.blob_prefix}/{MANIFEST}"))
        except FileNotFoundError:
            return files
        files.append(FileView(name=MANIFEST, bytes=manifest_bytes, sha256=row.sha256))
        return sorted(files, key=lambda file: file.name)

    def _lock(self, session: Any, project: str, name: str) -> None:
        if repository.get_model(session, project, name, lock=True) is None:
            raise model_not_found(name)

    def _require_version(
        self, session: Any, project: str, name: str, version: int, param: str = "model"
    ) -> ModelVersion:
        row = repository.get_version(session, project, name, version)
        if row is None:
            ref = format_ref(name, version)
            raise NotFound(f"There is no model {ref[:130]!r}.", code="model_not_found", param=param)
        return row

    def _views(self, session: Any, project: str, rows: list[Model]) -> list[ModelView]:
        names = [row.name for row in rows]
        versions = repository.all_versions(session, project, names)
        aliases = repository.all_aliases(session, project, names)
        return [_model_view(row, versions[row.name], aliases[row.name]) for row in rows if versions[row.name]]


def _model_view(row: Model, versions: list[tuple[int, str | None]], aliases: dict[str, int]) -> ModelView:
    newest, recipe = versions[0]
    return ModelView(
        id=row.name,
        created=int(row.created_at.timestamp()),
        owned_by=row.project,
        name=row.name,
        recipe=recipe,
        version=newest,
        versions=[version for version, _ in versions],
        aliases=aliases,
        created_at=to_rfc3339(row.created_at) or "",
        model_version_status=[ServingStatus(version=str(version)) for version, _ in versions],
    )


def _narrow(view: ModelView, ref: str, selector: Selector) -> ModelView:
    version = view.aliases.get(selector) if isinstance(selector, str) else selector
    if version is None or version not in view.versions:
        raise model_not_found(ref)
    status = [ServingStatus(version=str(version))]
    return view.model_copy(update={"id": ref, "version": version, "model_version_status": status})


def _version_view(row: ModelVersion, aliases: dict[str, int], bases: set[str]) -> VersionView:
    return VersionView(
        name=row.name,
        version=row.version,
        aliases=[alias for alias, version in aliases.items() if version == row.version],
        recipe=row.recipe,
        job=row.job_id,
        dataset=row.manifest.get("dataset") or row.dataset_id,
        base=row.base,
        base_exists=None if row.base is None else row.base in bases,
        metrics=row.metrics,
        signature=row.signature,
        parameters=row.parameters,
        bytes=row.bytes,
        sha256=row.sha256,
        runtime=row.runtime,
        created_at=to_rfc3339(row.created_at) or "",
        model_version_status=[ServingStatus(version=str(row.version))],
    )


def _checked(pieces: Iterator[bytes], sha256: str) -> Iterator[bytes]:
    digest = hashlib.sha256()
    held: bytes | None = None
    for piece in pieces:
        digest.update(piece)
        if held is not None:
            yield held
        held = piece
    if digest.hexdigest() != sha256:
        raise ArtifactCorrupt("The stored file is not the one that was published; it is not served.")
    if held is not None:
        yield held


def _file_not_found(name: str, version: int, file: str) -> NotFound:
    return NotFound(f"{name}@{version} has no file {file[:64]!r}.", code="file_not_found", param="file")


def _ends(ids: list[str]) -> dict[str, str | None]:
    return {"first_id": ids[0] if ids else None, "last_id": ids[-1] if ids else None}
