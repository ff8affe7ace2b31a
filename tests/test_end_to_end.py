"""The main job on real data, from a file to a prediction, against `trainyard up` as a user starts it."""

import base64
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from click.testing import CliRunner

from app.cli import main
from app.client.client import Client
from app.client.errors import Refused
from app.client.shapes import Dataset, Job
from app.demo.service import PrivateService
from app.demo.show import PENGUINS
from tests.images import png
from tests.service import finish
from tests.trainer.orders import striped_zip

pytestmark = [pytest.mark.services, pytest.mark.timeout(240)]

DENSE = [
    {"class_name": "Dense", "config": {"units": 64, "activation": "relu"}},
    {"class_name": "Dense", "config": {"units": 64, "activation": "relu"}},
    {"class_name": "Dense", "config": {"units": 10, "activation": "softmax"}},
]
QUICK = {"epochs": 20}


@pytest.fixture(scope="module")
def service() -> Iterator[PrivateService]:
    with PrivateService({"TRAINYARD_WORKER_SLOTS": "1"}) as started:
        yield started


@pytest.fixture(scope="module")
def yard(service: PrivateService) -> Iterator[Client]:
    with Client(service.url) as client:
        yield client


@pytest.fixture(scope="module")
def penguins(yard: Client) -> Dataset:
    return yard.upload(PENGUINS)


@pytest.fixture(scope="module")
def http(service: PrivateService) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=service.url, timeout=30, trust_env=False) as client:
        yield client


@pytest.fixture(scope="module")
def species(yard: Client, penguins: Dataset) -> Job:
    request = {
        "recipe": "tabular-classification",
        "dataset": penguins["id"],
        "columns": {"target": "species"},
        "training": QUICK,
        "model": "species",
    }
    return finish(yard, request)


def test_an_upload_is_typed_and_profiled(yard: Client, penguins: Dataset) -> None:
    types = {column["name"]: column["type"] for column in penguins["columns"]}
    assert penguins["rows"] == 344
    assert types["species"] == types["sex"] == "category"
    assert types["bill_length_mm"] == "number"
    missing = {column["name"]: column["missing"] for column in penguins["columns"]}
    assert (missing["sex"], missing["body_mass_g"], missing["species"]) == (11, 2, 0)
    assert penguins["id"] in {dataset["id"] for dataset in yard.datasets()}


def test_a_job_says_what_it_did_and_its_figures_beat_the_baseline(
    yard: Client, http: httpx.Client, species: Job
) -> None:
    assert species["model"] == "species@1"
    assert species["stop_reason"] in {"completed", "early_stopping"}
    assert species["resolved"]["training"]["epochs"] == 20
    evaluation = yard.evaluation(species["id"])
    accuracy = evaluation["metrics"]["accuracy"]
    assert accuracy["value"] >= 0.9 > evaluation["baseline"]["accuracy"]
    assert accuracy["low"] is not None
    assert accuracy["high"] is not None
    assert accuracy["low"] <= accuracy["value"] <= accuracy["high"]
    metrics = http.get(f"/v1/jobs/{species['id']}/metrics").json()["data"]
    epochs = {row["epoch"] for row in metrics if row["split"] == "validation"}
    assert epochs == set(range(1, max(epochs) + 1))


def test_its_events_tell_its_life_in_order_and_can_be_resumed(http: httpx.Client, species: Job) -> None:
    path = f"/v1/jobs/{species['id']}/events"
    headers = {"Accept": "text/event-stream"}
    stream = http.get(path, headers=headers).text
    kinds = [line.removeprefix("event: ") for line in stream.splitlines() if line.startswith("event: ")]
    numbers = [int(line.removeprefix("id: ")) for line in stream.splitlines() if line.startswith("id: ")]
    assert numbers == list(range(1, len(numbers) + 1))
    assert kinds[-1] == "succeeded"
    rest = http.get(path, headers=headers | {"Last-Event-ID": str(numbers[-2])}).text
    assert [line for line in rest.splitlines() if line.startswith("id: ")] == [f"id: {numbers[-1]}"]


def test_both_routes_predict_the_same_alone_and_in_a_batch(yard: Client, http: httpx.Client, species: Job) -> None:
    instances = [
        {"bill_length_mm": 39.1, "bill_depth_mm": 18.7, "flipper_length_mm": 181, "body_mass_g": 3750},
        {"bill_length_mm": 46.1, "bill_depth_mm": 13.2, "flipper_length_mm": 211, "body_mass_g": 4500},
        {"island": "Atlantis", "bill_length_mm": 46.5, "bill_depth_mm": 17.9, "sex": None},
    ]
    together = yard.predict("species", instances)
    assert together["model"] == {"name": "species", "version": 1}
    assert [prediction["label"] for prediction in together["predictions"][:2]] == ["Adelie", "Gentoo"]
    foreign = http.post("/v1/models/species:predict", json={"instances": instances}).json()["predictions"]
    for instance, prediction, row in zip(instances, together["predictions"], foreign, strict=True):
        [alone] = yard.predict("species@1", [instance])["predictions"]
        assert alone["label"] == prediction["label"]
        assert alone["scores"] == pytest.approx(prediction["scores"], abs=1e-5)
        assert list(prediction["scores"].values()) == pytest.approx(row, abs=1e-5)
        assert sum(prediction["scores"].values()) == pytest.approx(1, abs=1e-5)


def test_a_bad_instance_is_named(yard: Client, species: Job) -> None:
    with pytest.raises(Refused, match=r"instances\[1\]\.bill_length_mm: expected a number, got 'long'") as caught:
        yard.predict("species", [{"bill_length_mm": 39.1}, {"bill_length_mm": "long"}])
    assert caught.value.status == 422


def test_an_alias_and_the_files_of_a_version(yard: Client, http: httpx.Client, species: Job) -> None:
    assert http.put("/v1/models/species/aliases/production", json={"version": 1}).status_code == 200
    assert yard.predict("species@production", [{}])["model"]["version"] == 1
    files = {file["name"]: file for file in http.get("/v1/models/species/versions/1/files").json()["data"]}
    assert set(files) == {"manifest.json", "model.keras", "model.onnx", "preprocessing.json"}
    for name, file in files.items():
        assert len(http.get(f"/v1/models/species/versions/1/files/{name}").content) == file["bytes"]
    manifest = http.get("/v1/models/species/versions/1/files/manifest.json").json()
    assert manifest["labels"] == ["Adelie", "Chinstrap", "Gentoo"]


def test_a_regression_beats_the_mean(yard: Client, data_dir: Path, tmp_path: Path) -> None:
    head = (data_dir / "tabular" / "california_housing.csv").read_text().splitlines()[:2001]
    file = tmp_path / "houses.csv"
    file.write_text("\n".join(head) + "\n")
    dataset = yard.upload(file)
    columns = {"target": "median_house_value"}
    job = finish(
        yard, {"recipe": "tabular-regression", "dataset": dataset["id"], "columns": columns, "training": {"epochs": 12}}
    )
    evaluation = yard.evaluation(job["id"])
    assert evaluation["metrics"]["rmse"]["value"] < 0.75 * evaluation["baseline"]["rmse"]
    assert evaluation["metrics"]["r2"]["value"] > 0.5
    assert job["model"] is not None
    [answer] = yard.predict(job["model"], [{"median_income": 8.3, "ocean_proximity": "NEAR BAY"}])["predictions"]
    assert 50_000 < answer["value"] < 600_000


def test_a_column_that_tells_the_target_is_warned_of_and_can_be_left_out(yard: Client, data_dir: Path) -> None:
    dataset = yard.upload(data_dir / "tabular" / "titanic.csv")
    request = {"recipe": "tabular-classification", "dataset": dataset["id"], "columns": {"target": "survived"}}
    warnings = yard.dry_run(request)["warnings"]
    assert [warning["column"] for warning in warnings if warning["code"] == "target_leak"] == ["alive"]
    request["columns"]["exclude"] = ["alive"]
    assert "target_leak" not in {warning["code"] for warning in yard.dry_run(request)["warnings"]}
    job = finish(yard, {**request, "training": {"epochs": 12}})
    evaluation = yard.evaluation(job["id"])
    assert evaluation["baseline"]["accuracy"] + 0.08 < evaluation["metrics"]["accuracy"]["value"] < 0.95
    assert job["model"] is not None
    [answer] = yard.predict(job["model"], [{"sex": "female", "pclass": 1, "alive": "yes"}])["predictions"]
    assert type(answer["label"]) is int  # as in the data set, not its text
    assert set(answer["scores"]) == {"0", "1"}


def test_three_dense_layers_on_an_array_train_as_written(yard: Client, tmp_path: Path) -> None:
    random = np.random.default_rng(3)
    x = random.normal(size=(1500, 10)).astype("float32")
    file = tmp_path / "arrays.npz"
    np.savez(file, x=x, y=x.argmax(axis=1))
    dataset = yard.upload(file)
    assert {column["name"]: column.get("shape") for column in dataset["columns"]}["x"] == [10]
    job = finish(
        yard,
        {
            "recipe": "tabular-classification",
            "dataset": dataset["id"],
            "columns": {"target": "y"},
            "params": {"architecture": {"type": "layers", "layers": DENSE}},
            "training": {"epochs": 10, "optimizer": {"name": "adam"}, "loss": "sparse_categorical_crossentropy"},
            "model": "argmax",
        },
    )
    training = job["resolved"]["training"]
    assert (training["epochs"], training["optimizer"]["name"], training["loss"]) == (
        10, "adam", "sparse_categorical_crossentropy",
    )  # fmt: skip
    evaluation = yard.evaluation(job["id"])
    assert evaluation["metrics"]["accuracy"]["value"] > 2 * evaluation["baseline"]["accuracy"]
    clear = np.eye(10)[[0, 4, 9]] * 4
    answers = yard.predict("argmax", clear.tolist())["predictions"]
    assert [answer["label"] for answer in answers] == [0, 4, 9]


def test_a_zip_of_images_becomes_a_served_classifier(yard: Client, http: httpx.Client, tmp_path: Path) -> None:
    (tmp_path / "pictures.zip").write_bytes(striped_zip())
    dataset = yard.upload(tmp_path / "pictures.zip")
    request = {
        "recipe": "image-classification",
        "dataset": dataset["id"],
        "columns": {"target": "label"},
        "params": {"architecture": {"type": "cnn", "filters": [8, 16], "convolutions": 1}},
        "training": {"epochs": 20, "optimizer": {"name": "adamw", "learning_rate": 0.01}},
        "model": "pictures",
    }
    assert yard.dry_run(request)["parameters"] > 0
    job = finish(yard, request)
    assert job["metrics"]["test"]["accuracy"] >= 0.9
    signature = http.get("/v1/models/pictures/versions/1").json()["signature"]
    assert signature["inputs"] == [{"name": "x", "dtype": "float32", "shape": [-1, 12, 12, 3]}]
    stripes = (np.mgrid[0:12, 0:12][0] // 2 % 2 * 180 + 30).astype(np.uint8)
    file = {"b64": base64.b64encode(png(stripes)).decode()}
    (native,) = yard.predict("pictures", [file])["predictions"]
    assert native["label"] == "across"
    tf = http.post("/v1/models/pictures:predict", json={"instances": [file]}).json()["predictions"][0]
    assert tf == pytest.approx(list(native["scores"].values()), abs=1e-6)
    refused = http.post("/v1/models/pictures/predict", json={"instances": [file, {"b64": "bm8="}]})
    assert refused.status_code == 422
    assert refused.json()["error"]["message"].startswith("instances[1]: the image is no PNG or JPEG")


def test_a_running_job_stops_when_told(yard: Client, http: httpx.Client, penguins: Dataset) -> None:
    request = {
        "recipe": "tabular-classification",
        "dataset": penguins["id"],
        "columns": {"target": "species"},
        "training": {"epochs": 50_000, "early_stopping": False},
    }
    job = yard.submit(request)
    waiting = yard.submit(request)
    assert yard.steer(waiting["id"], "cancel")["state"] == "cancelled"
    for news in yard.follow(job["id"]):
        if news["state"] == "running" and news["progress"]:
            break
    assert yard.steer(job["id"], "cancel")["state"] in {"running", "cancelled"}
    for news in yard.follow(job["id"]):
        job = news
    assert (job["state"], job["model"], job["stop_reason"]) == ("cancelled", None, "cancelled")
    refusal = http.post(f"/v1/jobs/{job['id']}/pause")
    assert (refusal.status_code, refusal.json()["error"]["code"]) == (409, "state_conflict")
    assert http.delete(f"/v1/jobs/{job['id']}").status_code in {200, 204}
    assert http.get(f"/v1/jobs/{job['id']}").status_code == 404


@pytest.mark.parametrize(
    ("change", "code", "param"),
    [
        ({"columns": {"target": "kind"}}, "column_missing", "columns.target"),
        ({"recipe": "tabular-magic"}, None, "recipe"),
        ({"dataset": "ds_none"}, "dataset_not_found", "dataset"),
        ({"training": {"epochs": 0}}, "invalid_value", "training.epochs"),
        ({"training": {"epoch": 3}}, "unknown_field", "training.epoch"),
        ({"params": {"architecture": {"type": "layers", "layers": [{"class_name": "Lambda"}]}}}, None, None),
    ],
)
def test_what_is_wrong_with_a_job_is_said_before_it_is_queued(
    yard: Client, http: httpx.Client, penguins: Dataset, change: dict[str, Any], code: str | None, param: str | None
) -> None:
    before = len(yard.jobs(limit=100))
    request = {"recipe": "tabular-classification", "dataset": penguins["id"], "columns": {"target": "species"}}
    answer = http.post("/v1/jobs", json=request | change)
    error = answer.json()["error"]
    assert answer.status_code in {404, 422}
    assert code is None or error["code"] == code
    assert param is None or error["param"] == param
    assert error["request_id"] == answer.headers["X-Request-Id"]
    assert len(yard.jobs(limit=100)) == before


@pytest.mark.parametrize("body", [b'{"recipe": NaN}', b"{", b'{"a":1,"a":2}', b"\xff", b'"\\ud800"', b"[" * 5000])
def test_what_is_no_json_is_a_400(http: httpx.Client, body: bytes) -> None:
    answer = http.post("/v1/jobs", content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code == 400
    assert answer.json()["error"]["code"] == "invalid_json"


def test_a_file_that_is_broken_is_refused_with_its_line(yard: Client, tmp_path: Path) -> None:
    file = tmp_path / "rows.csv"
    file.write_text("a,b\n1,2\n3\n")
    with pytest.raises(Refused, match="Line 3") as caught:
        yard.upload(file)
    assert caught.value.code == "dataset_invalid"
    assert yard.upload(file, {"on_bad_rows": "skip"})["rejected"]["count"] == 1


def test_a_submit_that_is_sent_twice_is_one_job(http: httpx.Client, penguins: Dataset) -> None:
    request = {"recipe": "tabular-classification", "dataset": penguins["id"], "columns": {"target": "species"}}
    headers = {"Idempotency-Key": "once"}
    first = http.post("/v1/jobs", json=request, headers=headers)
    again = http.post("/v1/jobs", json=request, headers=headers)
    assert (first.status_code, again.status_code) == (201, 201)
    assert again.json()["id"] == first.json()["id"]
    assert again.headers["Idempotency-Replayed"] == "true"
    other = http.post("/v1/jobs", json=request | {"model": "other"}, headers=headers)
    assert (other.status_code, other.json()["error"]["code"]) == (422, "idempotency_mismatch")
    http.post(f"/v1/jobs/{first.json()['id']}/cancel")


def test_what_is_in_use_stays_and_what_is_not_can_be_deleted(yard: Client, http: httpx.Client) -> None:
    rows = io.StringIO()
    rows.write("x,y\n")
    rows.writelines(f"{number / 7},{'ab'[number % 2]}\n" for number in range(200))
    dataset = http.post("/v1/datasets?name=small.csv", content=rows.getvalue().encode()).json()
    request = {
        "recipe": "tabular-classification",
        "dataset": dataset["id"],
        "columns": {"target": "y"},
        "training": {"epochs": 50_000, "early_stopping": False},
    }
    job = yard.submit(request)
    used = http.delete(f"/v1/datasets/{dataset['id']}")
    assert (used.status_code, used.json()["error"]["code"]) == (409, "dataset_in_use")
    assert http.delete(f"/v1/jobs/{job['id']}").status_code == 409
    yard.steer(job["id"], "cancel")
    for _ in yard.follow(job["id"]):
        pass
    assert http.delete(f"/v1/datasets/{dataset['id']}").status_code in {200, 204}
    assert http.get(f"/v1/datasets/{dataset['id']}").status_code == 404
    failed = http.post(f"/v1/jobs/{job['id']}/retry")
    assert failed.status_code in {404, 409, 422}


def test_the_health_checks_of_containers_tell_the_truth(service: PrivateService) -> None:
    alive = {"TRAINYARD_HOME": str(service.home / "home"), "TRAINYARD_URL": service.url}
    for command in (["status"], ["status", "--live"], ["worker", "--check"]):
        result = CliRunner().invoke(main, command, env=alive)
        assert result.exit_code == 0, result.output


def test_the_service_says_how_it_is(http: httpx.Client) -> None:
    system = http.get("/v1/system").json()
    assert [worker["slots"] for worker in system["workers"]] == [1]
    assert "trainyard" in http.get("/metrics").text
    assert "/v1/jobs" in http.get("/openapi.json").json()["paths"]
