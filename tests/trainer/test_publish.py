"""A model from a checkpoint in the middle of a training says what the network of that moment said."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from app.inference.predictor import Predictor
from tests.trainer.orders import Sink, classification
from tests.trainer.running import assert_same_bits, prepare, run

pytestmark = pytest.mark.recipes
PLAIN = {"epochs": 4, "batch_size": 32, "early_stopping": {"patience": 9, "restore_best": True}}
AVERAGES = {"name": "adamw", "learning_rate": 0.01, "ema_momentum": 0.9}
ROWS = [{"first": float(n), "second": 1.0 - n, "colour": colour} for n in range(4) for colour in ("red", "green")]


def checkpoints_of(order: dict[str, Any], folder: Path) -> list[Path]:
    """Train with a checkpoint at every control point; return them all."""
    kept: list[Path] = []

    def keep(report: dict[str, Any]) -> None:
        if report["type"] == "checkpoint":
            kept.append(folder / f"kept-{len(kept)}")
            shutil.copytree(report["folder"], kept[-1])

    job = prepare(order, Sink(keep), checkpoint_seconds=0.0, output=str(folder / "training"))
    assert job.train() == "completed"
    return kept


def publish(order: dict[str, Any], checkpoint: Path | None, folder: Path) -> dict[str, Any]:
    given = None if checkpoint is None else str(checkpoint)
    last: dict[str, Any] = run(order, kind="publish", checkpoint=given, output=str(folder)).lines[-1]
    return last


@pytest.mark.parametrize("optimizer", [{"name": "adam"}, AVERAGES], ids=["plain", "averages"])
def test_the_model_of_a_checkpoint_predicts_as_the_network_of_that_step(
    tmp_path: Path, optimizer: dict[str, Any]
) -> None:
    order = classification(tmp_path, **PLAIN, optimizer=optimizer)
    kept = checkpoints_of(order, tmp_path)
    middle = kept[len(kept) // 2]
    done = publish(order, middle, tmp_path / "published")
    assert done["type"] == "done", done
    assert done["stop_reason"] == "completed"
    assert done["evaluation"]["split"] == "test"

    job = prepare(order, Sink(), checkpoint=str(middle))
    job.fit.tools.state.use_averages()
    predictor = Predictor.load(Path(done["bundle"]))
    instances = predictor.prepare(ROWS)
    found = predictor.values(predictor.run(instances))
    wanted = job.built.serving_model({name: np.asarray(rows) for name, rows in instances.items()}, training=False)
    np.testing.assert_allclose(found, np.asarray(wanted), atol=1e-5)

    last = publish(order, kept[-1], tmp_path / "last")
    other = Predictor.load(Path(last["bundle"]))
    assert np.abs(other.values(other.run(other.prepare(ROWS))) - found).max() > 1e-3, "another step, another model"


def test_the_weights_are_those_of_the_checkpoint_and_not_the_best_before_it(tmp_path: Path) -> None:
    import keras

    order = classification(tmp_path, **PLAIN)
    last = checkpoints_of(order, tmp_path)[-1]
    done = publish(order, last, tmp_path / "published")
    model = keras.models.load_model(Path(done["bundle"]) / "model.keras", compile=False)
    job = prepare(order, Sink(), checkpoint=str(last))
    assert_same_bits(model.get_weights(), job.built.serving_model.get_weights())


@pytest.mark.parametrize("damage", ["flipped", "cut", "missing", "other"])
def test_a_checkpoint_that_cannot_be_used_is_refused(tmp_path: Path, damage: str) -> None:
    order = classification(tmp_path, epochs=1)
    checkpoint: Path | None = checkpoints_of(order, tmp_path)[-1]
    assert checkpoint is not None
    arrays = checkpoint / "arrays.npz"
    if damage == "flipped":
        content = bytearray(arrays.read_bytes())
        content[len(content) // 2] ^= 1
        arrays.write_bytes(content)
    elif damage == "cut":
        arrays.write_bytes(arrays.read_bytes()[:-10])
    elif damage == "missing":
        checkpoint = None
    else:
        order["resolved"]["params"]["architecture"]["units"] = [5]
    failed = publish(order, checkpoint, tmp_path / "published")
    assert (failed["type"], failed["error"]["code"]) == ("failed", "artifact_corrupt")
    assert failed["error"]["retryable"] is False
    assert "Publish another" in failed["error"]["message"]
    assert not (tmp_path / "published" / "bundle").exists()
