"""What of a base is trained, and what is not: weights compared bit for bit."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from app.inference.predictor import Predictor
from tests.fine_tuning.bases import order_on, train
from tests.trainer.orders import SMALL_MLP, Sink, blobs_csv, order_of, parsed

pytestmark = pytest.mark.recipes

Weights = dict[str, np.ndarray[Any, Any]]
DENSE = {"class_name": "Dense", "config": {"units": 3, "activation": "softmax"}}
TRAINING = {"epochs": 4, "batch_size": 32, "optimizer": {"name": "adam", "learning_rate": 0.01}}


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """An order; its network has batch normalisation and dropout."""
    folder = tmp_path_factory.mktemp("first")
    params = {"architecture": SMALL_MLP}
    return order_of(folder, blobs_csv(), "tabular-classification", "kind", params=params, training=TRAINING)


@pytest.fixture(scope="module")
def bundle(first: dict[str, Any]) -> Path:
    return train(first)


def weights_of(bundle: Path) -> Weights:
    """Weights by layer and name."""
    import keras

    from workers.architectures import custom

    assert custom.PACKAGE
    model = keras.saving.load_model(bundle / "model.keras", compile=False)
    return {f"{layer.name}/{one.name}": np.asarray(one) for layer in model.layers for one in layer.weights}


def tune(first: dict[str, Any], bundle: Path, output: Path, params: dict[str, Any], **training: Any) -> Path:
    order = order_on(first, bundle, "kind", params, training={**TRAINING, **training})
    return train(order, output=str(output))


def changed(before: Weights, after: Weights) -> set[str]:
    return {name for name, values in before.items() if name in after and not np.array_equal(values, after[name])}


def test_a_frozen_backbone_is_left_as_it_was_to_the_bit(first: dict[str, Any], bundle: Path, tmp_path: Path) -> None:
    tuned = tune(first, bundle, tmp_path / "out", {"cut_at": "dropout_1", "freeze": "backbone", "head": [DENSE]})
    before, after = weights_of(bundle), weights_of(tuned)
    assert changed(before, after) == set()
    assert "dense_1/kernel" in after
    assert "head_0/kernel" in after
    assert "output/kernel" not in after


def test_layers_from_the_bottom_stay_and_statistics_too(first: dict[str, Any], bundle: Path, tmp_path: Path) -> None:
    layers = json.loads((bundle / "manifest.json").read_bytes())["layers"]
    names = [layer["name"] for layer in layers if layer["class"] != "InputLayer"]
    below = names.index("dense_1")
    tuned = tune(first, bundle, tmp_path / "out", {"cut_at": "dropout_1", "freeze": below})
    moved = changed(weights_of(bundle), weights_of(tuned))
    # The normalisation above is trained, and keeps the statistics that it came with.
    assert moved == {"dense_1/kernel", "dense_1/bias", "norm_1/gamma", "norm_1/beta"}


def test_nothing_of_the_base_moves_in_the_epochs_of_the_head(
    first: dict[str, Any], bundle: Path, tmp_path: Path
) -> None:
    params = {"cut_at": "dropout_1", "head_epochs": 4, "head": [DENSE]}
    tuned = tune(first, bundle, tmp_path / "head", params)
    assert changed(weights_of(bundle), weights_of(tuned)) == set()
    tuned = tune(first, bundle, tmp_path / "all", {**params, "head_epochs": 3})
    assert "dense_0/kernel" in changed(weights_of(bundle), weights_of(tuned))


def test_adapters_are_merged_into_a_plain_model_that_says_the_same(
    first: dict[str, Any], bundle: Path, tmp_path: Path
) -> None:
    from workers.trainer.assembly import prepare_job
    from workers.trainer.control import Control
    from workers.trainer.export import serving_model_of
    from workers.trainer.reports import Reports

    params = {"cut_at": "dropout_1", "lora_rank": 2, "lora_alpha": 8.0, "head": [DENSE]}
    order = parsed(order_on(first, bundle, "kind", params, training=TRAINING), output=str(tmp_path / "out"))
    job = prepare_job(order, Reports(Sink()), Control(None))
    job.train()
    merged = serving_model_of(order, job.prepared, job.built, "float32")
    trained = job.built.serving_model
    assert trained.get_layer("dense_0").lora_enabled
    assert not merged.get_layer("dense_0").lora_enabled
    assert merged.get_layer("dense_0").get_config().get("lora_rank") is None
    rows = {name: values[:50] for name, values in job.prepared.splits["train"].inputs.items()}
    np.testing.assert_allclose(np.asarray(merged(rows)), np.asarray(trained(rows)), atol=1e-6)
    # Only what the adapters touch has moved.
    before = weights_of(bundle)
    after = {f"{layer.name}/{one.name}": np.asarray(one) for layer in merged.layers for one in layer.weights}
    assert changed(before, after) == {"dense_0/kernel", "dense_1/kernel"}
    difference = after["dense_1/kernel"] - before["dense_1/kernel"]
    assert np.linalg.matrix_rank(difference, tol=1e-5) <= 2


def test_the_same_classes_are_trained_on_with_the_layer_that_there_is(
    first: dict[str, Any], bundle: Path, tmp_path: Path
) -> None:
    tuned = tune(first, bundle, tmp_path / "out", {}, epochs=1, optimizer={"name": "sgd", "learning_rate": 1e-7})
    rows = [{"first": 0.1, "second": 1.9, "colour": "red"}, {"first": 5.0}]
    before, after = Predictor.load(bundle).predict(rows), Predictor.load(tuned).predict(rows)
    for one, other in zip(before, after, strict=True):
        assert one["scores"] == pytest.approx(other["scores"], abs=1e-4)


@pytest.mark.parametrize("name", ["sgd", "adam", "adamw", "rmsprop", "lion", "adamax", "ftrl"])
def test_the_base_learns_at_exactly_its_share_of_the_rate(name: str) -> None:
    import keras

    from workers.trainer.optimizers import TwoRates, build_optimizer

    config = {"name": name, "learning_rate": 0.01}
    start = np.array([1.0, -2.0, 3.0], np.float32)
    gradients = [np.array([0.3, -1.5, 1e-3], np.float32) * (step + 1) for step in range(3)]
    fast, slow, alone = (keras.Variable(start, name=one) for one in ("fast", "slow", "alone"))
    both = TwoRates(config, [slow, fast], [slow], 0.1)
    single = build_optimizer({**config, "learning_rate": 0.001}, [alone])
    for gradient in gradients:
        both.learning_rate = 0.01
        single.learning_rate = np.float32(0.01) * np.float32(0.1)
        both.apply([keras.ops.convert_to_tensor(gradient)] * 2, [slow, fast])
        single.apply([keras.ops.convert_to_tensor(gradient)], [alone])
    np.testing.assert_array_equal(np.asarray(slow), np.asarray(alone))
    assert np.abs(np.asarray(fast) - start).max() > 5 * np.abs(np.asarray(slow) - start).max()


def test_a_schedule_begins_after_the_epochs_of_the_head() -> None:
    from workers.trainer.schedules import build_schedule

    config = {"name": "cosine", "end_ratio": 0.0, "warmup_ratio": 0.0}
    whole = build_schedule(config, 8, 5).factors(0, 40)
    late = build_schedule(config, 10, 5, head_epochs=2)
    np.testing.assert_array_equal(late.factors(0, 10), np.ones(10))
    np.testing.assert_array_equal(late.factors(10, 40), whole)
    np.testing.assert_array_equal(late.factors(7, 6), np.concatenate([np.ones(3), whole[:3]]))
