"""Rows of data sets."""

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.db.paging import fetch_page
from app.db.tables import Dataset, Job, JobDataset
from app.jobs.states import FINAL


def create_dataset(session: Session, dataset: Dataset) -> None:
    """Write a new data set; the default columns are filled in."""
    session.add(dataset)
    session.flush()
    session.refresh(dataset)


def get_dataset(session: Session, project: str, dataset_id: str) -> Dataset | None:
    """Return a data set of `project`."""
    return session.scalars(select(Dataset).where(Dataset.id == dataset_id, Dataset.project == project)).one_or_none()


def list_datasets(
    session: Session, project: str, *, limit: int, after: str | None, descending: bool
) -> tuple[list[Dataset], bool]:
    """Return a page of data sets by time of creation, and whether more follow."""
    query = select(Dataset).where(Dataset.project == project)
    return fetch_page(session, query, Dataset.id, limit=limit, after=after, descending=descending)


def delete_dataset(session: Session, project: str, dataset_id: str) -> Dataset | None:
    """Remove the row and return what it was; a job that is being submitted with it waits, and finds none."""
    query = select(Dataset).where(Dataset.id == dataset_id, Dataset.project == project).with_for_update()
    dataset = session.scalars(query).one_or_none()
    if dataset is not None:
        session.delete(dataset)
    return dataset


def jobs_using(session: Session, dataset_id: str, limit: int) -> list[str]:
    """Return ids of jobs that read the data set and have not ended."""
    query = (
        select(Job.id)
        .join(JobDataset, JobDataset.job_id == Job.id)
        .where(JobDataset.dataset_id == dataset_id, Job.state.not_in(FINAL))
        .distinct()
        .order_by(Job.id)
        .limit(limit)
    )
    return list(session.scalars(query))
