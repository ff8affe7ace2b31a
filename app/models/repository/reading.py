"""What models, versions and aliases there are."""

from typing import Any

from sqlalchemy import exists, literal, select, tuple_
from sqlalchemy.orm import Session

from app.db.paging import fetch_page
from app.db.tables import Job, JobModel, Model, ModelAlias, ModelVersion
from app.jobs.states import FINAL


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


def get_intake(session: Session, project: str, name: str, version: int) -> dict[str, Any] | None:
    """Return the intake report of a version, None where it has none."""
    return session.execute(
        select(ModelVersion.intake).where(
            ModelVersion.project == project, ModelVersion.name == name, ModelVersion.version == version
        )
    ).scalar_one_or_none()


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
