"""Fine-tuning as a client sees it: real files uploaded, jobs that start from them, and jobs that start from those."""

import base64
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from app.client.client import Client
from app.demo.service import PrivateService

pytestmark = [pytest.mark.services, pytest.mark.timeout(400)]


@pytest.fixture(scope="module")
def http() -> Iterator[httpx.Client]:
    with (
        PrivateService({"TRAINYARD_WORKER_SLOTS": "1"}) as started,
        httpx.Client(base_url=started.url, timeout=60, trust_env=False) as client,
    ):
        yield client


def upload(http: httpx.Client, path: Path, name: str, **fields: str) -> dict[str, Any]:
    with path.open("rb") as source:
        answer = http.post("/v1/models", files={"file": (path.name, source)}, data={"name": name, **fields})
    assert answer.status_code == 201, answer.text
    version: dict[str, Any] = answer.json()
    return version


def finish(http: httpx.Client, request: dict[str, Any]) -> dict[str, Any]:
    """Submit and follow to the end; the job has succeeded."""
    answer = http.post("/v1/jobs", json=request)
    assert answer.status_code in (200, 201, 202), answer.text
    with Client(str(http.base_url)) as yard:
        job: dict[str, Any] = answer.json()
        for news in yard.follow(job["id"], poll_seconds=1.0):
            job = dict(news)
    assert job["state"] == "succeeded", job["error"]
    return job


@pytest.fixture(scope="module")
def gestures(http: httpx.Client, data_dir: Path) -> str:
    with Client(str(http.base_url)) as yard:
        return str(yard.upload(data_dir / "tabular" / "hand_keypoints.csv")["id"])


@pytest.fixture(scope="module")
def keypoints(http: httpx.Client, data_dir: Path) -> dict[str, Any]:
    return upload(http, data_dir / "models" / "keypoint_classifier.hdf5", "keypoints")


@pytest.fixture(scope="module")
def tuned(http: httpx.Client, gestures: str, keypoints: dict[str, Any]) -> dict[str, Any]:
    request = {
        "recipe": "tabular-classification",
        "dataset": gestures,
        "columns": {"target": "label"},
        "params": {"base": "keypoints"},
        "training": {"epochs": 4},
        "model": "gestures",
    }
    return finish(http, request)


def test_a_keras_file_is_tuned_on_columns(http: httpx.Client, tuned: dict[str, Any], gestures: str) -> None:
    params = tuned["resolved"]["params"]
    assert params["base"] == "keypoints@1"
    # Its own last layer tells three classes without names: it was replaced.
    assert [layer["class_name"] for layer in params["head"]] == ["Dense"]
    assert tuned["metrics"]["test"]["accuracy"] > 0.95
    version = http.get("/v1/models/gestures/versions/1").json()
    assert (version["base"], version["job"], version["dataset"]) == ("keypoints@1", tuned["id"], gestures)


def test_what_was_tuned_predicts_and_is_a_base_itself(http: httpx.Client, tuned: dict[str, Any], gestures: str) -> None:
    rows = http.get(f"/v1/datasets/{gestures}/rows", params={"limit": 3}).json()["data"]
    instances = [{name: value for name, value in row.items() if name != "label"} for row in rows]
    answers = http.post("/v1/models/gestures/predict", json={"instances": instances}).json()["predictions"]
    assert [answer["label"] for answer in answers] == [row["label"] for row in rows]
    dry = http.post(
        "/v1/jobs?dry_run=true",
        json={
            "recipe": "tabular-classification",
            "dataset": gestures,
            "columns": {"target": "label"},
            "params": {"base": "gestures@1", "lora_rank": 2},
        },
    ).json()
    assert dry["resolved"]["params"]["head"] == []
    assert 0 < dry["trainable_parameters"] < dry["parameters"]


def test_what_does_not_fit_is_said_before_anything_is_queued(
    http: httpx.Client, gestures: str, keypoints: dict[str, Any]
) -> None:
    def ask(params: dict[str, Any], **columns: Any) -> tuple[int, dict[str, Any]]:
        body = {"recipe": "tabular-classification", "dataset": gestures, "params": params}
        answer = http.post("/v1/jobs", json={**body, "columns": {"target": "label", **columns}})
        return answer.status_code, answer.json()["error"]

    status, error = ask({"base": "nothing"})
    assert (status, error["code"], error["param"]) == (404, "model_not_found", "params.base")
    status, error = ask({"base": "keypoints", "cut_at": "dense_99"})
    assert (status, error["code"]) == (422, "layer_unknown")
    layers = http.get("/v1/models/keypoints/versions/1/intake").json()["layers"]
    assert all(layer["name"] in error["message"] for layer in layers if layer["class"] != "InputLayer")
    status, error = ask({"base": "keypoints"}, exclude=["k0"])
    assert (status, error["code"]) == (422, "base_misfit")
    assert "[42]" in error["message"]
    assert "41 columns" in error["message"]
    status, error = ask({"base": "keypoints", "architecture": {"type": "mlp"}})
    assert (status, error["param"]) == (422, "params.architecture")
    status, error = ask({"freeze": "backbone"})
    assert (status, error["param"]) == (422, "params.freeze")


def test_its_model_file_says_the_same_in_plain_keras(
    http: httpx.Client, tuned: dict[str, Any], gestures: str, tmp_path: Path
) -> None:
    import keras

    (tmp_path / "model.keras").write_bytes(http.get("/v1/models/gestures/versions/1/files/model.keras").content)
    model = keras.saving.load_model(tmp_path / "model.keras", safe_mode=True)
    rows = http.get(f"/v1/datasets/{gestures}/rows", params={"limit": 5}).json()["data"]
    instances = [{name: value for name, value in row.items() if name != "label"} for row in rows]
    answers = http.post("/v1/models/gestures/predict", json={"instances": instances}).json()["predictions"]
    (entered,) = model.inputs
    given = np.asarray(model({entered.name: np.array([list(one.values()) for one in instances], np.float32)}))
    scores = [[answer["scores"][label] for label in sorted(answer["scores"])] for answer in answers]
    np.testing.assert_allclose(given, scores, atol=1e-5)


def test_pictures_for_a_base_that_was_trained_on_others(http: httpx.Client, data_dir: Path, tmp_path: Path) -> None:
    """A real network of faces reads 64 × 64 grey values; photographs of hands are brought to that, and to its scale."""
    upload(
        http,
        data_dir / "models" / "fer2013_mini_XCEPTION.102-0.66.hdf5",
        "faces",
        input_scale='{"multiply": 0.00784313725, "add": -1}',
    )
    photos = tmp_path / "hands.zip"
    with zipfile.ZipFile(data_dir / "images" / "sign_digits.zip") as archive, zipfile.ZipFile(photos, "w") as few:
        for name in archive.namelist():
            if name.startswith("train/") and name.split("/")[1] in ("0", "5", "9") and not name.endswith("/"):
                few.writestr(name.removeprefix("train/"), archive.read(name))
    with Client(str(http.base_url)) as yard:
        dataset = yard.upload(photos)["id"]
    request = {
        "recipe": "image-classification",
        "dataset": dataset,
        "columns": {"target": "label"},
        "params": {"base": "faces", "freeze": 20, "augmentation": "none"},
        "training": {"epochs": 6},
        "model": "hands",
    }
    job = finish(http, request)
    params = job["resolved"]["params"]
    assert (params["image_size"], params["channels"], params["channel_order"]) == ([64, 64], "grey", "rgb")
    assert params["input_scale"] == {"multiply": 0.00784313725, "add": -1.0}
    # It ends in a convolution for seven feelings, whose mean over all places is the answer: both go.
    assert [layer["class_name"] for layer in params["head"]] == ["GlobalAveragePooling2D", "Dense"]
    version = http.get("/v1/models/hands/versions/1").json()
    assert (version["base"], version["runtime"]) == ("faces@1", "onnx")
    with zipfile.ZipFile(photos) as archive:
        image = base64.b64encode(archive.read(archive.namelist()[0])).decode()
    answer = http.post("/v1/models/hands/predict", json={"instances": [{"image": {"b64": image}}]})
    assert answer.status_code == 200
    assert set(answer.json()["predictions"][0]["scores"]) == {"0", "5", "9"}
    # A base stays as long as something came of it.
    answer = http.delete("/v1/models/faces")
    assert (answer.status_code, answer.json()["error"]["code"]) == (409, "version_in_use")
    tabular = {**request, "recipe": "tabular-classification", "columns": {"target": "label", "input": ["label"]}}
    assert http.post("/v1/jobs", json=tabular).status_code == 422


def test_a_base_of_two_inputs_takes_a_column_for_each(http: httpx.Client, data_dir: Path, tmp_path: Path) -> None:
    version = upload(http, data_dir / "models" / "katakana_model.h5", "katakana")
    names = [spec["name"] for spec in version["signature"]["inputs"]]
    assert len(names) == 2
    rng = np.random.default_rng(0)
    kinds = rng.integers(0, 2, 60)
    first = rng.integers(1, 20, (60, 20)) + 20 * kinds[:, None]
    np.savez(tmp_path / "words.npz", **{names[0]: first, names[1]: rng.integers(1, 60, (60, 20)), "kind": kinds})
    with Client(str(http.base_url)) as yard:
        dataset = yard.upload(tmp_path / "words.npz")["id"]
    request = {
        "recipe": "tabular-classification",
        "dataset": dataset,
        "columns": {"target": "kind"},
        "params": {"base": "katakana", "freeze": "backbone"},
        "training": {"epochs": 2},
        "model": "words",
    }
    answer = http.post("/v1/jobs?dry_run=true", json={**request, "columns": {"target": "kind", "input": [names[0]]}})
    assert (answer.status_code, answer.json()["error"]["code"]) == (422, "base_misfit")
    assert all(name in answer.json()["error"]["message"] for name in names)
    job = finish(http, request)
    arrays = job["resolved"]["preprocessing"]["arrays"]["inputs"]
    assert [one["columns"] for one in arrays] == [[name] for name in names]
    instance = {names[0]: first[0].tolist(), names[1]: [1] * 20}
    answer = http.post("/v1/models/words/predict", json={"instances": [instance]})
    assert answer.status_code == 200, answer.text
