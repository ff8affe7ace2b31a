"""The figures of an epoch: from what the training function summed up, and from rows in inference mode."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from workers.trainer.feed import Rows
from workers.trainer.figures import find_figure
from workers.trainer.forward import Forward
from workers.trainer.loop import SUMS
from workers.trainer.problem import Problem


class EpochFigures:
    """Loss and the metrics asked for, by name; values in the unit of the data."""

    def __init__(self, problem: Problem, forward: Forward, metrics: list[str]) -> None:
        """ValueError for a metric that the task has not."""
        self._problem = problem
        self._forward = forward
        self._figures = [(name, *find_figure(name, problem.task)) for name in metrics]

    def of_training(self, sums: NDArray[np.float64]) -> dict[str, float]:
        """Return loss and metrics over the updates of an epoch: with noise, each row at the weights of its time.

        Of the metrics those that add up over batches: accuracy; absolute and squared errors.
        """
        found = dict(zip(SUMS, sums.tolist(), strict=True))
        rows = max(found["rows"], 1.0)
        values = {"loss": found["loss"] / max(found["weight"], 1e-12)}
        for name, own, _ in self._figures:
            value = self._added_up(own, found["first"] / rows, found["second"] / rows)
            if value is not None:
                values[name] = value
        return values

    def of_rows(self, rows: Rows) -> dict[str, float]:
        """Return loss and metrics of rows in inference mode."""
        answers = self._forward.answers(rows)
        values = {"loss": self._forward.loss(rows, answers)}
        truth = self._problem.unscale(rows.target)
        given = self._problem.unscale(answers)
        for name, _, figure in self._figures:
            values[name] = figure(truth, given)
        return values

    def _added_up(self, own: str, first: float, second: float) -> float | None:
        if self._problem.task == "classification" and own == "accuracy":
            return first
        if self._problem.task == "regression" and self._problem.outputs == 1:
            unit = self._problem.unscale(np.array([[0.0], [1.0]]))
            deviation = float(unit[1, 0] - unit[0, 0])
            return {"mae": first * deviation, "mse": second * deviation**2, "rmse": second**0.5 * deviation}.get(own)
        return None


def finite(values: dict[str, Any]) -> dict[str, Any]:
    """Return the values that are finite numbers."""
    return {name: value for name, value in values.items() if np.isfinite(value)}
