"""What is found without any library that parses models, and with h5py alone: no TensorFlow, within milliseconds."""

import json
import time
import zipfile
from pathlib import Path
from typing import Any

import pytest

from app.models.intake.config_check import check_config
from app.models.intake.findings import TOO_LARGE, RefusedUpload, reason
from app.models.intake.inspection import inspect_file
from app.models.intake.limits import IntakeLimits
from app.models.intake.rewrite.refused import Refused
from tests.models.intake.hostile import Good, Hostile, altered, corpus, layer
from workers.intake.taking_in import inspect

LIMITS = IntakeLimits(20 << 30, 200_000_000, 60.0, 6 << 30, 0)
# Seen only when the weights are read, or made in seconds: the test over HTTP has them.
LATER = {"07g_other_shape", "06m_many_groups", "06k_20000_layers"}
MOST_SECONDS = 5.0


def reasons_against(path: Path, folder: Path) -> list[dict[str, str]]:
    """Return why a file is refused before Keras is imported."""
    try:
        inspected = inspect_file(path, LIMITS)
        if inspected.format == "keras":
            check_config(inspected.config, inspected.keras_version, "", LIMITS)
        inspect(inspected, path, None, folder, LIMITS)
    except RefusedUpload as refused:
        return refused.reasons
    except Refused as refused:
        return [reason(refused.code, refused.message, refused.where)]
    return []


@pytest.mark.parametrize(
    "hostile", [one for one in corpus() if one.name not in LATER], ids=lambda hostile: hostile.name
)
def test_a_hostile_file_is_refused_without_keras(hostile: Hostile, data_dir: Path, tmp_path: Path) -> None:
    path = tmp_path / "upload"
    hostile.make(data_dir / "hostile" / "00_good.keras", path)
    started = time.monotonic()
    found = reasons_against(path, tmp_path)
    assert time.monotonic() - started < MOST_SECONDS
    codes = {one["code"] for one in found}
    assert codes & hostile.codes, found
    assert (codes <= TOO_LARGE) == (hostile.status == 413)


def test_the_harmless_files_pass(data_dir: Path, tmp_path: Path) -> None:
    for name in ("00_good.keras", "00_good.h5"):
        assert reasons_against(data_dir / "hostile" / name, tmp_path) == []


def test_every_reason_is_named(data_dir: Path, tmp_path: Path) -> None:
    def spoil(good: Good) -> None:
        good.layers[1]["config"].update(units=-3, activation="clairvoyant", colour="red")
        good.layers[1:1] = [layer("Lambda"), layer("StringLookup", name="words")]

    path = tmp_path / "upload"
    altered(spoil)(data_dir / "hostile" / "00_good.keras", path)
    found = reasons_against(path, tmp_path)
    assert [(one["code"], one["where"]) for one in found] == [("unsafe_layer", "planted"), ("unsafe_layer", "words")]


def test_a_file_is_known_by_its_bytes_not_by_its_name(data_dir: Path) -> None:
    assert inspect_file(data_dir / "hostile" / "00_good.h5", LIMITS).format == "h5"
    inspected = inspect_file(data_dir / "hostile" / "00_good.keras", LIMITS)
    assert (inspected.format, inspected.keras_version) == ("keras", "3.15.1")


def test_limits_are_those_of_the_settings(data_dir: Path, tmp_path: Path) -> None:
    small = IntakeLimits(20 << 30, 22, 60.0, 6 << 30, 0)
    inspected = inspect_file(data_dir / "hostile" / "00_good.keras", LIMITS)
    with pytest.raises((Refused, RefusedUpload)) as caught:
        check_config(inspected.config, inspected.keras_version, "", small)
    assert "too_many_parameters" in str(caught.value)
    assert check_config(inspected.config, inspected.keras_version, "", LIMITS).parameters == 23


def test_what_is_planted_in_parts_that_nobody_reads_changes_nothing(data_dir: Path, tmp_path: Path) -> None:
    """Shapes that a config states for what is between layers, and for building them, are not believed."""

    def lie(good: Good) -> None:
        for entry in good.layers[1:]:
            entry["build_config"] = {"input_shape": [None, 10**9]}
        good.config["build_config"] = {"input_shape": [None, 10**9]}
        good.config["config"]["build_input_shape"] = [None, 10**9]

    path = tmp_path / "upload"
    altered(lie)(data_dir / "hostile" / "00_good.keras", path)
    inspected = inspect_file(path, LIMITS)
    facts = check_config(inspected.config, inspected.keras_version, "", LIMITS)
    assert facts.parameters == 23


def test_a_reason_repeats_no_path_and_is_not_long() -> None:
    found = reason("code", "It names '/etc/passwd' and ../../x, see https://example.com/a\n" + "y" * 5000, "/a/b")
    assert "passwd" not in found["message"]
    assert "example" not in found["message"]
    assert "\n" not in found["message"]
    assert len(found["message"]) <= 300
    assert found["where"] == "a/b"


def test_real_models_pass(data_dir: Path, tmp_path: Path) -> None:
    for name in ("dino_lstm_model.keras", "katakana_model.h5", "str_ww_ref_model.h5"):
        assert reasons_against(data_dir / "models" / name, tmp_path) == [], name
    found = reasons_against(data_dir / "models" / "hgq_mnist_heterogeneous.h5", tmp_path)
    assert {one["code"] for one in found} <= {"custom_layer", "unsafe_layer"}


def test_weights_need_their_architecture(data_dir: Path, tmp_path: Path) -> None:
    path, architecture = data_dir / "models" / "KERAS_3layer_weights.h5", data_dir / "models" / "KERAS_3layer.json"
    assert [one["code"] for one in reasons_against(path, tmp_path)] == ["weights_only"]
    facts = inspect(inspect_file(path, LIMITS), path, architecture, tmp_path, LIMITS)
    assert facts.inputs == [{"name": "input_1", "dtype": "float32", "shape": [16]}]
    assert facts.outputs[0]["shape"] == [5]


def test_a_saved_model_is_refused_with_the_reason(data_dir: Path, tmp_path: Path) -> None:
    folder = data_dir / "models" / "saved_model_half_plus_two"
    path = tmp_path / "upload"
    with zipfile.ZipFile(path, "w") as archive:
        for file in folder.rglob("*"):
            if file.is_file():
                archive.write(file, f"model/{file.relative_to(folder)}")
    assert [one["code"] for one in reasons_against(path, tmp_path)] == ["saved_model"]
    found = reasons_against(folder / "saved_model.pb", tmp_path)
    assert [one["code"] for one in found] == ["saved_model"]


LOSSES = [
    {"loss": "mse"},
    {"loss": {"module": "builtins", "class_name": "function", "config": "my_loss", "registered_name": "function"}},
    {"loss": {"module": "my_package", "class_name": "Focal"}},
]


@pytest.mark.parametrize("compiled", LOSSES)
def test_a_loss_of_ones_own_does_no_harm(compiled: dict[str, Any], data_dir: Path, tmp_path: Path) -> None:
    path = tmp_path / "upload"
    altered(lambda good: good.config.update(compile_config=compiled))(data_dir / "hostile" / "00_good.keras", path)
    assert reasons_against(path, tmp_path) == []
    assert json.loads(zipfile.ZipFile(path).read("config.json"))["compile_config"] == compiled
