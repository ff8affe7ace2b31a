"""A whole service with the real trainer: what was killed and went on ends with the same bits."""

import os
import signal
import sqlite3
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from app.demo.service import PrivateService
from app.demo.show import PENGUINS
from tests.workers.processes import wait_until

pytestmark = [pytest.mark.services, pytest.mark.timeout(300)]
EPOCHS = 80


@pytest.fixture(scope="module")
def service() -> Iterator[PrivateService]:
    with PrivateService({"TRAINYARD_CHECKPOINT_SECONDS": "0.2", "TRAINYARD_HEARTBEAT_SECONDS": "1"}) as service:
        yield service


class Observer:
    """The service as a client and its database see it."""

    def __init__(self, service: PrivateService) -> None:
        self.http = httpx.Client(base_url=service.url, timeout=60, trust_env=False)
        path = service.home / "home" / "trainyard.db"
        self.database = sqlite3.connect(f"file:{path}?mode=ro", uri=True, isolation_level=None)

    def submit(self, dataset: str) -> str:
        body = {
            "recipe": "tabular-classification", "dataset": dataset, "columns": {"target": "species"},
            "training": {"epochs": EPOCHS, "early_stopping": False},
        }  # fmt: skip
        return str(self.http.post("/v1/jobs", json=body).raise_for_status().json()["id"])

    def job(self, job_id: str) -> dict[str, Any]:
        job: dict[str, Any] = self.http.get(f"/v1/jobs/{job_id}").raise_for_status().json()
        return job

    def has_ended(self, job_id: str) -> bool:
        return self.job(job_id)["state"] in ("succeeded", "failed", "cancelled")

    def one(self, query: str, *values: Any) -> Any:
        return self.database.execute(query, values).fetchone()[0]

    def results(self, job_id: str) -> tuple[Any, Any]:
        job = self.job(job_id)
        assert job["state"] == "succeeded", job["error"]
        rows = self.http.get(f"/v1/jobs/{job_id}/metrics").json()["data"]
        return [(row["epoch"], row["step"], row["split"], row["values"]) for row in rows], job["metrics"]


def test_a_job_whose_trainer_was_killed_ends_as_one_that_was_not(service: PrivateService) -> None:
    observer = Observer(service)
    csv = {"content-type": "text/csv"}
    upload = observer.http.post("/v1/datasets", params={"name": "p.csv"}, content=PENGUINS.read_bytes(), headers=csv)
    dataset = upload.raise_for_status().json()["id"]
    whole = observer.submit(dataset)
    wait_until(lambda: observer.has_ended(whole), 120)

    killed = observer.submit(dataset)
    wait_until(lambda: observer.one("SELECT count(*) FROM job_checkpoints WHERE job_id = ?", killed) > 0, 60)
    os.kill(observer.one("SELECT pid FROM job_attempts WHERE job_id = ?", killed), signal.SIGKILL)
    resumed_from = observer.one("SELECT max(step) FROM job_checkpoints WHERE job_id = ?", killed)
    wait_until(lambda: observer.has_ended(killed), 120)

    job = observer.job(killed)
    assert (job["attempt"], job["failures"]) == (2, 1)
    assert resumed_from > 0
    assert observer.results(killed) == observer.results(whole)
    assert observer.one("SELECT count(*) FROM model_versions WHERE job_id = ?", killed) == 1
    assert observer.one("SELECT signal FROM job_attempts WHERE job_id = ? AND attempt = 1", killed) == signal.SIGKILL
