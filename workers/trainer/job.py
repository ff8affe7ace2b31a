"""One job, once it is put together: train, evaluate, export, check, report."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from app.preprocessing.prepare import Prepared
from workers.recipes.built import Built
from workers.trainer.control import Control
from workers.trainer.epochs import EpochFigures, finite
from workers.trainer.evaluation import Answers, class_shares, evaluate
from workers.trainer.export import check_model, serving_model_of, write_model
from workers.trainer.fit import LOOK_ROWS, Fit, Stop, StopReason
from workers.trainer.forward import Forward
from workers.trainer.order import Order
from workers.trainer.problem import Problem
from workers.trainer.reports import Reports
from workers.trainer.verdict import Curves, judge


@dataclass
class Job:
    """The parts of a job. Made by `workers.trainer.assembly.prepare_job`."""

    order: Order
    reports: Reports
    control: Control
    prepared: Prepared
    problem: Problem
    built: Built
    fit: Fit
    precision: str
    fingerprint: dict[str, Any]

    def run(self) -> None:
        """Train and finish, or stop when that is asked for; TrainingFailed when either goes wrong."""
        self.conclude(self.train())

    def conclude(self, ended: StopReason | Stop) -> None:
        """Do what the end of training asks for."""
        if ended == "paused" or ended == "drained":
            self._stop(ended)
        elif self._is_unwanted():
            self._stop("cancelled")
        else:
            self.finish(ended)

    def train(self) -> StopReason | Stop:
        """Fit, from the start or from where a checkpoint left it."""
        return self.fit.run()

    def finish(self, stop_reason: StopReason) -> None:
        """Evaluate, export, check, and report that the job is done; TrainingFailed when the export is not the model.

        A pause is not looked at any more: what is left takes seconds. A cancel is, before the model is reported.
        """
        restore = (self.order.training.get("early_stopping") or {}).get("restore_best", False)
        if self.order.kind == "publish":
            # The weights of this very moment are asked for, whatever was the best before it.
            self.fit.tools.state.use_averages()
        elif restore or stop_reason == "cancelled":
            self.fit.take_best()
        else:
            self.fit.tools.state.use_averages()
        trained_seconds = self.fit.trained_seconds
        model = serving_model_of(self.order, self.prepared, self.built, self.precision)
        forward, figures = self._judges(model)
        metrics: dict[str, Any] = {
            "train": finite(figures.of_rows(self.problem.train.sample(LOOK_ROWS, self.order.seed)))
        }
        metrics["validation"] = finite(figures.of_rows(self.problem.validation)) if self.problem.validation else {}
        verdict = judge(self._curves(stop_reason, forward, metrics))
        evaluation = self._evaluate(forward)
        metrics["test"] = {name: figure["value"] for name, figure in (evaluation or {"metrics": {}})["metrics"].items()}
        fingerprint = self.fingerprint | {"execution": self.fit.tools.plan.execution}
        bundle = write_model(self.order, self.problem, model, metrics, fingerprint)
        check_model(bundle, self.problem, self.prepared, forward)
        if self._is_unwanted():
            self._stop("cancelled")
            return
        self.reports.send(
            "done",
            stop_reason=stop_reason,
            bundle=str(bundle),
            evaluation=evaluation,
            fit=verdict,
            metrics=metrics,
            trained_seconds=trained_seconds,
        )

    def _is_unwanted(self) -> bool:
        request = self.control.request
        return request is not None and request.wish == "cancel" and request.keep == "none"

    def _stop(self, reason: str) -> None:
        self.reports.send("stopped", reason=reason, trained_seconds=self.fit.trained_seconds)

    def _judges(self, model: Any) -> tuple[Forward, EpochFigures]:
        """What asks the model: that of the fit, where it is the same model, is traced already."""
        tools = self.fit.tools
        if model is self.built.serving_model:
            return tools.forward, tools.figures
        forward = Forward(model, tools.objective, self.built.enter)
        return forward, EpochFigures(self.problem, forward, list(self.order.training["metrics"]))

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


def _guesses(problem: Problem, rows: int) -> np.ndarray[Any, Any]:
    """What one would answer without looking at the inputs: the shares of the classes, or the mean."""
    if problem.task == "regression":
        return np.zeros((rows, problem.outputs), np.float32)
    shares = class_shares(problem.train.target, problem.outputs, problem.task, problem.train.weight)
    return np.broadcast_to(shares.astype(np.float32), (rows, problem.outputs)).copy()
