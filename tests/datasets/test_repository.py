"""Rows of data sets, on both databases."""

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from app.datasets import repository
from app.db.engine import Database
from app.db.migrate import migrate
from app.db.tables import Dataset, Job, JobDataset
from app.jobs.repository.queries import find_datasets
from tests.servers import wait_until


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.services)])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path / 'd.db'}"
    else:
        url = request.getfixturevalue("postgres_server").create_database()
    database = Database(url)
    migrate(database)
    yield database
    database.close()


def new_dataset(dataset_id: str, project: str = "default") -> Dataset:
    facts: dict[str, Any] = {"columns": [{"name": "Ä", "top": [["x\u2028", 1]]}], "rejected": {}, "cleaning": []}
    return Dataset(
        id=dataset_id, project=project, name="n", format="csv", rows=1, bytes=2**40, sha256="0" * 64, splits=None,
        blob_prefix=f"datasets/{dataset_id}", **facts,
    )  # fmt: skip


def test_create_list_get_delete(database: Database) -> None:
    with database.transaction() as session:
        for number in range(5):
            repository.create_dataset(session, new_dataset(f"ds_{number}"))
        other = new_dataset("ds_x", "other")
        repository.create_dataset(session, other)
        assert other.created_at.tzinfo is not None
    with database.reading() as session:
        rows, has_more = repository.list_datasets(session, "default", limit=2, after=None, descending=True)
        assert [row.id for row in rows] == ["ds_4", "ds_3"]
        assert has_more
        rows, has_more = repository.list_datasets(session, "default", limit=9, after="ds_1", descending=False)
        assert [row.id for row in rows] == ["ds_2", "ds_3", "ds_4"]
        assert not has_more
        assert repository.get_dataset(session, "other", "ds_0") is None
        found = repository.get_dataset(session, "default", "ds_0")
        assert found is not None
        assert found.bytes == 2**40
        assert found.columns[0]["name"] == "Ä"
    with database.transaction() as session:
        assert repository.delete_dataset(session, "other", "ds_0") is None
        assert repository.delete_dataset(session, "default", "ds_0") is not None
    with database.reading() as session:
        assert repository.get_dataset(session, "default", "ds_0") is None


def test_only_jobs_that_have_not_ended_hold_a_data_set(database: Database) -> None:
    empty: dict[str, Any] = {"request": {}, "resolved": {}, "meta": {}, "warnings": [], "metrics": {}}
    with database.transaction() as session:
        repository.create_dataset(session, new_dataset("ds_1"))
        states = ["queued", "running", "paused", "succeeded", "failed", "cancelled"]
        for state in states:
            session.add(Job(id=f"job_{state}", recipe="r", model_name="m", state=state, **empty))
            session.flush()
            session.add(JobDataset(job_id=f"job_{state}", role="train", dataset_id="ds_1"))
            session.add(JobDataset(job_id=f"job_{state}", role="test", dataset_id="ds_1"))
    with database.reading() as session:
        assert repository.jobs_using(session, "ds_1", 9) == ["job_paused", "job_queued", "job_running"]
        assert repository.jobs_using(session, "ds_1", 1) == ["job_paused"]
        assert repository.jobs_using(session, "ds_2", 9) == []


def test_a_submission_waits_for_a_deletion_and_finds_nothing(database: Database) -> None:
    with database.transaction() as session:
        repository.create_dataset(session, new_dataset("ds_1"))
    found: list[Any] = []
    begun = threading.Event()

    def submit() -> None:
        begun.set()
        with database.transaction() as session:
            found.append(find_datasets(session, "default", {"ds_1"}, lock=True))

    with database.transaction() as session:
        repository.delete_dataset(session, "default", "ds_1")
        session.flush()
        thread = threading.Thread(target=submit)
        thread.start()
        wait_until(begun.is_set, 5, "the submission")
        assert found == []
    thread.join(10)
    assert found == [{}]
