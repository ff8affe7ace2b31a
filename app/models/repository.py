"""Models, versions and aliases in the database."""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import delete, exists, insert, literal, select, tuple_, update
from sqlalchemy.orm import Session

from app.core.clock import to_rfc3339
from app.core.json import dump_json, parse_json
from app.db.engine import db_now
from app.db.paging import fetch_page
from app.db.tables import Counter, Job, JobModel, Model, ModelAlias, ModelVersion
from app.db.upsert import insert_for
from app.jobs.states import FINAL
from app.webhooks.repository import outbox as webhooks

CATALOGUE = "catalogue"


@dataclass(frozen=True)
class PublishedBundle:
    """A bundle that is whole in the blob store under `blob_prefix`."""

    blob_prefix: str
    manifest: dict[str, Any]
    bytes: int
    sha256: str
    """Of manifest.json, which names the hashes of all other files."""
    dataset_id: str | None = None
    base: str | None = None
    description: str | None = None


def publish_version(session: Session, project: str, name: str, job_id: str | None, bundle: PublishedBundle) -> int:
    """Write the next version of the model and raise the catalogue's counter; return the version."""
    version = _next_version(session, project, name)
    manifest = parse_json(dump_json(bundle.manifest), unique_keys=False)
    session.execute(
        insert(ModelVersion).values(
            project=project,
            name=name,
            version=version,
            recipe=manifest.get("recipe"),
            job_id=job_id,
            dataset_id=bundle.dataset_id or _training_set(manifest.get("dataset")),
            base=bundle.base,
            description=bundle.description,
            metrics=manifest.get("metrics") or {},
            signature=manifest.get("signature") or {"inputs": [], "outputs": []},
            manifest=manifest,
            parameters=int(manifest.get("parameters") or 0),
            bytes=bundle.bytes,
            sha256=bundle.sha256,
            runtime=manifest.get("runtime") or "onnx",
            blob_prefix=bundle.blob_prefix,
            created_at=db_now(),
        )
    )
    raise_counter(session, CATALOGUE)
    webhooks.announce(session, project, "model.published", lambda: _news(session, project, name, version))
    return version


def publish_upload(session: Session, project: str, name: str, bundle: PublishedBundle, intake: dict[str, Any]) -> int:
    """Publish an uploaded model with its intake report, once for a blob prefix; return the version."""
    # The row of the name is locked by the rise of its number: two requests with one key come here one by one.
    version = publish_version(session, project, name, None, bundle)
    earlier = find_uploaded(session, project, bundle.blob_prefix, before=version)
    if earlier is not None:
        session.rollback()
        return earlier
    session.execute(
        update(ModelVersion)
        .where(ModelVersion.project == project, ModelVersion.name == name, ModelVersion.version == version)
        .values(intake=intake)
    )
    return version


def find_uploaded(session: Session, project: str, blob_prefix: str, before: int | None = None) -> int | None:
    """Return the version that was published from this prefix, if one was (with `before`: a lower one)."""
    query = select(ModelVersion.version).where(ModelVersion.project == project, ModelVersion.blob_prefix == blob_prefix)
    if before is not None:
        query = query.where(ModelVersion.version < before)
    return session.scalars(query.limit(1)).one_or_none()


def get_intake(session: Session, project: str, name: str, version: int) -> dict[str, Any] | None:
    """Return the intake report of a version, None where it has none."""
    return session.execute(
        select(ModelVersion.intake).where(
            ModelVersion.project == project, ModelVersion.name == name, ModelVersion.version == version
        )
    ).scalar_one_or_none()


def _news(session: Session, project: str, name: str, version: int) -> dict[str, Any]:
    row = session.execute(
        select(
            ModelVersion.name, ModelVersion.version, ModelVersion.recipe, ModelVersion.job_id.label("job"),
            ModelVersion.dataset_id.label("dataset"), ModelVersion.base, ModelVersion.metrics, ModelVersion.parameters,
            ModelVersion.bytes, ModelVersion.sha256, ModelVersion.runtime, ModelVersion.created_at,
        ).where(ModelVersion.project == project, ModelVersion.name == name, ModelVersion.version == version)
    ).one()  # fmt: skip
    facts = dict(row._mapping)
    return {"model": {**facts, "ref": f"{name}@{version}", "created_at": to_rfc3339(row.created_at)}}


def _training_set(dataset: str | dict[str, str] | None) -> str | None:
    """Return the data set trained on, where a manifest names one for each split."""
    return dataset.get("train") if isinstance(dataset, dict) else dataset


def find_published(session: Session, job_id: str, blob_prefix: str) -> str | None:
    """Return the ref of the version that the job published from this prefix, if it did."""
    query = select(ModelVersion.name, ModelVersion.version)
    row = session.execute(
        query.where(ModelVersion.job_id == job_id, ModelVersion.blob_prefix == blob_prefix)
    ).one_or_none()
    return f"{row.name}@{row.version}" if row is not None else None


def _next_version(session: Session, project: str, name: str) -> int:
    new = insert_for(session, Model).values(project=project, name=name, last_version=1, created_at=db_now())
    raised = new.on_conflict_do_update(
        index_elements=["project", "name"], set_={"last_version": Model.last_version + 1}
    ).returning(Model.last_version)
    return int(session.execute(raised).scalar_one())


def raise_counter(session: Session, name: str) -> None:
    """Raise a counter by one; two transactions that do it give two."""
    new = insert_for(session, Counter).values(name=name, value=1)
    session.execute(new.on_conflict_do_update(index_elements=["name"], set_={"value": Counter.value + 1}))


def read_counter(session: Session, name: str) -> int:
    """Return the counter, 0 where it never rose."""
    return session.scalar(select(Counter.value).where(Counter.name == name)) or 0


def get_model(session: Session, project: str, name: str, *, lock: bool = False) -> Model | None:
    """Return the row of a name; with `lock`, its versions and aliases stay as they are meanwhile."""
    query = select(Model).where(Model.project == project, Model.name == name)
    if lock:
        query = query.with_for_update()
    return session.scalars(query).one_or_none()


def list_models(
    session: Session, project: str, *, limit: int, after: Model | None, descending: bool
) -> tuple[list[Model], bool]:
    """Return a page of models that have a version, by creation, and whether more follow."""
    key = tuple_(Model.created_at, Model.name)
    has_version = exists().where(ModelVersion.project == Model.project, ModelVersion.name == Model.name)
    query = select(Model).where(Model.project == project, has_version)
    if after is not None:
        cursor = tuple_(literal(after.created_at, Model.created_at.type), literal(after.name))
        query = query.where(key < cursor if descending else key > cursor)
    order = (Model.created_at.desc(), Model.name.desc()) if descending else (Model.created_at, Model.name)
    rows = list(session.scalars(query.order_by(*order).limit(limit + 1)))
    return rows[:limit], len(rows) > limit


def all_versions(session: Session, project: str, names: list[str]) -> dict[str, list[tuple[int, str | None]]]:
    """Return `(version, recipe)` of every version of each name, newest first."""
    found: dict[str, list[tuple[int, str | None]]] = {name: [] for name in names}
    rows = session.execute(
        select(ModelVersion.name, ModelVersion.version, ModelVersion.recipe)
        .where(ModelVersion.project == project, ModelVersion.name.in_(names))
        .order_by(ModelVersion.version.desc())
    )
    for name, version, recipe in rows:
        found[name].append((version, recipe))
    return found


def all_aliases(session: Session, project: str, names: list[str]) -> dict[str, dict[str, int]]:
    """Return the version by alias of each name."""
    found: dict[str, dict[str, int]] = {name: {} for name in names}
    rows = session.execute(
        select(ModelAlias.name, ModelAlias.alias, ModelAlias.version)
        .where(ModelAlias.project == project, ModelAlias.name.in_(names))
        .order_by(ModelAlias.alias)
    )
    for name, alias, version in rows:
        found[name][alias] = version
    return found


def list_versions(
    session: Session, project: str, name: str, *, limit: int, after: int | None, descending: bool
) -> tuple[list[ModelVersion], bool]:
    """Return a page of versions by number, and whether more follow."""
    query = select(ModelVersion).where(ModelVersion.project == project, ModelVersion.name == name)
    return fetch_page(session, query, ModelVersion.version, limit=limit, after=after, descending=descending)


def get_version(session: Session, project: str, name: str, version: int) -> ModelVersion | None:
    """Return one version."""
    return session.get(ModelVersion, (project, name, version))


def find_version(
    session: Session, project: str, name: str, selector: int | str | None, *, lock: bool = False
) -> ModelVersion | None:
    """Return the version that a ref means (a number, an alias, None: the newest); with `lock`, it stays meanwhile.

    A deletion takes the lock on the name first, as this does.
    """
    if lock and get_model(session, project, name, lock=True) is None:
        return None
    query = select(ModelVersion).where(ModelVersion.project == project, ModelVersion.name == name)
    if isinstance(selector, str):
        named = select(ModelAlias.version).where(
            ModelAlias.project == project, ModelAlias.name == name, ModelAlias.alias == selector
        )
        query = query.where(ModelVersion.version == named.scalar_subquery())
    elif selector is not None:
        query = query.where(ModelVersion.version == selector)
    return session.scalars(query.order_by(ModelVersion.version.desc()).limit(1)).one_or_none()


def jobs_using(session: Session, project: str, name: str, version: int | None, limit: int) -> list[str]:
    """Return ids of jobs that read the version (None: any version) and have not ended."""
    query = (
        select(Job.id)
        .join(JobModel, JobModel.job_id == Job.id)
        .where(JobModel.project == project, JobModel.name == name, Job.state.not_in(FINAL))
    )
    if version is not None:
        query = query.where(JobModel.version == version)
    return list(session.scalars(query.distinct().order_by(Job.id).limit(limit)))


def put_alias(session: Session, project: str, name: str, alias: str, version: int) -> None:
    """Point the alias at the version, wherever it pointed before."""
    new = insert_for(session, ModelAlias).values(
        project=project, name=name, alias=alias, version=version, created_at=db_now()
    )
    session.execute(
        new.on_conflict_do_update(
            index_elements=["project", "name", "alias"], set_={"version": version, "created_at": db_now()}
        )
    )
    raise_counter(session, CATALOGUE)


def delete_alias(session: Session, project: str, name: str, alias: str) -> bool:
    """Remove the alias; False where there is none."""
    gone = session.execute(
        delete(ModelAlias)
        .where(ModelAlias.project == project, ModelAlias.name == name, ModelAlias.alias == alias)
        .returning(ModelAlias.alias)
    ).one_or_none()
    if gone is not None:
        raise_counter(session, CATALOGUE)
    return gone is not None


def delete_version(session: Session, project: str, name: str, version: int) -> str | None:
    """Remove a version; return its blob prefix, None where there is none. Its number stays used."""
    prefix = session.execute(
        delete(ModelVersion)
        .where(ModelVersion.project == project, ModelVersion.name == name, ModelVersion.version == version)
        .returning(ModelVersion.blob_prefix)
    ).scalar_one_or_none()
    if prefix is not None:
        raise_counter(session, CATALOGUE)
    return prefix


def delete_versions(session: Session, project: str, name: str) -> list[str]:
    """Remove all versions and aliases of a name; return the blob prefixes. Its row keeps the numbers used."""
    session.execute(delete(ModelAlias).where(ModelAlias.project == project, ModelAlias.name == name))
    prefixes = session.scalars(
        delete(ModelVersion)
        .where(ModelVersion.project == project, ModelVersion.name == name)
        .returning(ModelVersion.blob_prefix)
    ).all()
    if prefixes:
        raise_counter(session, CATALOGUE)
    return list(prefixes)


def read_all_versions(session: Session) -> list[tuple[str, str, int, str, str]]:
    """Return `(project, name, version, blob_prefix, sha256)` of every version of all projects."""
    rows = session.execute(
        select(
            ModelVersion.project,
            ModelVersion.name,
            ModelVersion.version,
            ModelVersion.blob_prefix,
            ModelVersion.sha256,
        )
    )
    return [(project, name, version, prefix, sha256) for project, name, version, prefix, sha256 in rows]


def read_all_aliases(session: Session) -> list[tuple[str, str, str, int]]:
    """Return `(project, name, alias, version)` of every alias of all projects."""
    rows = session.execute(select(ModelAlias.project, ModelAlias.name, ModelAlias.alias, ModelAlias.version))
    return [(project, name, alias, version) for project, name, alias, version in rows]
