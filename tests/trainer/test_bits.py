"""Bits: resuming, seeds, and what must not change a result."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.trainer.orders import Sink, classification, line_csv, order_of
from tests.trainer.running import assert_close, assert_same_bits, prepare, weights_after, without_noise

pytestmark = pytest.mark.recipes

EXECUTIONS = ("graph", "xla")


FULL = {
    "epochs": 6,
    "batch_size": 32,
    "optimizer": {"name": "adamw", "learning_rate": 0.01, "weight_decay": 0.01, "ema_momentum": 0.9},
    "schedule": {"name": "cosine", "warmup_ratio": 0.2},
    "early_stopping": {"monitor": "val_loss", "patience": 3, "restore_best": True},
}


@pytest.mark.parametrize("execution", EXECUTIONS)
def test_resumed_at_any_control_point_the_bits_are_those_of_an_uninterrupted_run(
    tmp_path: Path, execution: str
) -> None:
    order = classification(tmp_path, **FULL)
    kept: list[Path] = []

    def keep(report: dict[str, Any]) -> None:
        if report["type"] == "checkpoint":
            target = tmp_path / f"kept-{execution}-{len(kept)}"
            shutil.copytree(report["folder"], target)
            kept.append(target)

    straight = prepare(order, Sink(), execution=execution)
    assert straight.train() == "completed"
    saving = prepare(order, Sink(keep), execution=execution, checkpoint_seconds=0.0, output=str(tmp_path / "saving"))
    saving.train()
    assert_same_bits(saving.fit.tools.state.weights(), straight.fit.tools.state.weights())
    inside = [path for path in kept if b'"step":0,' not in (path / "state.json").read_bytes()]
    assert len(inside) > 3, "control points within epochs were saved too"
    for index in np.random.default_rng(1).choice(len(kept), 4 if execution == "graph" else 2, replace=False):
        resumed = prepare(order, Sink(), execution=execution, checkpoint=str(kept[index]))
        resumed.train()
        assert_same_bits(resumed.fit.tools.state.weights(), straight.fit.tools.state.weights())
        assert resumed.fit.history == straight.fit.history
        assert resumed.fit.stopper == straight.fit.stopper
        assert_same_bits(resumed.fit.best, straight.fit.best)


def test_the_same_seed_gives_the_same_bits_and_another_seed_does_not(tmp_path: Path) -> None:
    order = classification(tmp_path, epochs=3)
    first, second = weights_after(order), weights_after(order)
    assert_same_bits(first, second)
    order["resolved"]["training"]["seed"] = 8
    assert any(a.tobytes() != b.tobytes() for a, b in zip(first, weights_after(order), strict=True))


@pytest.mark.parametrize("execution", EXECUTIONS)
def test_accumulated_batches_give_what_the_big_batch_gives(tmp_path: Path, execution: str) -> None:
    training = {
        "epochs": 3,
        "optimizer": {"name": "sgd", "learning_rate": 0.1},
        "regularization": {"l2": 0.01, "l1": 0.001},
    }
    order = without_noise(order_of(
        tmp_path, line_csv(), "tabular-regression", "value", columns={"weight": "weight"}, training=training
    ))  # fmt: skip
    settings = order["resolved"]["training"]
    settings["batch_size"], settings["gradient_accumulation_steps"] = 48, 1
    big = weights_after(order, execution)
    settings["batch_size"], settings["gradient_accumulation_steps"] = 12, 4
    assert_close(weights_after(order, execution), big, 2e-5)
    # 160 rows: the last group has 16 rows, a whole batch and a part of one.
    assert prepare(order, Sink()).problem.train.weight is not None
    assert len(prepare(order, Sink()).problem.train) == 160


def test_both_forms_of_the_loop_agree(tmp_path: Path) -> None:
    order = without_noise(classification(tmp_path, epochs=2, optimizer={"name": "sgd", "learning_rate": 0.1}))
    assert_close(weights_after(order, "graph"), weights_after(order, "xla"), 2e-5)


def test_rows_fed_in_pieces_give_the_same_bits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    order = classification(tmp_path, epochs=3, gradient_accumulation_steps=2)
    whole = weights_after(order, "graph")
    monkeypatch.setattr("workers.trainer.fit.IN_DEVICE_BYTES", 100)
    monkeypatch.setattr("workers.trainer.fit.PIECE_BYTES", 3000)
    job = prepare(order, Sink(), execution="graph")
    job.train()
    assert job.fit._data is None
    assert_same_bits(job.fit.tools.state.weights(), whole)
