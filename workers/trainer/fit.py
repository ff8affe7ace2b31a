"""Fitting: epochs of updates, validation, the best weights, checkpoints, and what is asked for meanwhile."""

import time
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import tensorflow as tf

from workers.recipes.built import Built
from workers.trainer.checkpoints import Checkpoint, CheckpointCorrupt, remove_old, write_checkpoint
from workers.trainer.control import Control
from workers.trainer.epochs import EpochFigures
from workers.trainer.failures import TrainingFailed, diverged, storage_full
from workers.trainer.feed import IN_DEVICE_BYTES, row_order
from workers.trainer.forward import Forward
from workers.trainer.loop import SUMS, TrainingFunction
from workers.trainer.loop_plan import LoopPlan
from workers.trainer.losses import Objective
from workers.trainer.order import Order
from workers.trainer.pace import Pacer
from workers.trainer.problem import Problem
from workers.trainer.reports import Reports
from workers.trainer.schedules import Schedule
from workers.trainer.state import ModelState, named_best, unnamed
from workers.trainer.stopping import Stopper
from workers.trainer.time_left import TimeLeft

StopReason = Literal["completed", "early_stopping", "time_budget", "cancelled"]
Stop = Literal["paused", "drained"]
# Rows that are fed in pieces go to the device at most this many bytes at a time.
PIECE_BYTES = 256 << 20
# Rows of the training split that are enough to see its loss: the error of a mean over them is 1 % of a deviation.
LOOK_ROWS = 10_000


@dataclass
class Position:
    """Where training is: updates done in an epoch (both from 0), and what was summed up in it."""

    epoch: int = 0
    step: int = 0
    sums: np.ndarray[Any, Any] = field(default_factory=lambda: np.zeros(len(SUMS)))


@dataclass
class Tools:
    """What fitting works with, put together by `workers.trainer.assembly`."""

    order: Order
    problem: Problem
    built: Built
    objective: Objective
    state: ModelState
    function: TrainingFunction
    head_function: TrainingFunction | None
    plan: LoopPlan
    schedule: Schedule
    forward: Forward
    figures: EpochFigures
    reports: Reports
    control: Control


def watch_time(tools: Tools, trained_seconds: float) -> TimeLeft:
    """Return what tells how long the job of `tools` still takes."""
    problem, training = tools.problem, tools.order.training
    validation = 0 if problem.validation is None else len(problem.validation)
    test = 0 if problem.test is None else len(problem.test)
    budget = training.get("max_seconds")
    return TimeLeft(
        rows_per_step=len(problem.train) / tools.plan.steps_per_epoch,
        validation_rows=validation,
        finish_rows=min(len(problem.train), LOOK_ROWS) + validation + test,
        checkpoint_seconds=tools.order.checkpoint_seconds,
        budget_seconds=None if budget is None else max(float(budget) - trained_seconds, 0.0),
    )


class Fit:
    """One fit, from the start or from a checkpoint."""

    def __init__(self, tools: Tools, stopper: Stopper) -> None:
        self.tools = tools
        self.stopper = stopper
        self.position = Position()
        self.best: list[np.ndarray[Any, Any]] | None = None
        self.history: list[dict[str, Any]] = []
        self._training = tools.order.training
        self._epochs = int(self._training["epochs"])
        self._head_epochs = int(tools.order.resolved["params"].get("head_epochs") or 0)
        self._seconds_before = tools.order.trained_seconds
        self._started = self._saved_at = time.monotonic()
        rows, plan = tools.problem.train, tools.plan
        self._in_pieces = rows.nbytes > IN_DEVICE_BYTES
        self._lengths = rows.lengths
        self._data = None if self._in_pieces else rows.tensors()
        self._epoch_order: tuple[int, Any, Any] = (-1, None, None)
        piece_rows = PIECE_BYTES // max(rows.nbytes // len(rows), 1)
        self._pacer = Pacer(max(piece_rows // plan.group, 1) if self._in_pieces else plan.steps_per_epoch)
        self._time_left = watch_time(tools, self._seconds_before)

    @property
    def trained_seconds(self) -> float:
        """Seconds of training over all attempts."""
        return self._seconds_before + time.monotonic() - self._started

    @property
    def step(self) -> int:
        """Updates done since the start of the job."""
        return self.position.epoch * self.tools.plan.steps_per_epoch + self.position.step

    def run(self) -> StopReason | Stop:
        """Train until an end is reached; TrainingFailed when the loss leaves the finite numbers."""
        while self.position.epoch < self._epochs:
            while self.position.step < self.tools.plan.steps_per_epoch:
                self._execute()
                if ended := self._look():
                    return ended
            self._finish_epoch()
            if self.stopper.is_over and self.position.epoch > self._head_epochs:
                return "early_stopping"
            if ended := self._look():
                return ended
        return "completed"

    def take_best(self) -> None:
        """Put the best weights in place."""
        if self.best is not None:
            self.tools.state.set_weights(self.best)

    # -- updates ------------------------------------------------------------------------------

    def _execute(self) -> None:
        position, plan = self.position, self.tools.plan
        count = min(self._pacer.steps, plan.steps_per_epoch - position.step)
        started = time.perf_counter()
        data, order, rates, first = self._feed(position, count)
        before = self.step - first
        sums = self._function()(data, order, rates, first, count, tf.constant(position.sums), before)
        position.sums = sums.numpy()
        self._pacer.took(count, time.perf_counter() - started)
        self._time_left.stepped(count)
        position.step += count
        if not np.isfinite(position.sums[0]):
            raise diverged(position.epoch + 1, self.step, "training loss", self._rate(), self.stopper.best_epoch)
        self._report_progress(urgent=self._pacer.steps_per_second == 0.0)

    def _function(self) -> TrainingFunction:
        """What this epoch is trained with: the head alone in the first ones, where that is asked for."""
        head = self.tools.head_function
        return head if head is not None and self.position.epoch < self._head_epochs else self.tools.function

    def _feed(self, position: Position, count: int) -> tuple[Any, Any, Any, int]:
        rows, plan, seed = self.tools.problem.train, self.tools.plan, self.tools.order.seed
        if self._epoch_order[0] != position.epoch:
            order = row_order(seed, position.epoch, len(rows), self._lengths, plan.group)
            factors = self.tools.schedule.factors(position.epoch * plan.steps_per_epoch, plan.steps_per_epoch)
            rates = (factors * self._rate()).astype(np.float32)
            self._epoch_order = (position.epoch, order, rates) if self._in_pieces else (
                position.epoch, tf.constant(order), tf.constant(rates)
            )  # fmt: skip
        _, order, rates = self._epoch_order
        if not self._in_pieces:
            return self._data, order, rates, position.step
        piece = rows.take(order[position.step * plan.group : (position.step + count) * plan.group])
        own_order = tf.range(len(piece), dtype=tf.int64)
        return piece.tensors(), own_order, tf.constant(rates[position.step : position.step + count]), 0

    def _rate(self) -> float:
        return float(self._training["optimizer"]["learning_rate"])

    def _report_progress(self, urgent: bool = False) -> None:
        plan, total = self.tools.plan, self._epochs * self.tools.plan.steps_per_epoch
        steps_per_second = self._pacer.steps_per_second
        rows_per_step = len(self.tools.problem.train) / plan.steps_per_epoch
        eta_seconds = self._time_left.seconds(total - self.step, self._epochs - self.position.epoch)
        self.tools.reports.progress(
            urgent=urgent,
            epoch=min(self.position.epoch + 1, self._epochs),
            epochs=self._epochs,
            step=self.step,
            steps=total,
            fraction=round(self.step / total, 4),
            samples_per_second=round(steps_per_second * rows_per_step, 1) or None,
            eta_seconds=None if eta_seconds is None else round(eta_seconds, 1),
        )

    # -- epochs -------------------------------------------------------------------------------

    def _finish_epoch(self) -> None:
        """Take the figures of the epoch, remember it if it is the best, and go on to the next."""
        position, tools = self.position, self.tools
        epoch = position.epoch + 1
        plain = tools.state.weights() if tools.state.keeps_averages else None
        if plain is not None:
            tools.state.use_averages()
        train = tools.figures.of_training(position.sums)
        validation = tools.figures.of_rows(tools.problem.validation) if tools.problem.validation is not None else {}
        values = train | {f"val_{name}": value for name, value in validation.items()}
        if "val_loss" in values and not np.isfinite(values["val_loss"]):
            raise diverged(epoch, self.step, "validation loss", self._rate(), self.stopper.best_epoch)
        if self.stopper.monitor not in values:
            names = ", ".join(values)
            raise TrainingFailed(
                "configuration_error",
                f"training.early_stopping.monitor: there is no {self.stopper.monitor!r} here; there are {names}.",
            )
        if self.stopper.update(epoch, values[self.stopper.monitor]):
            self.best = tools.state.weights()
        if epoch == self._head_epochs:
            # Waiting for the head says nothing of what the base will gain.
            self.stopper.waited = 0
        if plain is not None:
            tools.state.set_weights(plain)
        self._record(epoch, "train", train)
        if validation:
            self._record(epoch, "validation", validation)
        self.position = Position(epoch=epoch)
        self._time_left.epoch_ended()
        self._report_progress(urgent=epoch == self._epochs)

    def _record(self, epoch: int, split: str, values: dict[str, float]) -> None:
        row = {"epoch": epoch, "step": self.step, "split": split, "values": values}
        self.history.append(row)
        self.tools.reports.send("metrics", **row)

    def curve(self, split: str) -> list[float]:
        """Return the loss of each epoch."""
        return [row["values"]["loss"] for row in self.history if row["split"] == split]

    # -- what is asked for ----------------------------------------------------------------------

    def _look(self) -> StopReason | Stop | None:
        """The control point: act on what was asked for, and save what is due."""
        request = self.tools.control.request
        if request is not None and request.wish == "cancel":
            return "cancelled"
        if request is not None:
            self.save()
            return "paused" if request.wish == "pause" else "drained"
        budget = self._training.get("max_seconds")
        if budget is not None and self.trained_seconds >= budget:
            if self.position.step:
                # The part of the epoch that was trained may be the best there is.
                self._finish_epoch()
            return "time_budget"
        if time.monotonic() - self._saved_at >= self.tools.order.checkpoint_seconds:
            self.save()
        return None

    def save(self) -> None:
        """Write a checkpoint. A full disk does not end the training: the next one may find room."""
        self._saved_at = time.monotonic()
        state = {
            "epoch": self.position.epoch,
            "step": self.position.step,
            "stopper": self.stopper.to_json(),
            "history": self.history,
            "trained_seconds": self.trained_seconds,
            "has_best": self.best is not None,
            "execution": self.tools.plan.execution,
        }
        arrays = self.tools.state.capture() | named_best(self.best) | {"sums": self.position.sums}
        parent = self.tools.order.output / "checkpoints"
        try:
            folder = write_checkpoint(parent, self.step, arrays, state)
        except OSError as error:
            if not storage_full(error):
                raise
            self.tools.reports.event("checkpoint_failed", reason="storage_full")
            return
        self.tools.reports.checkpoint(
            folder,
            epoch=self.position.epoch,
            step=self.step,
            metrics=self.history[-1]["values"] if self.history else {},
            is_best=self.best is not None and self.stopper.best_epoch == self.position.epoch,
            trained_seconds=self.trained_seconds,
        )
        remove_old(parent)
        self._time_left.saved()

    def load(self, checkpoint: Checkpoint) -> None:
        """Go on from a checkpoint; CheckpointCorrupt when it is of another job."""
        state, arrays = checkpoint.state, checkpoint.arrays
        if state["execution"] != self.tools.plan.execution:
            raise CheckpointCorrupt("the checkpoint is of another form of the training loop")
        best = unnamed("best", arrays, len(self.tools.state.model)) if state["has_best"] else None
        self.tools.state.restore(arrays)
        self.best = best
        self.stopper = Stopper.from_json(state["stopper"])
        self.history = list(state["history"])
        self.position = Position(int(state["epoch"]), int(state["step"]), arrays["sums"])
        self._seconds_before = max(self._seconds_before, float(state["trained_seconds"]))
