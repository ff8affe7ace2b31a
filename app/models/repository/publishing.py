"""A bundle becomes a version."""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import insert, select, update
from sqlalchemy.orm import Session

from app.core.clock import to_rfc3339
from app.core.json import dump_json, parse_json
from app.db.engine import db_now
from app.db.tables import Model, ModelVersion
from app.db.upsert import insert_for
from app.models.repository.counters import CATALOGUE, raise_counter
from app.webhooks.repository import outbox as webhooks


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


def find_published(session: Session, job_id: str, blob_prefix: str) -> str | None:
    """Return the ref of the version that the job published from this prefix, if it did."""
    query = select(ModelVersion.name, ModelVersion.version)
    row = session.execute(
        query.where(ModelVersion.job_id == job_id, ModelVersion.blob_prefix == blob_prefix)
    ).one_or_none()
    return f"{row.name}@{row.version}" if row is not None else None


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


def _next_version(session: Session, project: str, name: str) -> int:
    new = insert_for(session, Model).values(project=project, name=name, last_version=1, created_at=db_now())
    raised = new.on_conflict_do_update(
        index_elements=["project", "name"], set_={"last_version": Model.last_version + 1}
    ).returning(Model.last_version)
    return int(session.execute(raised).scalar_one())
