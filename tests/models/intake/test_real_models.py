"""Real third-party models, uploaded over HTTP: the version that comes of each gives what its own Keras gave."""

import zipfile
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from app.inference.runtime import OnnxModel
from tests.intake.checkpoints import CONFIGS, checkpoint_files, random_tensors, zip_files
from tests.models.intake.test_hostile import upload

pytestmark = [pytest.mark.services, pytest.mark.timeout(300)]
MODELS = [
    "KERAS_3layer_weights.h5", "dino_lstm_model.keras", "fer2013_mini_XCEPTION.102-0.66.hdf5", "katakana_model.h5",
    "keypoint_classifier.hdf5", "point_history_classifier.hdf5", "str_ww_ref_model.h5",
]  # fmt: skip
SMOOTH = {name for name in MODELS if not name.startswith(("dino_lstm", "katakana", "str_ww"))}
TOLERANCE = 1e-4


def download(url: str, version: dict[str, Any], file: str, path: Path) -> Path:
    with httpx.Client(base_url=url, timeout=60) as client:
        place = f"/v1/models/{version['name']}/versions/{version['version']}/files/{file}"
        path.write_bytes(client.get(place).raise_for_status().content)
    return path


@pytest.mark.parametrize("name", MODELS)
def test_a_real_model_is_taken_in_and_says_the_same(name: str, url: str, data_dir: Path, tmp_path: Path) -> None:
    folder = data_dir / "models"
    fields = {"architecture": (folder / "KERAS_3layer.json").read_text()} if "weights" in name else {}
    answer = upload(url, folder / name, "real", **fields)
    assert answer.status_code == 201, answer.text
    version = answer.json()
    assert version["runtime"] == "onnx"
    golden = np.load(folder / "golden" / f"{name}.npz")
    inputs = [golden[key] for key in sorted(golden.files) if key.startswith("x")]
    outputs = [golden[key] for key in sorted(golden.files) if key.startswith("y")]
    twin = OnnxModel(download(url, version, "model.onnx", tmp_path / "model.onnx"))
    specs = version["signature"]["inputs"]
    found = twin.run({spec["name"]: values.astype(spec["dtype"]) for spec, values in zip(specs, inputs, strict=True)})
    for values, wanted in zip(found, outputs, strict=True):
        np.testing.assert_allclose(values, wanted, rtol=TOLERANCE, atol=TOLERANCE)
    ref = f"{version['name']}@{version['version']}"
    with httpx.Client(base_url=url, timeout=60) as client:
        columns = {spec["name"]: values.tolist() for spec, values in zip(specs, inputs, strict=True)}
        rows = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
        # At once: natively, and as TensorFlow Serving in both of its forms.
        native = client.post(f"/v1/models/{ref}/predict", json={"instances": rows}).raise_for_status()
        place = f"/v1/models/{version['name']}/versions/{version['version']}:predict"
        by_row = client.post(place, json={"instances": rows}).raise_for_status().json()["predictions"]
        by_column = client.post(place, json={"inputs": columns}).raise_for_status().json()["outputs"]
        for found in (native.json()["predictions"], by_row, by_column):
            np.testing.assert_allclose(np.array(found), outputs[0], rtol=TOLERANCE, atol=TOLERANCE)
        told = client.get(f"/v1/models/{version['name']}/versions/{version['version']}/metadata").json()
        if len(outputs[0].shape) == 2:
            explained = client.post(f"/v1/models/{ref}/explain", json={"instances": rows[:1]}).raise_for_status()
            (found,) = explained.json()["explanations"]
            # A recurrent network has no graph of gradients, ids have no gradient.
            assert found["method"] == ("integrated_gradients" if name in SMOOTH else "shapley")
            assert found["value"] == pytest.approx(float(outputs[0][0].max()), abs=1e-4)
            assert found["completeness_error"] < 1e-2
    signature = told["metadata"]["signature_def"]["signature_def"]["serving_default"]
    assert set(signature["inputs"]) == set(columns)


def test_a_checkpoint_is_taken_in_with_its_tokenizer(url: str, tmp_path: Path) -> None:
    config = CONFIGS["bert"]
    path = zip_files(tmp_path / "bert.zip", checkpoint_files("bert", config, random_tensors("bert", config)))
    answer = upload(url, path, "bert")
    assert answer.status_code == 201, answer.text
    version = answer.json()
    assert [spec["name"] for spec in version["signature"]["inputs"]] == ["token_ids", "padding_mask", "type_ids"]
    with httpx.Client(base_url=url, timeout=30) as client:
        place = f"/v1/models/bert/versions/{version['version']}"
        files = [file["name"] for file in client.get(f"{place}/files").json()["data"]]
        report = client.get(f"{place}/intake").json()
    assert {"model.keras", "model.onnx", "tokenizer.json", "preprocessing.json"} <= set(files)
    assert (report["format"], report["runtime"]) == ("huggingface", "onnx")


def test_what_was_taken_in_opens_with_plain_keras_and_can_be_sent_again(
    url: str,
    data_dir: Path,
    tmp_path: Path,
) -> None:
    version = upload(url, data_dir / "models" / "keypoint_classifier.hdf5", "again").json()
    path = download(url, version, "model.keras", tmp_path / "model.keras")
    with zipfile.ZipFile(path) as archive:
        assert set(archive.namelist()) == {"metadata.json", "config.json", "model.weights.h5"}
    answer = upload(url, path, "again")
    assert answer.status_code == 201, answer.text
    assert answer.json()["version"] == version["version"] + 1
    assert answer.json()["signature"] == version["signature"]
