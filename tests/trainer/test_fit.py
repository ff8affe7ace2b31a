"""Fitting: it learns with every optimizer, ends as it should, and says why when it fails."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.trainer.orders import Sink, classification, order_of, regression, store
from tests.trainer.running import prepare, run, without_noise

pytestmark = pytest.mark.recipes


@pytest.mark.parametrize("wish", ["balanced", {"rare": 12.0}])
def test_class_weights_find_more_of_a_rare_class(tmp_path: Path, wish: Any) -> None:
    rng = np.random.default_rng(3)
    rare = rng.random(600) < 0.08
    first = rng.normal(size=600) + 1.2 * rare
    csv = "first,noise,kind\n" + "".join(
        f"{a:.4f},{b:.4f},{'rare' if c else 'usual'}\n"
        for a, b, c in zip(first, rng.normal(size=600), rare, strict=True)
    )
    recalls = []
    for weights in (None, wish):
        training = {"epochs": 15, "class_weight": weights, "optimizer": {"name": "adam", "learning_rate": 0.01}}
        order = order_of(tmp_path, csv, "tabular-classification", "kind", training=training)
        job = prepare(order, Sink())
        job.train()
        validation = job.problem.validation
        given = job.fit.tools.forward.answers(validation).argmax(axis=1)
        recalls.append((given[validation.target == 0] == 0).mean())
        assert job.problem.labels == ["rare", "usual"]
    assert recalls[1] >= recalls[0] + 0.3


NAMES = (
    "sgd", "adagrad", "rmsprop", "adam", "adamw", "adadelta", "adamax", "nadam", "lion", "adafactor", "ftrl", "lamb",
    "muon",
)  # fmt: skip
OPTIMIZERS: list[dict[str, Any]] = [
    *({"name": name} for name in NAMES),
    {"name": "sgd", "momentum": 0.9, "nesterov": True, "clipnorm": 1.0},
    {"name": "adam", "amsgrad": True, "global_clipnorm": 1.0},
    {"name": "rmsprop", "centered": True, "clipvalue": 0.5},
]


@pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=lambda o: "-".join(map(str, o.values())))
def test_every_optimizer_learns(tmp_path: Path, optimizer: dict[str, Any]) -> None:
    rate = {"sgd": 0.1, "lion": 0.003, "adadelta": 8.0, "adagrad": 0.05, "ftrl": 0.1}.get(optimizer["name"], 0.02)
    order = classification(tmp_path, epochs=12, optimizer={**optimizer, "learning_rate": rate})
    job = prepare(order, Sink())
    job.train()
    losses = job.fit.curve("validation")
    assert min(losses) < 0.7 * losses[0] or min(losses) < 0.5


def test_a_whole_job_reports_in_order_and_leaves_a_bundle(tmp_path: Path) -> None:
    sink = run(classification(tmp_path, epochs=20, metrics=["accuracy", "f1"]))
    kinds = [line["type"] for line in sink.lines]
    assert kinds[0] == "started"
    assert kinds[-1] == "done"
    assert sink.of("progress")[0]["step"] == 1
    assert sink.of("progress")[-1]["fraction"] == 1.0
    rows = sink.of("metrics")
    assert {(row["epoch"], row["split"]) for row in rows} == {
        (epoch, split) for epoch in range(1, 21) for split in ("train", "validation")
    }
    assert set(rows[-1]["values"]) == {"loss", "accuracy", "f1"}
    done = sink.lines[-1]
    assert done["stop_reason"] == "completed"
    assert done["metrics"]["test"]["accuracy"] > 0.8
    assert done["evaluation"]["baseline"]["accuracy"] < 0.6
    assert done["fit"]["verdict"] in {"healthy", "underfitting", "overfitting"}
    assert {path.name for path in Path(done["bundle"]).iterdir()} == {
        "manifest.json", "model.keras", "model.onnx", "preprocessing.json",
    }  # fmt: skip


def test_patience_ends_the_fit_and_the_best_weights_are_published(tmp_path: Path) -> None:
    order = classification(
        tmp_path,
        epochs=400,
        optimizer={"name": "adam", "learning_rate": 0.05},
        early_stopping={"monitor": "val_loss", "patience": 2, "restore_best": True},
    )
    sink = run(order)
    done = sink.lines[-1]
    validation = [row["values"]["loss"] for row in sink.of("metrics") if row["split"] == "validation"]
    assert done["stop_reason"] == "early_stopping"
    assert done["fit"]["best_epoch"] == int(np.argmin(validation)) + 1 == len(validation) - 2
    assert done["metrics"]["validation"]["loss"] == pytest.approx(min(validation), rel=1e-5)


def test_a_diverging_loss_is_a_typed_failure(tmp_path: Path) -> None:
    order = regression(tmp_path, epochs=50, optimizer={"name": "sgd", "learning_rate": 90.0})
    failed = run(without_noise(order)).lines[-1]
    assert failed["type"] == "failed"
    assert failed["error"]["code"] == "training_diverged"
    assert failed["error"]["detail"]["epoch"] >= 1
    assert "learning rate" in failed["error"]["message"]
    assert failed["fit"]["verdict"] == "diverged"


def test_the_time_budget_counts_earlier_attempts(tmp_path: Path) -> None:
    order = classification(tmp_path, epochs=3000, max_seconds=30.0, early_stopping=False)
    done = run(order, trained_seconds=29.7).lines[-1]
    assert done["type"] == "done"
    assert done["stop_reason"] == "time_budget"
    assert done["trained_seconds"] >= 30.0


def test_precision_that_the_device_has_not_is_said(tmp_path: Path) -> None:
    sink = Sink()
    job = prepare(classification(tmp_path, epochs=1, precision="mixed_float16"), sink)
    import tensorflow as tf

    if tf.config.list_physical_devices("GPU"):
        pytest.skip("this machine has a device with half precision")
    assert job.precision == "float32"
    assert sink.of("event")[0]["data"]["used"] == "float32"


def test_data_that_cannot_be_trained_on_is_a_dataset_error(tmp_path: Path) -> None:
    order = classification(tmp_path, epochs=1)
    order["resolved"]["preprocessing"]["clean"]["drop_missing_target"] = True
    order["resolved"]["columns"]["target"] = "colour"
    order["resolved"]["columns"]["input"] = ["first"]
    csv = "first,colour\n" + "".join(f"{i},red\n" for i in range(50))
    order["datasets"]["all"] = str(store(tmp_path / "one-class", csv))
    failed = run(order).lines[-1]
    assert failed["type"] == "failed"
    assert failed["error"]["code"] == "dataset_error"
    assert "classes" in failed["error"]["message"]


def test_an_architecture_that_does_not_fit_is_a_configuration_error(tmp_path: Path) -> None:
    order = classification(tmp_path, epochs=1)
    layers = [{"class_name": "Dense", "config": {"units": 5}}]
    order["resolved"]["params"]["architecture"] = {"type": "layers", "layers": layers}
    failed = run(order).lines[-1]
    assert failed["error"]["code"] == "configuration_error"
    assert "3 numbers a row" in failed["error"]["message"]
