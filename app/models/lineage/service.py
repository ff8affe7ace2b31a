"""Where a version comes from, and what depends on it."""

from typing import Any, Final

from app.core.errors import Conflict, NotFound
from app.db.engine import Database
from app.db.tables import ModelVersion
from app.inference.catalogue import format_ref
from app.models import repository
from app.models.lineage import repository as lineage
from app.models.schemas import Ancestor, LineageView

# A chain of bases that is longer was not made by anybody's training.
MOST_BASES: Final = 100
MOST_SHOWN: Final = 1000
_NAMED: Final = 5


def show_lineage(database: Database, project: str, name: str, version: int) -> LineageView:
    """Return the bases of a version, nearest first, and the versions and unfinished jobs that start from it."""
    with database.reading() as session:
        row = repository.get_version(session, project, name, version)
        if row is None:
            message = f"There is no model {format_ref(name, version)[:130]!r}."
            raise NotFound(message, code="model_not_found", param="model")
        bases: list[Ancestor] = []
        following = row.base
        while following is not None and len(bases) < MOST_BASES:
            base_name, _, number = following.rpartition("@")
            found = repository.get_version(session, project, base_name, int(number))
            bases.append(_ancestor(following, found))
            following = None if found is None else found.base
        return LineageView(
            model=name,
            version=version,
            recipe=row.recipe,
            job=row.job_id,
            dataset=row.manifest.get("dataset") or row.dataset_id,
            bases=bases,
            dependants=lineage.find_dependants(session, project, name, version, MOST_SHOWN),
            jobs=repository.jobs_using(session, project, name, version, limit=MOST_SHOWN),
        )


def refuse_use(session: Any, project: str, name: str, version: int | None) -> None:
    """Raise Conflict where versions start from this one, or jobs that have not ended read it; it names them."""
    versions = lineage.find_dependants(session, project, name, version, _NAMED)
    jobs = repository.jobs_using(session, project, name, version, limit=_NAMED)
    if not versions and not jobs:
        return
    said = []
    if versions:
        said.append(f"is the base of {', '.join(versions)}")
    if jobs:
        said.append(f"is used by jobs that have not ended: {', '.join(jobs)}")
    raise Conflict(
        f"{format_ref(name, version)} {' and '.join(said)}. ?force=true deletes it all the same.",
        code="version_in_use",
        details=[
            *({"param": "version", "message": ref} for ref in versions),
            *({"param": "job", "message": job} for job in jobs),
        ],
    )


def _ancestor(ref: str, row: ModelVersion | None) -> Ancestor:
    if row is None:
        return Ancestor(ref=ref, exists=False, recipe=None, job=None, dataset=None)
    dataset = row.manifest.get("dataset") or row.dataset_id
    return Ancestor(ref=ref, exists=True, recipe=row.recipe, job=row.job_id, dataset=dataset)
