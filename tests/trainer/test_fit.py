"""Fitting in this process: bits, resuming, what is asked for meanwhile, and how a fit ends."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.trainer.orders import Sink, classification, line_csv, order_of, parsed, regression
from workers.trainer.control import Control

pytestmark = pytest.mark.recipes

EXECUTIONS = ("graph", "xla")


def prepare(order: dict[str, Any], sink: Sink, control: Control | None = None, execution: Any = None, **changes: Any):
    from workers.trainer.assembly import prepare_job
    from workers.trainer.reports import Reports

    return prepare_job(parsed(order, **changes), Reports(sink), control or Control(None), execution)


def run(order: dict[str, Any], sink: Sink | None = None, **changes: Any) -> Sink:
    from workers.trainer.main import run as run_trainer

    sink = sink or Sink()
    assert run_trainer(parsed(order, **changes), sink, None) == 0
    return sink


def weights_after(order: dict[str, Any], execution: Any = None, **changes: Any) -> list[np.ndarray]:
    job = prepare(order, Sink(), execution=execution, **changes)
    job.train()
    return job.fit.tools.state.weights()


def assert_same_bits(first: list[np.ndarray], second: list[np.ndarray]) -> None:
    assert len(first) == len(second)
    for one, other in zip(first, second, strict=True):
        assert one.tobytes() == other.tobytes()


def assert_close(first: list[np.ndarray], second: list[np.ndarray], tolerance: float) -> None:
    for one, other in zip(first, second, strict=True):
        np.testing.assert_allclose(one, other, atol=tolerance, rtol=tolerance)


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


def _plain(order: dict[str, Any]) -> dict[str, Any]:
    # No noise and no batch statistics: what is left must not depend on how a group is cut into batches.
    order["resolved"]["params"]["architecture"] |= {"dropout": 0.0, "normalization": "none"}
    return order


@pytest.mark.parametrize("execution", EXECUTIONS)
def test_accumulated_batches_give_what_the_big_batch_gives(tmp_path: Path, execution: str) -> None:
    training = {
        "epochs": 3,
        "optimizer": {"name": "sgd", "learning_rate": 0.1},
        "regularization": {"l2": 0.01, "l1": 0.001},
    }
    order = _plain(order_of(
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


def test_both_forms_of_the_loop_agree(tmp_path: Path) -> None:
    order = _plain(classification(tmp_path, epochs=2, optimizer={"name": "sgd", "learning_rate": 0.1}))
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
    assert done["fit"]["best_epoch"] == int(np.argmin(validation)) + 1 == len(validation) - 3
    assert done["metrics"]["validation"]["loss"] == pytest.approx(min(validation), rel=1e-5)


def test_a_diverging_loss_is_a_typed_failure(tmp_path: Path) -> None:
    order = regression(tmp_path, epochs=50, optimizer={"name": "sgd", "learning_rate": 90.0})
    failed = run(_plain(order)).lines[-1]
    assert failed["type"] == "failed"
    assert failed["error"]["code"] == "training_diverged"
    assert failed["error"]["detail"]["epoch"] >= 1
    assert "learning rate" in failed["error"]["message"]


def test_the_time_budget_counts_earlier_attempts(tmp_path: Path) -> None:
    order = classification(tmp_path, epochs=100_000, max_seconds=30.0, early_stopping=False)
    done = run(order, trained_seconds=29.7).lines[-1]
    assert done["type"] == "done"
    assert done["stop_reason"] == "time_budget"
    assert 30.0 <= done["trained_seconds"] < 40.0


class Scripted(Control):
    """Says a line once the trainer has looked so often."""

    def __init__(self, looks: int, line: bytes) -> None:
        super().__init__(None)
        self._looks = looks
        self._line = line

    @property
    def request(self) -> Any:
        self._looks -= 1
        if self._looks == 0:
            self.take(self._line)
        return super().request


def finish(order: dict[str, Any], control: Control, sink: Sink, **changes: Any) -> dict[str, Any]:
    from workers.trainer.main import _run
    from workers.trainer.reports import Reports

    _run(parsed(order, **changes), Reports(sink), control)
    return sink.lines[-1]


def test_a_cancel_stops_at_the_next_control_point(tmp_path: Path) -> None:
    sink = Sink()
    last = finish(classification(tmp_path, epochs=1000, early_stopping=False), Scripted(5, b'{"type":"cancel"}'), sink)
    assert (last["type"], last["reason"]) == ("stopped", "cancelled")
    assert not sink.of("checkpoint")


def test_a_cancel_that_keeps_the_best_publishes_it(tmp_path: Path) -> None:
    order = classification(tmp_path, epochs=1000, early_stopping=False)
    last = finish(order, Scripted(25, b'{"type":"cancel","keep":"best"}'), Sink())
    assert (last["type"], last["stop_reason"]) == ("done", "cancelled")
    assert Path(last["bundle"], "manifest.json").is_file()


@pytest.mark.parametrize(("wish", "reason"), [(b'{"type":"pause"}', "paused"), (b'{"type":"drain"}', "drained")])
def test_a_pause_saves_and_the_next_attempt_goes_on(tmp_path: Path, wish: bytes, reason: str) -> None:
    order = classification(tmp_path, epochs=8, early_stopping=False)
    sink = Sink()
    last = finish(order, Scripted(7, wish), sink)
    assert (last["type"], last["reason"]) == ("stopped", reason)
    saved = sink.of("checkpoint")[-1]
    resumed = prepare(order, Sink(), checkpoint=saved["folder"], trained_seconds=saved["trained_seconds"])
    assert resumed.fit.step == saved["step"] > 0
    resumed.train()
    assert_same_bits(resumed.fit.tools.state.weights(), weights_after(order))


def test_a_damaged_checkpoint_is_said_and_training_begins_anew(tmp_path: Path) -> None:
    order = classification(tmp_path, epochs=2)
    (tmp_path / "checkpoint").mkdir()
    (tmp_path / "checkpoint" / "manifest.json").write_text("{}")
    sink = Sink()
    job = prepare(order, sink, checkpoint=str(tmp_path / "checkpoint"))
    assert job.fit.step == 0
    assert sink.of("event")[0]["name"] == "checkpoint_unusable"


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
    from tests.trainer.orders import store

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
