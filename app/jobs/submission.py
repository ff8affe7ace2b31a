"""From a request to a queued job: everything that can be checked is checked before anything is written."""

import shutil
from dataclasses import dataclass, field
from typing import Any

import orjson

from app.core.errors import NotFound, StorageFull, Unprocessable
from app.core.ids import created_id
from app.core.settings import Settings
from app.datasets.cache import DatasetCache
from app.datasets.stored import StoredDataset
from app.db.engine import Database
from app.inference.catalogue import model_not_found, parse_ref
from app.jobs.batch import BatchPlan, plan_evaluate, plan_predict
from app.jobs.batch_columns import ReadModel
from app.jobs.repository import NewJob, create_job, queries
from app.jobs.requests import EvaluateRequest, JobKind, PredictRequest, dataset_roles
from app.jobs.schemas import BatchDryRun, DryRun
from app.models import repository as models
from app.recipes.base import BaseModel, open_base
from app.recipes.request import JobRequest
from app.recipes.resolve import resolve
from app.storage.blobs import BlobStore

MAX_OWNER_CHARS = 128


@dataclass(frozen=True)
class Checked:
    """A request that fits its data."""

    request: JobKind
    datasets: dict[str, str]
    recipe: str | None
    model_name: str | None
    resolved: dict[str, Any]
    warnings: list[dict[str, Any]]
    seconds: float | None
    dry_run: DryRun | BatchDryRun
    models: dict[str, tuple[str, int]] = field(default_factory=dict)


class Submission:
    """Checks requests against their data, and writes the job."""

    def __init__(self, database: Database, blobs: BlobStore, settings: Settings, cache: DatasetCache) -> None:
        self.database = database
        self.blobs = blobs
        self.settings = settings
        self.cache = cache

    def check(self, project: str, request: JobKind) -> Checked:
        """Return the request with everything filled in; raise what a client must change.

        No database connection is held while data is fetched and read.
        """
        datasets = dataset_roles(request)
        model = None if isinstance(request, JobRequest) else self._read_model(project, request.model)
        with self.database.reading() as session:
            found = queries.find_datasets(session, project, set(datasets.values()))
        require_datasets(datasets, found)
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
        if isinstance(request, PredictRequest) and model is not None:
            names = {role: found[dataset_id][0] for role, dataset_id in datasets.items()}
            return _of_plan(request, datasets, model, plan_predict(request, model, data, names))
        if isinstance(request, EvaluateRequest) and model is not None:
            return _of_plan(request, datasets, model, plan_evaluate(request, model, data["all"]))
        return _of_training(request, datasets, data, self._read_base(project, request))

    def dry_run(self, project: str, request: JobKind) -> DryRun | BatchDryRun:
        """Say what the job would do; write nothing."""
        return self.check(project, request).dry_run

    def submit(self, project: str, request: JobKind, *, key: str = "", retry_of: str | None = None) -> str:
        """Write the job and return its id. `key`: the name of the caller's key, "" where there are none.

        With `retry_of`, the job that this one repeats, return the one that was made from it before.
        """
        self._require_space()
        checked = self.check(project, request)
        new = self._new_job(project, checked, key, retry_of)
        with self.database.transaction() as session:
            if retry_of is not None:
                if queries.lock_job(session, project, retry_of) is None:
                    raise job_not_found(retry_of)
                earlier = queries.find_retry(session, project, retry_of)
                if earlier is not None:
                    return earlier
            # Read again under a lock: a data set may have been deleted since it was checked.
            found = queries.find_datasets(session, project, set(checked.datasets.values()), lock=True)
            require_datasets(checked.datasets, found)
            for name, version in checked.models.values():
                if models.find_version(session, project, name, version, lock=True) is None:
                    raise model_not_found(f"{name}@{version}")
            create_job(session, new)
        return new.id

    def _new_job(self, project: str, checked: Checked, key: str, retry_of: str | None) -> NewJob:
        request, job_id = checked.request, created_id("job")
        return NewJob(
            id=job_id,
            project=project,
            kind=request.kind,
            recipe=checked.recipe,
            request=request.model_dump(mode="json", exclude_unset=True),
            resolved=checked.resolved,
            warnings=checked.warnings,
            model_name=checked.model_name or f"{checked.recipe}-{job_id[-6:]}",
            models=checked.models,
            datasets=checked.datasets,
            metadata=dict(request.metadata),
            priority=request.priority,
            max_failures=request.max_failures or self.settings.max_failures,
            retry_of=retry_of,
            owner=owner_of(request, key),
            queue=request.queue,
            expected_seconds=checked.seconds,
        )

    def _read_model(self, project: str, ref: str) -> ReadModel:
        name, selector = parse_ref(ref)
        with self.database.reading() as session:
            row = models.find_version(session, project, name, selector)
        if row is None:
            raise model_not_found(ref)
        if "model.onnx" not in row.manifest["files"]:
            raise Unprocessable(
                f"model: {name}@{row.version} has no ONNX form ({row.runtime}); jobs run models that have one.",
                code="unsupported",
                param="model",
            )
        try:
            fitted = orjson.loads(self.blobs.get_bytes(f"{row.blob_prefix}/preprocessing.json"))
        except FileNotFoundError:  # deleted since its row was read
            raise model_not_found(ref) from None
        return ReadModel(name, row.version, row.recipe, row.parameters, row.bytes, row.manifest, fitted)

    def _read_base(self, project: str, request: JobKind) -> BaseModel | None:
        """Return the model that a training starts from, None where it names none; NotFound where there is none."""
        ref = request.params.get("base") if isinstance(request, JobRequest) else None
        if not isinstance(ref, str):
            return None
        name, selector = parse_ref(ref, param="params.base")
        with self.database.reading() as session:
            row = models.find_version(session, project, name, selector)
        if row is None:
            raise model_not_found(ref, param="params.base")
        try:
            fitted = orjson.loads(self.blobs.get_bytes(f"{row.blob_prefix}/preprocessing.json"))
        except FileNotFoundError:  # deleted since its row was read
            raise model_not_found(ref, param="params.base") from None
        return open_base(name, row.version, row.manifest, fitted)

    def _require_space(self) -> None:
        if shutil.disk_usage(self.settings.home_dir).free < self.settings.min_free_bytes:
            raise StorageFull("The server's disk is nearly full; no job is taken until there is space.")


def _of_training(
    request: JobKind, datasets: dict[str, str], data: dict[str, StoredDataset], base: BaseModel | None
) -> Checked:
    if not isinstance(request, JobRequest):
        raise TypeError(f"no training: {type(request).__name__}")
    resolution = resolve(request, data, base)
    estimate = resolution.estimate
    dry_run = DryRun(
        resolved=resolution.resolved,
        warnings=resolution.warnings,
        parameters=estimate["parameters"],
        trainable_parameters=estimate["trainable_parameters"],
        steps=estimate["steps"],
        memory_bytes=estimate["memory_bytes"],
        seconds=estimate["seconds"],
    )
    return Checked(
        request=request,
        datasets=datasets,
        recipe=request.recipe,
        model_name=request.model,
        resolved=resolution.resolved,
        warnings=resolution.warnings,
        seconds=estimate["seconds"],
        dry_run=dry_run,
        models={} if base is None else {"base": (base.name, base.version)},
    )


def _of_plan(request: JobKind, datasets: dict[str, str], model: ReadModel, plan: BatchPlan) -> Checked:
    dry_run = BatchDryRun(
        resolved=plan.resolved,
        warnings=plan.warnings,
        rows=plan.rows,
        parameters=plan.parameters,
        memory_bytes=plan.memory_bytes,
        seconds=plan.seconds,
    )
    return Checked(
        request=request,
        datasets=datasets,
        recipe=model.recipe,
        model_name=model.name,
        resolved=plan.resolved,
        warnings=plan.warnings,
        seconds=plan.seconds,
        dry_run=dry_run,
        models={"model": (model.name, model.version)},
    )


def owner_of(request: JobKind, key: str) -> str:
    """Return whom the job counts for in the queue: `metadata.owner` where it is a text, else the caller's key."""
    named = request.metadata.get("owner")
    return named[:MAX_OWNER_CHARS] if isinstance(named, str) else key


def job_not_found(job_id: str) -> NotFound:
    """Return the error for an id that is no job of the caller's."""
    return NotFound(f"There is no job {job_id[:64]!r}.", code="job_not_found", param="id")


def require_datasets(datasets: dict[str, str], found: dict[str, tuple[str, str]]) -> None:
    """Raise NotFound for the first data set, by role, that is not among those `found` by id."""
    for role, dataset_id in datasets.items():
        if dataset_id not in found:
            param = "dataset" if role == "all" else f"dataset.{role}"
            raise NotFound(f"There is no data set {dataset_id[:64]!r}.", code="dataset_not_found", param=param)
