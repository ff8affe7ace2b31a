"""Real files of third parties: what they compute in Keras 3 is what their own Keras computed."""

import json
import random
from pathlib import Path

import numpy as np
import pytest

pytestmark = pytest.mark.recipes

GOLDEN = {
    "KERAS_3layer_weights.h5": ("h5+json", "2.0.0"),
    "dino_lstm_model.keras": ("keras", "3.6.0"),
    "fer2013_mini_XCEPTION.102-0.66.hdf5": ("h5", "2.0.5"),
    "katakana_model.h5": ("h5", "2.2.4-tf"),
    "keypoint_classifier.hdf5": ("h5", "2.4.0"),
    "point_history_classifier.hdf5": ("h5", "2.4.0"),
    "str_ww_ref_model.h5": ("h5", "2.14.0"),
}


@pytest.mark.parametrize("name", GOLDEN)
def test_computes_what_the_files_own_keras_computed(name: str, data_dir: Path) -> None:
    from workers.intake.load_keras import load_model

    models = data_dir / "models"
    loaded = load_model(models / name, models / "KERAS_3layer.json" if name.startswith("KERAS_3layer") else None)
    with np.load(models / "golden" / f"{name}.npz") as golden:
        inputs = [golden[key] for key in sorted(golden) if key.startswith("x")]
        expected = golden["y0"]
    outputs = np.asarray(loaded.model(inputs if len(inputs) > 1 else inputs[0]))
    np.testing.assert_allclose(outputs, expected, atol=1e-5)
    assert (loaded.facts.format, loaded.facts.keras_version) == GOLDEN[name]
    assert loaded.facts.parameters == loaded.model.count_params()


def test_a_third_party_layer_is_refused_by_name(data_dir: Path) -> None:
    from workers.intake.load_keras import load_model
    from workers.intake.loaded import Refused

    with pytest.raises(Refused, match="FixedPointQuantizer") as refused:
        load_model(data_dir / "models" / "hgq_mnist_heterogeneous.h5")
    assert refused.value.code == "custom_layer"
    assert refused.value.where == "h_quantize_quantizer"


def test_weights_without_an_architecture_and_saved_models_are_refused(data_dir: Path) -> None:
    from workers.intake.load_keras import load_model
    from workers.intake.loaded import Refused

    for name, code in (("KERAS_3layer_weights.h5", "weights_only"), ("saved_model_half_plus_two", "saved_model")):
        with pytest.raises(Refused) as refused:
            load_model(data_dir / "models" / name)
        assert refused.value.code == code


def test_a_damaged_file_is_loaded_or_refused(data_dir: Path, tmp_path: Path) -> None:
    from workers.intake.load_keras import load_model
    from workers.intake.loaded import Refused

    whole = (data_dir / "models" / "keypoint_classifier.hdf5").read_bytes()
    chance = random.Random(5)
    refused = 0
    for _ in range(30):
        damaged = bytearray(whole)
        for _ in range(chance.randint(1, 40)):
            damaged[chance.randrange(len(damaged))] = chance.randrange(256)
        path = tmp_path / "damaged.h5"
        path.write_bytes(damaged)
        try:
            load_model(path)
        except Refused:
            refused += 1
    assert refused > 10


def test_an_architecture_that_was_dumped_twice_is_read(data_dir: Path, tmp_path: Path) -> None:
    from workers.intake.load_keras import load_model

    models = data_dir / "models"
    twice = tmp_path / "architecture.json"
    twice.write_text(json.dumps((models / "KERAS_3layer.json").read_text()))
    assert load_model(models / "KERAS_3layer_weights.h5", twice).facts.parameters == 4389
