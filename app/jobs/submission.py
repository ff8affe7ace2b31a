"""From a request to a queued job: everything that can be checked is checked before anything is written."""

import shutil
from dataclasses import dataclass
from typing import Any

from app.core.errors import NotFound, StorageFull
from app.core.ids import created_id
from app.core.settings import Settings
from app.datasets.cache import DatasetCache
from app.datasets.stored import StoredDataset
from app.db.engine import Database
from app.jobs.repository import NewJob, create_job, queries
from app.jobs.schemas import DryRun
from app.recipes.request import DatasetSplits, JobRequest
from app.recipes.resolve import Resolution, resolve


@dataclass(frozen=True)
class Checked:
    """A request that fits its data."""

    request: JobRequest
    datasets: dict[str, str]
    resolution: Resolution


class Submission:
    """Checks requests against their data, and writes the job."""

    def __init__(self, database: Database, settings: Settings, cache: DatasetCache) -> None:
        self.database = database
        self.settings = settings
        self.cache = cache

    def check(self, project: str, request: JobRequest) -> Checked:
        """Return the request with everything filled in; raise what a client must change.

        No database connection is held while data is fetched and read.
        """
        datasets = roles_of(request)
        with self.database.reading() as session:
            found = queries.find_datasets(session, project, set(datasets.values()))
        _require_datasets(datasets, found)
        try:
            data = {
                role: StoredDataset.open(self.cache.folder(dataset_id, found[dataset_id][1]))
                for role, dataset_id in datasets.items()
            }
        except FileNotFoundError:
            # Deleted since its row was read, unless the store has lost it.
            raise NotFound(
                "A data set of this job is no longer in the store.", code="dataset_not_found", param="dataset"
            ) from None
        return Checked(request, datasets, resolve(request, data))

    def dry_run(self, project: str, request: JobRequest) -> DryRun:
        """Say what the job would do; write nothing."""
        resolution = self.check(project, request).resolution
        return DryRun(
            resolved=resolution.resolved,
            warnings=resolution.warnings,
            **{name: resolution.estimate[name] for name in ("parameters", "steps", "memory_bytes", "seconds")},
        )

    def submit(self, project: str, request: JobRequest, *, retry_of: str | None = None) -> str:
        """Write the job and return its id.

        With `retry_of`, the job that this one repeats, return the one that was made from it before.
        """
        self._require_space()
        checked = self.check(project, request)
        new = self._new_job(project, checked, retry_of)
        with self.database.transaction() as session:
            if retry_of is not None:
                if queries.lock_job(session, project, retry_of) is None:
                    raise job_not_found(retry_of)
                earlier = queries.find_retry(session, project, retry_of)
                if earlier is not None:
                    return earlier
            # Read again under a lock: a data set may have been deleted since it was checked.
            found = queries.find_datasets(session, project, set(checked.datasets.values()), lock=True)
            _require_datasets(checked.datasets, found)
            create_job(session, new)
        return new.id

    def _new_job(self, project: str, checked: Checked, retry_of: str | None) -> NewJob:
        request, job_id = checked.request, created_id("job")
        return NewJob(
            id=job_id,
            project=project,
            kind=request.kind,
            recipe=request.recipe,
            request=request.model_dump(mode="json", exclude_unset=True),
            resolved=checked.resolution.resolved,
            warnings=checked.resolution.warnings,
            model_name=request.model or f"{request.recipe}-{job_id[-6:]}",
            datasets=checked.datasets,
            metadata=dict(request.metadata),
            priority=request.priority,
            max_failures=request.max_failures or self.settings.max_failures,
            retry_of=retry_of,
        )

    def _require_space(self) -> None:
        if shutil.disk_usage(self.settings.home_dir).free < self.settings.min_free_bytes:
            raise StorageFull("The server's disk is nearly full; no job is taken until there is space.")


def roles_of(request: JobRequest) -> dict[str, str]:
    """Return data set id by role: `all`, or `train` and what else is given."""
    if isinstance(request.dataset, DatasetSplits):
        given: dict[str, Any] = request.dataset.model_dump()
        return {role: dataset_id for role, dataset_id in given.items() if dataset_id is not None}
    return {"all": request.dataset}


def job_not_found(job_id: str) -> NotFound:
    """Return the error for an id that is no job of the caller's."""
    return NotFound(f"There is no job {job_id[:64]!r}.", code="job_not_found", param="id")


def _require_datasets(datasets: dict[str, str], found: dict[str, tuple[str, str]]) -> None:
    for role, dataset_id in datasets.items():
        if dataset_id not in found:
            param = "dataset" if role == "all" else f"dataset.{role}"
            raise NotFound(f"There is no data set {dataset_id[:64]!r}.", code="dataset_not_found", param=param)
