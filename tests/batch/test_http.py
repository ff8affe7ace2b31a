"""Predictions and evaluations as jobs over HTTP: what is refused, and what a client reads afterwards."""

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn

from app.main import create_app
from tests.batch.world import BatchYard, table_csv
from tests.inference.bundles import array_bundle, table_bundle
from tests.servers import wait_until


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[httpx.Client, BatchYard]]:
    """A server in a thread over a yard, whose supervisor stands for a worker."""
    yard = BatchYard(tmp_path_factory.mktemp("served") / "home", log_level="ERROR")
    server = uvicorn.Server(uvicorn.Config(create_app(yard.settings), port=0, log_config=None, lifespan="on"))
    thread = threading.Thread(target=server.run)
    thread.start()
    wait_until(lambda: server.started, 20, "the start of the server")
    port = server.servers[0].sockets[0].getsockname()[1]
    with httpx.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False, timeout=30) as client:
        yield client, yard
    server.should_exit = True
    thread.join(20)
    yard.close()


@pytest.fixture(scope="module")
def model(served: tuple[httpx.Client, BatchYard], tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("model")
    table_bundle(folder / "m")
    served[1].publish("m", folder / "m")
    array_bundle(folder / "array")
    served[1].publish("arrays", folder / "array")
    return "m"


@pytest.fixture(scope="module")
def dataset(served: tuple[httpx.Client, BatchYard]) -> str:
    answer = served[0].post("/v1/datasets?name=rows.csv", content=table_csv(40).encode())
    assert answer.status_code == 201, answer.text
    return str(answer.json()["id"])


@pytest.fixture
def client(served: tuple[httpx.Client, BatchYard], model: str) -> httpx.Client:
    return served[0]


def post(client: httpx.Client, query: str = "", **body: Any) -> httpx.Response:
    return client.post(f"/v1/jobs{query}", json=body)


def refusal(answer: httpx.Response) -> tuple[int, str, str | None]:
    error = answer.json()["error"]
    return answer.status_code, error["code"], error["param"]


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({"kind": "predict"}, (422, "missing_field", "model")),
        ({"kind": "predict", "model": "m", "recipe": "x"}, (422, "missing_field", "dataset")),
        ({"kind": "predict", "training": {}}, (422, "missing_field", "model")),
        ({"kind": "predict", "model": "m", "columns": {"target": "label"}}, (422, "unknown_field", "columns.target")),
        ({"kind": "predict", "model": "nobody"}, (404, "model_not_found", "model")),
        ({"kind": "predict", "model": "m@7"}, (404, "model_not_found", "model")),
        ({"kind": "predict", "model": "m", "dataset": "ds_none"}, (404, "dataset_not_found", "dataset")),
        ({"kind": "predict", "model": "m", "dataset": {}}, (422, "invalid_value", None)),
        ({"kind": "predict", "model": "arrays"}, (422, "column_missing", "columns.input")),
        ({"kind": "predict", "model": "arrays", "columns": {"input": ["age"]}}, (422, "column_type", "columns.input")),
        ({"kind": "predict", "model": "m", "columns": {"input": ["age"]}}, (422, "column_missing", "columns.input")),
        ({"kind": "predict", "model": "m", "columns": {"input": {"aeg": "age"}}},
         (422, "column_missing", "columns.input.aeg")),
        ({"kind": "predict", "model": "m", "columns": {"input": {"age": "city"}}}, (None, "", None)),
        ({"kind": "predict", "model": "m", "columns": {"input": {"city": "age"}}},
         (422, "column_type", "columns.input")),
        ({"kind": "predict", "model": "m", "columns": {"id": "nokey"}}, (422, "column_missing", "columns.id")),
        ({"kind": "predict", "model": "m", "columns": {"id": "label"}}, (422, "column_conflict", "columns.id")),
        ({"kind": "predict", "model": "m", "split": "test"}, (422, "invalid_value", "split")),
        ({"kind": "predict", "model": "m", "output": {"name": ""}}, (422, "invalid_value", "output.name")),
        ({"kind": "evaluate", "model": "m", "columns": {"target": "nothing"}},
         (422, "column_missing", "columns.target")),
        ({"kind": "evaluate", "model": "m", "columns": {"target": ["wet", "windy"]}},
         (422, "invalid_value", "columns.target")),
        ({"kind": "evaluate", "model": "m", "output": {}}, (422, "unknown_field", "output")),
        ({"kind": "bake", "model": "m"}, (422, "invalid_value", "kind")),
        ({"kind": 7, "model": "m"}, (422, "invalid_value", "kind")),
        ({"kind": "train"}, (422, "missing_field", "recipe")),
        ({"recipe": "tabular-classification", "model": "m", "colums": {}}, (422, "unknown_field", "colums")),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named_and_nothing_is_queued(
    client: httpx.Client, dataset: str, body: dict[str, Any], expected: tuple[int | None, str, str | None]
) -> None:
    before = client.get("/v1/jobs").json()["data"]
    told = {"dataset": dataset, **body}
    if expected[:2] == (422, "missing_field") and expected[2] == "dataset":
        del told["dataset"]
    answer = post(client, "?dry_run=true", **told)
    if expected[0] is None:
        assert answer.status_code == 200, answer.text
    elif expected[2] is None or expected[1] == "missing_field":
        assert refusal(answer)[:2] == expected[:2]
        named = [detail["param"] for detail in answer.json()["error"]["details"]]
        assert expected[2] is None or expected[2] in named
    else:
        assert refusal(answer) == expected
    assert client.get("/v1/jobs").json()["data"] == before


def test_the_forms_of_a_job_are_told(client: httpx.Client, dataset: str) -> None:
    message = post(client, kind="bake", dataset=dataset).json()["error"]["message"]
    for kind in ("train", "predict", "evaluate"):
        assert kind in message


def test_a_dry_run_says_rows_and_cost(client: httpx.Client, dataset: str) -> None:
    answer = post(client, "?dry_run=true", kind="predict", model="m", dataset=dataset)
    assert answer.status_code == 200
    body = answer.json()
    assert set(body) == {"resolved", "rows", "parameters", "memory_bytes", "seconds", "warnings"}
    assert body["rows"] == 40
    assert body["seconds"] > 0
    assert body["resolved"]["model"] == "m@1"
    assert client.get("/v1/jobs").json()["data"] == []


def test_a_prediction_from_the_request_to_the_rows(
    served: tuple[httpx.Client, BatchYard], client: httpx.Client, dataset: str
) -> None:
    _, yard = served
    client.put("/v1/models/m/aliases/production", json={"version": 1})
    request = {"kind": "predict", "model": "m@production", "dataset": dataset, "columns": {"id": "key"}}
    headers = {"Idempotency-Key": "once"}
    answer = client.post("/v1/jobs", json=request, headers=headers)
    assert answer.status_code == 201
    job = answer.json()
    assert client.post("/v1/jobs", json=request, headers=headers).json() == job
    assert (job["kind"], job["recipe"], job["state"]) == ("predict", "tabular-classification", "queued")
    assert (job["resolved"]["model"], job["request"], job["result"], job["model"]) == ("m@1", request, None, None)
    in_use = client.delete("/v1/models/m/versions/1")
    assert (in_use.status_code, in_use.json()["error"]["code"]) == (409, "version_in_use")
    client.delete("/v1/models/m/aliases/production")
    in_use = client.delete("/v1/models/m/versions/1")
    assert job["id"] in in_use.json()["error"]["message"]
    assert client.delete(f"/v1/datasets/{dataset}").status_code == 409
    yard.run(job["id"])
    job = client.get(f"/v1/jobs/{job['id']}").json()
    assert job["state"] == "succeeded"
    result = job["result"]
    found = client.get(f"/v1/datasets/{result['dataset']}").json()
    assert (found["format"], found["rows"], result["rows"], result["failed"]) == ("parquet", 40, 40, 0)
    rows = client.get(f"/v1/datasets/{result['dataset']}/rows?limit=5&offset=37").json()
    assert [row["key"] for row in rows["data"]] == ["k37", "k38", "k39"]
    events = client.get(f"/v1/jobs/{job['id']}/events?order=asc").json()["data"]
    assert [event["type"] for event in events] == ["created", "started", "succeeded"]
    assert events[-1]["data"]["result"] == result
    assert client.get("/v1/jobs?kind=predict").json()["data"][0]["id"] == job["id"]
    assert client.get("/v1/jobs?kind=train").json()["data"] == []
    assert client.delete(f"/v1/jobs/{job['id']}").status_code == 200
    assert client.get(f"/v1/datasets/{result['dataset']}").status_code == 200


def test_a_retry_asks_the_same_again(client: httpx.Client, dataset: str) -> None:
    job = post(client, kind="evaluate", model="m", dataset=dataset).json()
    client.post(f"/v1/jobs/{job['id']}/cancel")
    again = client.post(f"/v1/jobs/{job['id']}/retry")
    assert again.status_code == 201
    assert (again.json()["kind"], again.json()["retry_of"]) == ("evaluate", job["id"])
    assert again.json()["request"] == job["request"]
    client.post(f"/v1/jobs/{again.json()['id']}/cancel")


def test_a_model_that_is_gone_fails_the_job_with_a_clear_error(
    served: tuple[httpx.Client, BatchYard], client: httpx.Client, dataset: str, tmp_path: Path
) -> None:
    _, yard = served
    table_bundle(tmp_path / "short")
    yard.publish("short", tmp_path / "short")
    job = post(client, kind="predict", model="short", dataset=dataset).json()
    manifest = (tmp_path / "short" / "manifest.json").read_bytes()
    [key] = [key for key in yard.blobs.keys("bundles") if yard.blobs.get_bytes(key) == manifest]
    yard.blobs.delete_tree(key.removesuffix("/manifest.json"))
    failed = yard.run(job["id"])
    assert failed.state == "failed"
    assert failed.error is not None
    assert (failed.error.code, failed.error.retryable) == ("configuration_error", False)
    assert "short@1" in failed.error.message
