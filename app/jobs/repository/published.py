"""Checkpoints that a job of kind `publish` reads: it has a row of its own that names the same blobs."""

from sqlalchemy import insert, select
from sqlalchemy.orm import Session

from app.db.engine import db_now
from app.db.tables import JobCheckpoint, JobDataset, JobModel


def find_checkpoint(session: Session, job_id: str, attempt: int, step: int) -> JobCheckpoint | None:
    """Return the row, locked until the end of the transaction: nobody removes the checkpoint meanwhile."""
    query = select(JobCheckpoint).where(
        JobCheckpoint.job_id == job_id, JobCheckpoint.attempt == attempt, JobCheckpoint.step == step
    )
    return session.scalars(query.with_for_update()).one_or_none()


def lend_checkpoint(session: Session, checkpoint: JobCheckpoint, borrower: str) -> None:
    """Let the job `borrower` read the checkpoint: its files stay as long as one of the rows is there."""
    session.execute(
        insert(JobCheckpoint).values(
            project=checkpoint.project,
            job_id=borrower,
            attempt=checkpoint.attempt,
            step=checkpoint.step,
            epoch=checkpoint.epoch,
            is_best=False,
            metrics=checkpoint.metrics,
            bytes=checkpoint.bytes,
            sha256=checkpoint.sha256,
            blob_prefix=checkpoint.blob_prefix,
            created_at=db_now(),
        )
    )


def read_datasets(session: Session, job_id: str) -> dict[str, str]:
    """Return the id of each data set that the job reads, by role."""
    rows = session.execute(select(JobDataset.role, JobDataset.dataset_id).where(JobDataset.job_id == job_id))
    return dict(rows.all())


def read_models(session: Session, job_id: str) -> dict[str, tuple[str, int]]:
    """Return name and version of each model version that the job reads, by role."""
    rows = session.execute(select(JobModel.role, JobModel.name, JobModel.version).where(JobModel.job_id == job_id))
    return {role: (name, version) for role, name, version in rows}
