"""Models, versions and aliases in the database."""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import insert
from sqlalchemy.orm import Session

from app.core.json import dump_json, parse_json
from app.db.engine import db_now
from app.db.tables import Counter, Model, ModelVersion
from app.db.upsert import insert_for

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
            dataset_id=bundle.dataset_id or manifest.get("dataset"),
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
    return version


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
