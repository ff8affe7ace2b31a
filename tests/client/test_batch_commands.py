"""The commands that run a model over a data set, as a person types them."""

import json
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest
from click.testing import Result

from tests.client.fake_service import DATASET, EVALUATION, FakeService, job

Run = Callable[..., Result]

RESOLVED = {"model": "penguins@3"}
RESULT = {"dataset": "ds_2", "rows": 250, "failed": 2}


def predicting(step: int) -> dict[str, object]:
    progress = {"epoch": 1, "epochs": 1, "step": step, "steps": 250, "fraction": step / 250, "rows_per_second": 1234.5}
    return job("running", kind="predict", resolved=RESOLVED, progress={**progress, "eta_seconds": 1.0})


@pytest.fixture
def table(tmp_path: Path) -> Path:
    path = tmp_path / "rows.csv"
    path.write_text("a,b\n1,2\n")
    return path


def test_predict_dataset_uploads_follows_and_saves_every_row(
    service: FakeService, run: Run, table: Path, tmp_path: Path
) -> None:
    ended = job("succeeded", kind="predict", resolved=RESOLVED, result=RESULT)
    service.on("POST /v1/datasets", DATASET)
    service.on("POST /v1/jobs", job("queued", kind="predict", resolved=RESOLVED))
    service.on("GET /v1/jobs/job_1", predicting(100), ended)

    def page(request: httpx.Request) -> httpx.Response:
        start, limit = int(request.url.params["offset"]), int(request.url.params["limit"])
        data = [{"row": row, "label": "é"} for row in range(start, min(start + limit, 250))]
        return httpx.Response(200, json={"data": data, "has_more": start + len(data) < 250})

    service.on("GET /v1/datasets/ds_2/rows", page)
    saved = tmp_path / "predictions.jsonl"
    result = run("predict-dataset", "penguins", str(table), "--id", "name", "--name", "scored", "--save", str(saved))
    assert result.exit_code == 0, result.output
    assert service.bodies("POST /v1/jobs") == [
        {
            "kind": "predict", "model": "penguins", "dataset": "ds_1", "columns": {"id": "name"},
            "output": {"name": "scored"},
        }
    ]  # fmt: skip
    assert "250 rows, 2 of them could not be predicted: data set ds_2" in result.stdout
    assert "predict penguins@3" in result.stderr
    assert "100 of 250 rows, 1,234 rows/s, 1 s left" in result.stderr
    lines = saved.read_text("utf-8").splitlines()
    assert [json.loads(line)["row"] for line in lines] == list(range(250))


def test_evaluate_shows_the_figures(service: FakeService, run: Run) -> None:
    service.on("POST /v1/jobs", job("queued", kind="evaluate", resolved=RESOLVED))
    service.on("GET /v1/jobs/job_1", job("succeeded", kind="evaluate", resolved=RESOLVED, result={"rows": 35}))
    service.on("GET /v1/jobs/job_1/evaluation", EVALUATION)
    result = run("evaluate", "penguins@3", "ds_9", "--target", "kind", "--set", "priority=5")
    assert result.exit_code == 0, result.output
    assert service.bodies("POST /v1/jobs") == [
        {"kind": "evaluate", "model": "penguins@3", "dataset": "ds_9", "columns": {"target": "kind"}, "priority": 5}
    ]
    assert "on 35 rows of the test split" in result.stdout
    assert "0.97" in result.stdout


def test_a_dry_run_and_a_detached_job_wait_for_nothing(service: FakeService, run: Run) -> None:
    service.on("POST /v1/jobs", {"rows": 7, "seconds": 1.0})
    assert json.loads(run("predict-dataset", "m", "ds_1", "--dry-run").stdout)["rows"] == 7
    assert service.requests[-1].url.params["dry_run"] == "true"
    service.on("POST /v1/jobs", job("queued", kind="predict", resolved=RESOLVED))
    assert run("predict-dataset", "m", "ds_1", "--detach").stdout == "job_1\n"


def test_a_job_that_failed_is_told_by_the_exit_code(service: FakeService, run: Run) -> None:
    error = {"code": "configuration_error", "message": "no model", "retryable": False, "detail": {}}
    service.on("POST /v1/jobs", job("queued", kind="predict", resolved=RESOLVED))
    service.on("GET /v1/jobs/job_1", job("failed", kind="predict", resolved=RESOLVED, error=error))
    result = run("predict-dataset", "m", "ds_1")
    assert result.exit_code == 4
    assert "no model" in result.stderr


def test_the_list_of_jobs_says_what_each_does(service: FakeService, run: Run) -> None:
    jobs = [predicting(125), job("succeeded", kind="predict", resolved=RESOLVED, result=RESULT), job("queued")]
    service.on("GET /v1/jobs", {"data": jobs})
    shown = run("jobs").stdout
    assert "predict penguins@3" in shown
    assert "50% of the rows" in shown
    assert "ds_2" in shown
    assert "tabular-classification" in shown
