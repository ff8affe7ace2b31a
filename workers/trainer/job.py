"""One job from data to bundle: prepare, build, fit, evaluate, export, check."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from app.datasets.stored import StoredDataset
from app.preprocessing.prepare import Prepared, prepare
from workers.recipes.built import Built
from workers.recipes.registry import BUILDERS
from workers.trainer import device
from workers.trainer.checkpoints import CheckpointCorrupt, latest_whole
from workers.trainer.control import Control
from workers.trainer.epochs import EpochFigures, finite
from workers.trainer.evaluation import Answers, class_shares, evaluate
from workers.trainer.export import check_model, serving_model_of, write_model
from workers.trainer.failures import TrainingFailed
from workers.trainer.feed import IN_DEVICE_BYTES, Rows
from workers.trainer.fit import Fit, Stop, StopReason, Tools
from workers.trainer.forward import Forward
from workers.trainer.loop import TrainingFunction
from workers.trainer.loop_plan import Execution, LoopPlan, choose_execution
from workers.trainer.losses import Objective, loss_name
from workers.trainer.optimizers import build_optimizer
from workers.trainer.order import Order
from workers.trainer.problem import Problem, state_problem
from workers.trainer.reports import Reports
from workers.trainer.schedules import build_schedule
from workers.trainer.state import ModelState
from workers.trainer.stopping import Stopper
from workers.trainer.verdict import Curves, judge

# Rows of the training split that are enough to see its loss: the error of a mean over them is 1 % of a deviation.
LOOK_ROWS = 10_000


@dataclass
class Job:
    """The parts of a job as they come about."""

    order: Order
    reports: Reports
    control: Control
    prepared: Prepared
    problem: Problem
    built: Built
    fit: Fit
    objective: Objective
    precision: str
    fingerprint: dict[str, Any]

    def train(self) -> StopReason | Stop:
        """Fit, from the checkpoint of the order where there is a whole one."""
        return self.fit.run()

    def finish(self, stop_reason: StopReason) -> None:
        """Evaluate, export, check, and report that the job is done; TrainingFailed when the export is not the model."""
        restore = (self.order.training.get("early_stopping") or {}).get("restore_best", False)
        if restore or stop_reason == "cancelled":
            self.fit.take_best()
        else:
            self.fit.tools.state.use_averages()
        trained_seconds = self.fit.trained_seconds
        model = serving_model_of(self.order, self.prepared, self.built, self.precision)
        forward = Forward(model, self.objective)
        figures = EpochFigures(self.problem, forward, list(self.order.training["metrics"]))
        train = self.problem.train.sample(LOOK_ROWS, self.order.seed)
        metrics: dict[str, Any] = {"train": finite(figures.of_rows(Rows(train.inputs, train.target)))}
        metrics["validation"] = finite(figures.of_rows(self.problem.validation)) if self.problem.validation else {}
        verdict = judge(self._curves(stop_reason, forward, metrics))
        evaluation = self._evaluate(forward)
        metrics["test"] = {name: figure["value"] for name, figure in (evaluation or {"metrics": {}})["metrics"].items()}
        bundle = write_model(self.order, self.problem, model, metrics, self.fingerprint)
        check_model(bundle, self.problem, self.prepared, forward)
        self.reports.send(
            "done",
            stop_reason=stop_reason,
            bundle=str(bundle),
            evaluation=evaluation,
            fit=verdict,
            metrics=metrics,
            trained_seconds=trained_seconds,
        )

    def _curves(self, stop_reason: StopReason, forward: Forward, metrics: dict[str, Any]) -> Curves:
        validation = self.problem.validation
        guess = None
        if validation is not None:
            guess = forward.loss(validation, _guesses(self.problem, len(validation)))
        return Curves(
            train=metrics["train"].get("loss", float("nan")),
            validation=metrics["validation"].get("loss"),
            guess=guess,
            train_curve=self.fit.curve("train"),
            validation_curve=self.fit.curve("validation"),
            best_epoch=self.fit.stopper.best_epoch,
            stopped_early=stop_reason == "early_stopping",
        )

    def _evaluate(self, forward: Forward) -> dict[str, Any] | None:
        test, problem = self.problem.test, self.problem
        if test is None:
            return None
        answers = Answers(
            task=problem.task,
            given=problem.unscale(forward.answers(test)),
            truth=problem.unscale(test.target),
            train_truth=problem.unscale(problem.train.target),
            labels=problem.labels,
        )
        return evaluate(answers, "test", self.order.seed)


def prepare_job(order: Order, reports: Reports, control: Control, execution: Execution | None = None) -> Job:
    """Read the data and build everything up to the first update; `execution` None: chosen by the size of the job."""
    training = order.training
    device.set_up(order.threads, order.seed)
    precision = device.choose_precision(training["precision"], reports)
    reports.send("started", fingerprint=device.fingerprint(order.threads, precision))
    prepared = prepare(order.resolved, {role: StoredDataset.open(path) for role, path in order.datasets.items()})
    problem = state_problem(prepared)
    if prepared.warnings:
        reports.send("warnings", warnings=prepared.warnings)
    built = build_model(order, prepared)
    regularization = training["regularization"]
    objective = Objective(
        loss_name(training["loss"], problem.task), problem.task, float(regularization["label_smoothing"])
    )
    optimizer = build_optimizer(training["optimizer"], built.training_model.trainable_variables)
    plan = plan_loop(training, problem, built, execution)
    fingerprint = device.fingerprint(order.threads, precision) | {"execution": plan.execution}
    if precision == "mixed_float16":
        optimizer = device.scale_losses(optimizer, built.training_model.trainable_variables)
    forward = Forward(built.serving_model, objective)
    tools = Tools(
        order=order,
        problem=problem,
        built=built,
        state=ModelState(built, optimizer),
        function=TrainingFunction(
            built.training_model,
            optimizer,
            objective,
            built.from_logits,
            plan,
            float(regularization["l1"]),
            float(regularization["l2"]),
        ),
        plan=plan,
        schedule=build_schedule(training["schedule"], int(training["epochs"]), plan.steps_per_epoch),
        forward=forward,
        figures=EpochFigures(problem, forward, list(training["metrics"])),
        reports=reports,
        control=control,
    )
    fit = Fit(tools, make_stopper(training, problem, reports))
    resume(fit, order.checkpoint, reports)
    return Job(order, reports, control, prepared, problem, built, fit, objective, precision, fingerprint)


def build_model(order: Order, prepared: Prepared) -> Built:
    """Build the recipe's model; TrainingFailed when the architecture does not fit the data."""
    builder = BUILDERS.get(order.recipe)
    if builder is None:
        raise TrainingFailed("configuration_error", f"This worker does not know the recipe {order.recipe!r}.")
    try:
        return builder(order.resolved, prepared)
    except (TypeError, ValueError) as error:
        message = str(error).strip().splitlines()[0][:500]
        raise TrainingFailed("configuration_error", f"The architecture cannot be built: {message}") from error


def plan_loop(training: dict[str, Any], problem: Problem, built: Built, execution: Execution | None) -> LoopPlan:
    """Return the sizes of the loop, and its form."""
    rows, batch_size = len(problem.train), int(training["batch_size"])
    accumulation = int(training["gradient_accumulation_steps"])
    batch_size = min(batch_size, rows)
    batches = -(-rows // batch_size) * int(training["epochs"])
    if execution is None:
        parameters = int(built.training_model.count_params())
        execution = choose_execution(parameters, batch_size, built.members, batches)
    if problem.train.nbytes > IN_DEVICE_BYTES:
        # Pieces of rows have many sizes; XLA would compile for each.
        execution = "graph"
    return LoopPlan(rows, batch_size, accumulation, execution)


def make_stopper(training: dict[str, Any], problem: Problem, reports: Reports) -> Stopper:
    """Return what follows the epochs; without a validation split the training loss is followed and nothing stopped."""
    stopping = training.get("early_stopping") or None
    if problem.validation is None:
        if stopping is not None:
            reports.event("early_stopping_off", reason="there is no validation split to watch")
        return Stopper("loss", None)
    if stopping is None:
        return Stopper("val_loss", None)
    return Stopper(stopping["monitor"], int(stopping["patience"]), float(stopping["min_delta"]))


def resume(fit: Fit, checkpoint: Path | None, reports: Reports) -> None:
    """Go on from the checkpoint, where there is one that is whole and of this job; else from the start."""
    if checkpoint is None:
        return
    found = latest_whole(checkpoint)
    if found is None:
        reports.event("checkpoint_unusable", reason="it is damaged or missing")
        return
    try:
        fit.load(found)
    except CheckpointCorrupt as error:
        reports.event("checkpoint_unusable", reason=str(error))
        return
    reports.event("resumed", epoch=fit.position.epoch, step=fit.step)


def _guesses(problem: Problem, rows: int) -> np.ndarray[Any, Any]:
    """What one would answer without looking at the inputs: the shares of the classes, or the mean."""
    if problem.task == "regression":
        return np.zeros((rows, problem.outputs), np.float32)
    shares = class_shares(problem.train.target, problem.outputs, problem.task)
    return np.broadcast_to(shares.astype(np.float32), (rows, problem.outputs)).copy()
