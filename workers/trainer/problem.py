"""What is to be learned, put together from prepared data: rows with weights, task and labels."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.preprocessing.prepare import Prepared, Split
from workers.trainer.failures import TrainingFailed
from workers.trainer.feed import Rows
from workers.trainer.task import Task


@dataclass(frozen=True)
class Problem:
    """`outputs`: classes, labels or values of a row. Splits without rows are None.

    Rows of all splits weigh what row and class weights say: losses of training and validation are of one kind, and the
    best epoch is the best at what was asked for.
    """

    task: Task
    labels: list[Any] | None
    outputs: int
    train: Rows
    validation: Rows | None
    test: Rows | None
    preprocessing: Any

    def unscale(self, values: NDArray[Any]) -> NDArray[Any]:
        """Return values in the unit of the data, or anything else as it is."""
        if self.task != "regression":
            return values
        unscaled: NDArray[Any] = self.preprocessing.unscale_target(values)
        return unscaled


def state_problem(prepared: Prepared) -> Problem:
    """Return the problem that prepared data poses; TrainingFailed when there is nothing to learn from."""
    preprocessing = prepared.preprocessing
    if preprocessing.labels is None:
        task: Task = "regression"
    else:
        task = "multilabel" if preprocessing.multilabel else "classification"
    train = _rows(prepared, "train", task)
    if train is None:
        raise TrainingFailed("dataset_error", "The training split has no rows.")
    if train.weight is not None and not train.weight.sum() > 0:
        raise TrainingFailed("dataset_error", "All training rows have the weight 0.")
    return Problem(
        task=task,
        labels=preprocessing.labels,
        outputs=preprocessing.outputs,
        train=train,
        validation=_rows(prepared, "validation", task),
        test=_rows(prepared, "test", task),
        preprocessing=preprocessing,
    )


def known_rows(split: Split, task: Task) -> NDArray[np.bool_]:
    """Return (N,) which rows have a target that training knows: a class that it never saw cannot be judged."""
    return split.target >= 0 if task == "classification" else np.ones(len(split.target), bool)


def _rows(prepared: Prepared, name: str, task: Task) -> Rows | None:
    split = prepared.splits.get(name)
    if split is None:
        return None
    rows = Rows(split.inputs, split.target, split.weight)
    known = known_rows(split, task)
    if not known.all():
        rows = rows.take(np.flatnonzero(known))
    return _weigh(rows, prepared.class_weight, task) if len(rows) else None


def _weigh(rows: Rows, class_weight: list[float] | None, task: Task) -> Rows:
    """Let rows weigh what their classes do; a row of several labels weighs their mean, one of none 1."""
    if class_weight is None or task == "regression":
        return rows
    weights = np.asarray(class_weight, np.float32)
    if task == "classification":
        weight = weights[rows.target]
    else:
        carried = rows.target.sum(axis=1)
        weight = np.where(carried > 0, rows.target @ weights / np.maximum(carried, 1.0), 1.0)
    both = weight if rows.weight is None else weight * rows.weight
    return Rows(rows.inputs, rows.target, both.astype(np.float32))
