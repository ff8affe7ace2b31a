"""What leaves the trainer: a model that differs is not published, half precision is served in full."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from app.inference.predictor import Predictor
from tests.trainer.orders import SMALL_MLP, Sink, classification, order_of, parsed, regression
from workers.trainer.control import Control

pytestmark = pytest.mark.recipes


def run(order: dict[str, Any]) -> Sink:
    from workers.trainer.main import run as run_trainer

    sink = Sink()
    assert run_trainer(parsed(order), sink, None) == 0
    return sink


@pytest.mark.parametrize("make", [classification, regression])
def test_an_export_that_differs_is_not_published(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make: Any) -> None:
    from workers.trainer import export

    real = export.export_onnx

    def other(model: Any, path: Path) -> None:
        weights = model.get_weights()
        model.set_weights([weight + 1e-3 for weight in weights])
        real(model, path)
        model.set_weights(weights)

    monkeypatch.setattr(export, "export_onnx", other)
    failed = run(make(tmp_path, epochs=1)).lines[-1]
    assert failed["type"] == "failed"
    assert failed["error"]["code"] == "export_mismatch"
    assert failed["error"]["detail"]["largest_difference"] > 0


def test_an_export_that_cannot_be_opened_is_not_published(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from workers.trainer import export

    monkeypatch.setattr(export, "export_onnx", lambda model, path: path.write_bytes(b"not a graph"))
    failed = run(classification(tmp_path, epochs=1)).lines[-1]
    assert failed["error"]["code"] == "export_mismatch"
    assert str(tmp_path) not in json.dumps(failed)


@pytest.mark.parametrize("precision", ["mixed_bfloat16", "mixed_float16"])
def test_half_precision_learns_and_is_served_in_float32(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, precision: str
) -> None:
    import keras

    from workers.trainer import device

    # A CPU computes both, slowly; what is looked at is the path that a GPU takes.
    monkeypatch.setattr(device, "_has", lambda policy: True)
    order = classification(tmp_path, epochs=25, precision=precision, optimizer={"name": "adam", "learning_rate": 0.01})
    try:
        done = run(order).lines[-1]
    finally:
        keras.mixed_precision.set_global_policy("float32")
    assert done["type"] == "done", done
    assert done["metrics"]["test"]["accuracy"] > 0.8
    model = keras.saving.load_model(Path(done["bundle"]) / "model.keras", compile=False)
    assert {variable.dtype for variable in model.weights} == {"float32"}
    assert model.dtype_policy.name == "float32"


def test_averaged_weights_are_the_ones_that_are_judged_and_published(tmp_path: Path) -> None:
    from workers.trainer.assembly import prepare_job
    from workers.trainer.reports import Reports

    optimizer = {"name": "sgd", "learning_rate": 0.3, "ema_momentum": 0.95}
    order = classification(tmp_path, epochs=3, optimizer=optimizer, early_stopping=False)
    sink = Sink()
    job = prepare_job(parsed(order), Reports(sink), Control(None))
    job.train()
    plain = job.fit.tools.state.weights()
    job.finish("completed")
    published = job.fit.tools.state.weights()
    assert any(not np.array_equal(a, b) for a, b in zip(plain, published, strict=True))
    last = [row for row in sink.of("metrics") if row["split"] == "validation"][-1]
    assert sink.lines[-1]["metrics"]["validation"]["loss"] == pytest.approx(last["values"]["loss"], rel=1e-5)


def test_instants_booleans_and_whole_numbers_reach_the_bundle_as_a_client_sends_them(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    lines = ["when,yes,count,text,value"]
    for index in range(80):
        count, yes = int(rng.integers(0, 9)), bool(rng.random() < 0.5)
        when = f"2024-{1 + index % 12:02d}-{1 + index % 28:02d}T{index % 24:02d}:30:00Z"
        shown = "" if index % 11 == 0 else str(count)
        lines.append(f"{when},{str(yes).lower()},{shown},w{index % 3},{3.5 * count + 10.0 * yes + index % 12}")
    order = order_of(
        tmp_path,
        "\n".join(lines) + "\n",
        "tabular-regression",
        "value",
        params={
            "architecture": {**SMALL_MLP, "number_embeddings": {"type": "piecewise-linear", "bins": 6, "width": 3}}
        },
        training={"epochs": 2},
    )
    done = run(order).lines[-1]
    assert done["type"] == "done", done
    bundle = Path(done["bundle"])
    manifest = json.loads((bundle / "manifest.json").read_text())
    types = {column["name"]: column["type"] for column in manifest["instance"]["columns"]}
    assert types["when"] == "datetime"
    assert types["yes"] == "boolean"
    assert manifest["dataset"] == "ds_test"
    assert manifest["task"] == "regression"
    assert manifest["parameters"] > 0
    assert manifest["fingerprint"]["execution"] == "graph"
    instance = {"when": "2024-03-03T12:30:00Z", "yes": True, "count": 4, "text": "w1"}
    assert np.isfinite(Predictor.load(bundle).predict([instance])[0]["value"])
