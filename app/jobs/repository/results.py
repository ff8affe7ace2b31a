"""The edge from running to succeeded of a job that publishes no model: its data set and its state, together."""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import delete, insert
from sqlalchemy.orm import Session

from app.db.engine import db_now
from app.db.tables import Dataset, JobCheckpoint
from app.jobs.repository.edges import AttemptEnd, cancelled, end_attempt
from app.jobs.repository.moves import EMPTY_METRICS, UNSYNCED, lock, move, storable


@dataclass(frozen=True)
class NewDataset:
    """A data set that a job made: whole in the blob store under `blob_prefix`; `sha256` is its manifest's."""

    id: str
    name: str
    rows: int
    bytes: int
    sha256: str
    columns: list[Any]
    blob_prefix: str


@dataclass(frozen=True)
class Finished:
    """What became of it: the result, and the blob prefixes of checkpoints that nobody needs any more."""

    result: dict[str, Any]
    prefixes: list[str]


def finish(
    session: Session,
    job_id: str,
    attempt: int,
    *,
    result: dict[str, Any],
    dataset: NewDataset | None,
    metrics: dict[str, Any],
    evaluation: dict[str, Any] | None,
    stop_reason: str,
    trained_seconds: float,
    end: AttemptEnd | None = None,
) -> Finished | None:
    """Write the data set that the job made, if any, and end the job, in one transaction.

    None where nothing was written: the attempt lost the job, or a cancel came first (then the job is `cancelled` now).
    The same again where this data set was written before, for a worker that lost the answer to a commit must not take
    its rows away.
    """
    told = result if dataset is None else {"dataset": dataset.id, **result}
    job = lock(session, job_id, state="running", attempt=attempt)
    if job is None:
        is_there = dataset is not None and session.get(Dataset, dataset.id) is not None
        return Finished(told, []) if is_there else None
    if job.cancel_requested_at is not None:
        cancelled(session, job_id, attempt, trained_seconds=trained_seconds, end=end)
        return None
    if dataset is not None:
        _write_dataset(session, job.project, dataset)
    values = {
        "result": storable(told),
        "metrics": {**EMPTY_METRICS, **storable(metrics)},
        "evaluation": storable(evaluation),
        "stop_reason": stop_reason,
        "trained_seconds": trained_seconds,
        "error": None,
    }
    data = {"result": told, "stop_reason": stop_reason}
    move(session, job_id, "running", "succeeded", attempt=attempt, event="succeeded", data=data, values=values)
    end_attempt(session, job_id, attempt, "succeeded", end)
    return Finished(told, _forget_checkpoints(session, job_id))


def _write_dataset(session: Session, project: str, dataset: NewDataset) -> None:
    session.execute(
        insert(Dataset).values(
            id=dataset.id,
            project=project,
            name=dataset.name,
            format="parquet",
            rows=dataset.rows,
            bytes=dataset.bytes,
            sha256=dataset.sha256,
            splits=None,
            columns=dataset.columns,
            rejected={"count": 0, "rows": []},
            cleaning=[],
            blob_prefix=dataset.blob_prefix,
            created_at=db_now(),
        )
    )


def _forget_checkpoints(session: Session, job_id: str) -> list[str]:
    """The rows of the checkpoints are those of the data set: kept twice they would help nobody."""
    gone = delete(JobCheckpoint).where(JobCheckpoint.job_id == job_id).returning(JobCheckpoint.blob_prefix)
    return list(session.scalars(gone, execution_options=UNSYNCED))
