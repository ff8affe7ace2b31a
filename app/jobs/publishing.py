"""A model version from a kept checkpoint: a job of kind `publish`, which a worker runs like any other."""

import re
from typing import Any

from app.core.errors import Conflict, NotFound
from app.core.ids import created_id
from app.db.engine import Database
from app.db.tables import Job, JobCheckpoint
from app.jobs.repository import NewJob, create_job, published, queries
from app.jobs.submission import MAX_OWNER_CHARS, job_not_found, require_datasets

_CHECKPOINT = re.compile(r"([0-9]{1,10})-([0-9]{1,10})")
_LARGEST = 2**31 - 1  # what the columns hold


class Publishing:
    """Queues jobs that make a model of a checkpoint."""

    def __init__(self, database: Database) -> None:
        self.database = database

    def publish(self, project: str, job_id: str, checkpoint: str, model: str | None, key: str = "") -> str:
        """Queue a job for the checkpoint `<attempt>-<step>` of a training in any state; return its id.

        Raises NotFound `job_not_found`, `checkpoint_not_found` or `dataset_not_found`, and Conflict for a job that
        trains nothing.
        """
        with self.database.transaction() as session:
            job = queries.get_job(session, project, job_id)
            if job is None:
                raise job_not_found(job_id)
            if job.kind != "train":
                raise Conflict(f"Job {job_id} is of kind {job.kind} and trains no model.", code="state_conflict")
            row = self._find(session, job_id, checkpoint)
            request = {"kind": "publish", "source": {"job": job_id, "checkpoint": checkpoint}}
            request |= {} if model is None else {"model": model}
            return self._queue(session, job, row, request, model or job.model_name, key)

    def repeat(self, project: str, job_id: str, key: str = "") -> str:
        """Queue a job of kind `publish` again; return the id of the new one, or of that made before."""
        with self.database.transaction() as session:
            job = queries.lock_job(session, project, job_id)
            if job is None:
                raise job_not_found(job_id)
            earlier = queries.find_retry(session, project, job_id)
            if earlier is not None:
                return earlier
            # Its own row: the training may be gone by now.
            row = self._find(session, job_id, job.request["source"]["checkpoint"])
            return self._queue(session, job, row, job.request, job.model_name, key, retry_of=job_id)

    def _find(self, session: Any, job_id: str, checkpoint: str) -> JobCheckpoint:
        written = _CHECKPOINT.fullmatch(checkpoint)
        attempt, step = (int(written[1]), int(written[2])) if written is not None else (-1, -1)
        row = None
        if 0 <= max(attempt, step) <= _LARGEST:
            row = published.find_checkpoint(session, job_id, attempt, step)
        if row is None:
            raise NotFound(
                f"Job {job_id} keeps no checkpoint {checkpoint[:32]!r}; GET /v1/jobs/{job_id}/checkpoints lists those "
                "it keeps.",
                code="checkpoint_not_found",
                param="checkpoint",
            )
        return row

    def _queue(
        self,
        session: Any,
        job: Job,
        checkpoint: JobCheckpoint,
        request: dict[str, Any],
        model_name: str,
        key: str,
        retry_of: str | None = None,
    ) -> str:
        """Write a job that reads what `job` reads, and the checkpoint."""
        datasets = published.read_datasets(session, job.id)
        require_datasets(datasets, queries.find_datasets(session, job.project, set(datasets.values()), lock=True))
        named = job.meta.get("owner")
        new = NewJob(
            id=created_id("job"),
            project=job.project,
            kind="publish",
            recipe=job.recipe,
            request=request,
            resolved=job.resolved,
            model_name=model_name,
            datasets=datasets,
            models=published.read_models(session, job.id),
            metadata=job.meta,
            priority=job.priority,
            max_failures=job.max_failures,
            retry_of=retry_of,
            owner=named[:MAX_OWNER_CHARS] if isinstance(named, str) else key,
            queue=job.queue,
        )
        create_job(session, new)
        published.lend_checkpoint(session, checkpoint, new.id)
        return new.id
