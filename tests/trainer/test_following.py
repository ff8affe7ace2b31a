"""What follows a fit: the best epoch, the verdict, the pace, reports and control lines."""

import io
import json
import os
import subprocess
import sys
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from workers.trainer.control import EXIT_ORPHANED, Control, Request
from workers.trainer.failures import TrainingFailed, diverged, storage_full
from workers.trainer.feed import Rows, row_order
from workers.trainer.loop_plan import LoopPlan, choose_execution, flops_per_row
from workers.trainer.pace import MOST_GROWTH, TARGET_SECONDS, Pacer
from workers.trainer.reports import Reports
from workers.trainer.stopping import Stopper, higher_is_better
from workers.trainer.verdict import Curves, judge


def feed(stopper: Stopper, values: list[float]) -> int:
    for epoch, value in enumerate(values, 1):
        stopper.update(epoch, value)
        if stopper.is_over:
            return epoch
    return 0


def test_patience_counts_epochs_without_a_better_one() -> None:
    stopper = Stopper("val_loss", 2)
    assert feed(stopper, [3.0, 2.0, 2.5, 1.5, 1.6, 1.7, 0.1]) == 6
    assert (stopper.best, stopper.best_epoch) == (1.5, 4)


def test_a_better_epoch_beats_the_best_by_min_delta() -> None:
    stopper = Stopper("val_loss", 1, min_delta=0.1)
    assert feed(stopper, [1.0, 0.95, 0.92]) == 2
    assert stopper.best == 1.0


def test_more_is_better_of_some_figures() -> None:
    assert higher_is_better("val_accuracy")
    assert not higher_is_better("val_rmse")
    stopper = Stopper("val_roc_auc", 0)
    assert feed(stopper, [0.5, 0.7, 0.6]) == 3
    assert stopper.best_epoch == 2


def test_a_figure_that_is_no_number_is_never_the_best_and_the_state_survives() -> None:
    stopper = Stopper("val_f1", 5)
    feed(stopper, [0.2, float("nan"), 0.1])
    again = Stopper.from_json(json.loads(json.dumps(stopper.to_json())))
    assert again == stopper
    assert (again.best, again.waited) == (0.2, 2)


def curves(train: list[float], validation: list[float], guess: float = 1.0, early: bool = False) -> Curves:
    best = int(np.argmin(validation)) if validation else len(train) - 1
    return Curves(
        train=train[best],
        validation=validation[best] if validation else None,
        guess=guess,
        train_curve=train,
        validation_curve=validation,
        best_epoch=best + 1,
        stopped_early=early,
    )


def test_close_curves_that_have_settled_are_healthy() -> None:
    found = judge(curves([0.8, 0.4, 0.3, 0.29, 0.29, 0.28], [0.8, 0.42, 0.33, 0.32, 0.33, 0.34], early=True))
    assert found["verdict"] == "healthy"
    assert found["gap"] == pytest.approx(0.03)
    assert found["best_epoch"] == 4


def test_training_far_below_validation_is_overfitting_with_its_figures() -> None:
    found = judge(curves([0.7, 0.3, 0.1, 0.02, 0.01], [0.8, 0.7, 0.65, 0.8, 1.1]))
    assert found["verdict"] == "overfitting"
    assert "0.1 in training and 0.65 in validation" in found["reason"]
    assert "dropout" in found["advice"]


def test_no_better_than_guessing_is_underfitting() -> None:
    found = judge(curves([1.0, 0.99, 0.98, 0.98, 0.98], [1.0, 0.99, 0.98, 0.98, 0.98]))
    assert found["verdict"] == "underfitting"
    assert "guessing" in found["reason"]


def test_losses_that_still_fall_at_the_end_are_underfitting() -> None:
    falling = [0.9 - 0.05 * epoch for epoch in range(10)]
    assert judge(curves(falling, falling))["verdict"] == "underfitting"
    assert "epochs" in judge(curves(falling, falling))["advice"]


def test_without_validation_nothing_is_known_and_infinity_is_divergence() -> None:
    assert judge(curves([0.5, 0.4], []))["verdict"] == "unknown"
    found = judge(curves([float("inf")] * 2, [0.5, 0.6]))
    assert (found["verdict"], found["gap"]) == ("diverged", None)
    away = judge(curves([0.9, 0.8, 1.5, 4.0, 9.0], [0.9, 0.8, 1.6, 4.0, 9.0]))
    assert away["verdict"] == "diverged"
    assert "9, far above 0.8" in away["reason"]


def test_the_order_of_rows_is_a_function_of_seed_and_epoch() -> None:
    assert row_order(7, 3, 100).tolist() == row_order(7, 3, 100).tolist()
    assert sorted(row_order(7, 3, 100)) == list(range(100))
    assert row_order(7, 3, 100).tolist() != row_order(7, 4, 100).tolist() != row_order(8, 4, 100).tolist()


def test_a_sample_of_rows_keeps_rows_together() -> None:
    rows = Rows({"x": np.arange(50)[:, None]}, np.arange(50), np.arange(50, dtype=np.float32))
    sample = rows.sample(10, seed=1)
    assert len(sample) == 10
    assert sample.inputs["x"][:, 0].tolist() == sample.target.tolist() == sample.weight.tolist()
    assert rows.sample(50, seed=1) is rows


def test_executions_grow_towards_a_quarter_of_a_second_and_no_further() -> None:
    pacer = Pacer(10_000)
    assert pacer.steps == 1
    pacer.took(1, 5.0)  # traced and compiled: says nothing
    assert pacer.steps == 1
    steps = []
    for _ in range(8):
        pacer.took(pacer.steps, pacer.steps / 1000.0)
        steps.append(pacer.steps)
    assert steps[0] <= MOST_GROWTH
    assert steps[-1] == pytest.approx(1000 * TARGET_SECONDS, rel=0.01)
    pacer.took(250, 2.5)
    assert pacer.steps <= 25, "slower at once where the machine is"


@dataclass
class FakeTensor:
    shape: tuple[int | None, ...]


class FakeModel:
    """Layers with parameters and shapes, as Keras' models show them."""

    def __init__(self, *layers: Any) -> None:
        self.layers = layers


def FakeLayer(name: str, parameters: int, before: tuple[int | None, ...], after: tuple[int | None, ...]) -> Any:
    members = {"input": FakeTensor(before), "output": FakeTensor(after), "count_params": lambda self: parameters}
    return type(name, (), members)()


def test_long_jobs_of_small_steps_are_compiled() -> None:
    small = FakeModel(FakeLayer("Dense", 6_000, (None, 20), (None, 64)))
    assert choose_execution(small, 32, 200_000) == "xla"
    assert choose_execution(small, 32, 900) == "graph"
    assert choose_execution(small, 8000, 200_000) == "graph"
    noisy = FakeModel(*small.layers, FakeLayer("Dropout", 0, (None, 64), (None, 64)))
    assert choose_execution(noisy, 32, 200_000) == "graph"
    members = FakeModel(FakeLayer("EnsembleDense", 6_000, (None, 64), (None, 32, 64)))
    assert flops_per_row(members) == 32 * flops_per_row(small)
    assert choose_execution(members, 256, 200_000) == "graph"
    pooling = FakeModel(FakeLayer("MaxPooling1D", 0, (None, 8, 2), (None, 4, 2)))
    assert choose_execution(pooling, 32, 200_000) == "graph"
    assert LoopPlan(100, 16, 2, "graph").steps_per_epoch == 4


def test_reports_are_lines_of_json_and_progress_is_not_chatty() -> None:
    sink = io.BytesIO()
    reports = Reports(sink)
    reports.send("metrics", values={"loss": float("nan"), "accuracy": np.float32(0.5)})
    for step in range(100):
        reports.progress(step=step)
    reports.progress(urgent=True, step=100)
    lines = [json.loads(line) for line in sink.getvalue().splitlines()]
    assert lines[0] == {"type": "metrics", "values": {"loss": None, "accuracy": 0.5}}
    assert [line["step"] for line in lines[1:]] == [0, 100]


def test_a_cancel_is_not_undone_by_a_weaker_wish() -> None:
    control = Control(None)
    control.take(b'{"type":"drain"}')
    assert control.request == Request("drain")
    control.take(b"not json")
    control.take(b'{"type":"cancel","keep":"best"}')
    control.take(b'{"type":"pause"}')
    assert control.request == Request("cancel", "best")


def test_lines_that_come_in_pieces_are_put_together() -> None:
    code = (
        "import threading\n"
        "from workers.trainer.control import Control\n"
        "control = Control(0)\n"
        "print('ready', flush=True)\n"
        "while control.request is None: threading.Event().wait(0.001)\n"
        "print(control.request.wish, flush=True)\n"
        "threading.Event().wait(60)\n"
    )
    process = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdin is not None
    assert process.stdout is not None
    assert process.stdout.readline() == b"ready\n"
    os.write(process.stdin.fileno(), b'{"type":"pa')
    os.write(process.stdin.fileno(), b'use"}\n')
    assert process.stdout.readline() == b"pause\n"
    # The supervisor is gone: the trainer must not live on.
    process.stdin.close()
    assert process.wait(timeout=10) == EXIT_ORPHANED
    process.stdout.close()


def test_failures_say_what_to_do_and_a_full_disk_is_known() -> None:
    failure = diverged(3, 120, "training loss", 0.1, 2)
    assert isinstance(failure, TrainingFailed)
    assert failure.to_json()["detail"] == {"epoch": 3, "step": 120, "learning_rate": 0.1}
    assert storage_full(OSError(28, "No space left on device"))
    assert not storage_full(OSError(2, "No such file"))
