"""The client commands as a person types them."""

import base64
import json
from collections.abc import Callable
from pathlib import Path

import httpx
import numpy as np
import pytest
from click.testing import Result

from tests.client.fake_service import DATASET, EVALUATION, FakeService, job, refusal, running, succeeded
from tests.images import jpeg, png

Run = Callable[..., Result]

ESTIMATE = {"resolved": {}, "parameters": 10, "steps": 3, "memory_bytes": 4, "seconds": 1.5, "warnings": []}


@pytest.fixture
def table(tmp_path: Path) -> Path:
    path = tmp_path / "penguins.csv"
    path.write_text("species,body_mass_g\nAdelie,3750\n")
    return path


def ready_to_train(service: FakeService) -> None:
    service.on("POST /v1/datasets", DATASET)
    service.on("POST /v1/jobs", job("queued", queue_position=1))
    service.on("GET /v1/jobs/job_1", job("queued", queue_position=1), running(3), succeeded())
    service.on("GET /v1/jobs/job_1/evaluation", EVALUATION)


def test_upload_shows_the_columns_and_what_to_do_next(service: FakeService, run: Run, table: Path) -> None:
    service.on("POST /v1/datasets", DATASET)
    result = run("upload", str(table), "-o", "delimiter=;", "-o", 'missing=["?"]', "--format", "csv")
    assert result.exit_code == 0, result.output
    assert "ds_1  344 rows, 13.5 kB, csv" in result.stdout
    assert "Adelie (152), Gentoo (124)" in result.stdout
    assert "2,700 … 6,300" in result.stdout
    assert "trainyard train ds_1" in result.stdout
    assert dict(service.requests[0].url.params) == {
        "name": "penguins.csv",
        "delimiter": ";",
        "missing": '["?"]',
        "format": "csv",
    }


def test_upload_json_is_what_the_service_sent(service: FakeService, run: Run, table: Path) -> None:
    service.on("POST /v1/datasets", DATASET)
    assert json.loads(run("upload", str(table), "--json").stdout) == DATASET


def test_upload_says_how_many_rows_were_rejected(service: FakeService, run: Run, table: Path) -> None:
    service.on("POST /v1/datasets", DATASET | {"rejected": {"count": 1200, "rows": []}})
    assert "1,200 rows were rejected" in run("upload", str(table)).stdout


def test_train_on_a_file_uploads_submits_follows_and_shows_the_figures(
    service: FakeService, run: Run, table: Path
) -> None:
    ready_to_train(service)
    result = run("train", str(table), "--target", "species", "--model", "penguins", "--exclude", "island")
    assert result.exit_code == 0, result.output
    assert service.bodies("POST /v1/jobs") == [
        {
            "recipe": "tabular-classification",
            "dataset": "ds_1",
            "columns": {"target": "species", "exclude": ["island"]},
            "model": "penguins",
        }
    ]
    assert "queued, 1 in line" in result.stderr
    assert "epoch 3/10, loss 0.3333, validation 0.6667, 7 s left" in result.stderr
    assert "model penguins@1" in result.stdout
    assert "fit: healthy. Close." in result.stdout
    [accuracy] = [line for line in result.stdout.splitlines() if line.startswith("accuracy")]
    assert accuracy.split() == ["accuracy", "0.97", "0.91", "–", "1", "0.44"]


def test_settings_go_anywhere_in_the_request_as_json_or_text(service: FakeService, run: Run) -> None:
    ready_to_train(service)
    settings = ["training.epochs=20", "training.optimizer.name=sgd", "params.units=[64,64]", "metadata.team=search"]
    arguments = [word for setting in settings for word in ("--set", setting)]
    assert run("train", "ds_1", "--target", "y", *arguments).exit_code == 0
    [sent] = service.bodies("POST /v1/jobs")
    assert sent["training"] == {"epochs": 20, "optimizer": {"name": "sgd"}}
    assert sent["params"] == {"units": [64, 64]}
    assert sent["metadata"] == {"team": "search"}


@pytest.mark.parametrize("setting", ["training.epochs", "=3", "recipe.x=1"])
def test_a_setting_that_cannot_be_placed_is_wrong_usage(service: FakeService, run: Run, setting: str) -> None:
    ready_to_train(service)
    result = run("train", "ds_1", "--set", setting)
    assert result.exit_code == 2
    assert result.stderr.startswith("Error: ")
    assert service.bodies("POST /v1/jobs") == []


def test_a_dry_run_queues_nothing(service: FakeService, run: Run) -> None:
    service.on("POST /v1/jobs", ESTIMATE)
    result = run("train", "ds_1", "--target", "y", "--dry-run")
    assert json.loads(result.stdout) == ESTIMATE
    assert service.requests[0].url.params["dry_run"] == "true"
    assert len(service.requests) == 1


def test_detached_only_the_id_is_printed(service: FakeService, run: Run) -> None:
    ready_to_train(service)
    assert run("train", "ds_1", "--target", "y", "--detach").stdout == "job_1\n"


def test_a_failed_job_is_exit_code_four_with_its_error(service: FakeService, run: Run) -> None:
    ready_to_train(service)
    error = {"code": "training_diverged", "message": "The loss became infinite.", "retryable": False, "detail": {}}
    service.on("GET /v1/jobs/job_1", job("failed", error=error))
    result = run("train", "ds_1", "--target", "y")
    assert result.exit_code == 4
    assert "Error: job_1 failed: The loss became infinite. (training_diverged)" in result.stderr
    assert result.stdout == ""


def test_a_job_without_a_test_split_says_so(service: FakeService, run: Run) -> None:
    ready_to_train(service)
    service.on("GET /v1/jobs/job_1/evaluation", refusal(404, "not_found", "no evaluation"))
    result = run("train", "ds_1", "--target", "y")
    assert result.exit_code == 0
    assert "no test figures" in result.stdout


def test_warnings_are_shown_once(service: FakeService, run: Run) -> None:
    ready_to_train(service)
    leak = {"code": "leak", "message": "alive alone tells the target."}
    service.on("POST /v1/jobs", job("queued", warnings=[leak]))
    ended = succeeded() | {"warnings": [leak, {"code": "few", "message": "few rows."}]}
    service.on("GET /v1/jobs/job_1", job("queued", warnings=[leak]), ended)
    stderr = run("train", "ds_1", "--target", "y").stderr
    assert stderr.count("warning: alive alone tells the target.") == 1
    assert stderr.count("warning: few rows.") == 1


def test_an_interrupt_leaves_the_job_and_says_how_to_go_on(service: FakeService, run: Run) -> None:
    ready_to_train(service)

    def interrupt(_request: httpx.Request) -> httpx.Response:
        raise KeyboardInterrupt

    service.on("GET /v1/jobs/job_1", running(1), interrupt)
    result = run("train", "ds_1", "--target", "y")
    assert result.exit_code == 130
    assert "The job goes on. trainyard jobs follow job_1" in result.stderr
    assert not any(request.url.path.endswith("cancel") for request in service.requests)


def test_jobs_are_listed_one_a_line(service: FakeService, run: Run) -> None:
    failed = job("failed", error={"code": "out_of_memory", "message": "m"})
    service.on("GET /v1/jobs", {"object": "list", "data": [running(3), succeeded(), failed]})
    result = run("jobs", "--limit", "3")
    rows = result.stdout.splitlines()[1:]
    assert ["epoch 3/10" in rows[0], "penguins@1" in rows[1], "out_of_memory" in rows[2]] == [True] * 3
    assert dict(service.requests[0].url.params) == {"limit": "3"}


def test_no_jobs_is_said(service: FakeService, run: Run) -> None:
    service.on("GET /v1/jobs", {"object": "list", "data": []})
    assert run("jobs").stdout == "No jobs.\n"
    assert run("jobs", "--state", "running").stdout == "No jobs are running.\n"


def test_a_job_is_shown_followed_cancelled_and_its_log_printed(service: FakeService, run: Run) -> None:
    ready_to_train(service)
    service.on("GET /v1/jobs/job_1", succeeded())
    service.on("POST /v1/jobs/job_1/cancel", running(2))
    service.on("GET /v1/jobs/job_1/logs", httpx.Response(200, text="one\ntwo\n"))
    assert json.loads(run("jobs", "show", "job_1").stdout)["state"] == "succeeded"
    assert "model penguins@1" in run("jobs", "follow", "job_1").stdout
    assert run("jobs", "cancel", "job_1", "--keep", "best").stdout == "job_1 running, stopping\n"
    assert service.bodies("POST /v1/jobs/job_1/cancel") == [{"keep": "best"}]
    assert run("jobs", "logs", "job_1", "--tail", "2").stdout == "one\ntwo\n"


@pytest.mark.parametrize(("verb", "state"), [("pause", "paused"), ("resume", "queued"), ("retry", "queued")])
def test_a_job_is_steered(service: FakeService, run: Run, verb: str, state: str) -> None:
    service.on(f"POST /v1/jobs/job_1/{verb}", job(state))
    assert run("jobs", verb, "job_1").stdout == f"job_1 {state}\n"


PREDICTED = {
    "predictions": [{"label": "Adelie", "score": 0.98, "scores": {}}, {"value": 3.25}, {"labels": ["a", "b"]}, [1, 2]],
    "model": {"name": "penguins", "version": 1},
}


def test_predictions_are_shown_one_a_line(service: FakeService, run: Run) -> None:
    service.on("POST /v1/models/penguins/predict", PREDICTED)
    result = run("predict", "penguins", "[1, 2, 3, 4]")
    rows = [line.split() for line in result.stdout.splitlines()[1:]]
    assert rows == [["0", "Adelie", "0.98"], ["1", "3.25"], ["2", "a,", "b"], ["3", "[1,", "2]"]]
    assert "penguins@1" in result.stderr
    assert json.loads(run("predict", "penguins", "[1]", "--json").stdout) == PREDICTED


@pytest.mark.parametrize(
    ("text", "instances"),
    [
        ('{"x": 1}', [{"x": 1}]),
        ("[[1, 2], [3, 4]]", [[1, 2], [3, 4]]),
        ('{"instances": [1.5]}', [1.5]),
        ('{"x": 1}\n{"x": null}\n', [{"x": 1}, {"x": None}]),
        ('"one text"', ["one text"]),
    ],
)
@pytest.mark.parametrize("way", ["argument", "file", "stdin"])
def test_instances_come_from_the_argument_a_file_or_standard_input(
    service: FakeService, run: Run, tmp_path: Path, text: str, instances: list[object], way: str
) -> None:
    service.on("POST /v1/models/m/predict", PREDICTED)
    file = tmp_path / "rows.json"
    file.write_text(text)
    if way == "stdin":
        result = run("predict", "m", input=text)
    else:
        result = run("predict", "m", text if way == "argument" else f"@{file}")
    assert result.exit_code == 0, result.output
    assert service.bodies("POST /v1/models/m/predict") == [{"instances": instances}]


def test_an_image_file_is_an_instance(service: FakeService, run: Run, tmp_path: Path) -> None:
    for content in (png(np.zeros((2, 2), np.uint8)), jpeg(np.zeros((2, 2), np.uint8))):
        (tmp_path / "image").write_bytes(content)
        service.on("POST /v1/models/m/predict", PREDICTED)
        assert run("predict", "m", f"@{tmp_path / 'image'}").exit_code == 0
        (instance,) = service.bodies("POST /v1/models/m/predict")[-1]["instances"]
        assert base64.b64decode(instance["b64"]) == content


@pytest.mark.parametrize("argument", ["{not json", "[]", "@/no/such/file", "1\n2\nx"])
def test_instances_that_are_none_are_wrong_usage(service: FakeService, run: Run, argument: str) -> None:
    result = run("predict", "m", argument)
    assert result.exit_code == 2
    assert result.stderr.startswith("Error: ")
    assert service.requests == []


def test_url_and_key_come_from_options_or_the_environment(service: FakeService, run: Run) -> None:
    service.on("GET /v1/jobs", {"data": []})
    run("jobs", "--url", "http://one.test", "--key", "ty_a")
    run("jobs", env={"TRAINYARD_URL": "http://two.test", "TRAINYARD_KEY": "ty_b"})
    seen = [(request.url.host, request.headers["Authorization"]) for request in service.requests]
    assert seen == [("one.test", "Bearer ty_a"), ("two.test", "Bearer ty_b")]


def test_a_refusal_is_exit_code_one_without_a_traceback(service: FakeService, run: Run) -> None:
    service.on("GET /v1/jobs", refusal(401, "unauthorized", "Send a valid key as Authorization: Bearer <key>."))
    result = run("jobs")
    assert result.exit_code == 1
    assert result.stderr.splitlines() == [
        "Error: Send a valid key as Authorization: Bearer <key>.",
        "Give a key with --key or TRAINYARD_KEY; `trainyard key create NAME` makes one.",
    ]


def test_no_service_is_exit_code_three(service: FakeService, run: Run) -> None:
    service.on("GET /v1/jobs", httpx.ConnectError)
    result = run("jobs")
    assert result.exit_code == 3
    assert "`trainyard up` starts one here" in result.stderr


def test_status_names_what_is_missing(service: FakeService, run: Run) -> None:
    service.on("GET /readyz", httpx.Response(503, json={"checks": {"database": "ok", "workers": "none seen"}}))
    service.on("GET /livez", {"status": "ok"})
    result = run("status")
    assert (result.exit_code, result.stdout) == (1, "database: ok\nworkers: none seen\n")
    assert run("status", "--live").exit_code == 0
    service.on("GET /readyz", {"checks": {"database": "ok"}})
    assert run("status").exit_code == 0
