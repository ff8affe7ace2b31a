"""Aliases are set and removed, versions removed; each change raises the counter of the catalogue."""

from sqlalchemy import delete
from sqlalchemy.orm import Session

from app.db.engine import db_now
from app.db.tables import ModelAlias, ModelVersion
from app.db.upsert import insert_for
from app.models.repository.counters import CATALOGUE, raise_counter


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
