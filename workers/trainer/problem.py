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

    `train` weighs rows and classes; `row_weight` is the weight of its rows alone, as in the other splits.
    """

    task: Task
    labels: list[Any] | None
    outputs: int
    train: Rows
    row_weight: NDArray[np.float32] | None
    validation: Rows | None
    test: Rows | None
    preprocessing: Any

    def look(self, most: int, seed: int) -> Rows:
        """Return at most `most` training rows, weighted as those of the other splits are."""
        return Rows(self.train.inputs, self.train.target, self.row_weight).sample(most, seed)

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
    train = _rows(prepared.splits["train"], task)
    if train is None:
        raise TrainingFailed("dataset_error", "The training split has no rows.")
    row_weight = train.weight
    if task == "classification" and prepared.class_weight is not None:
        train = _weigh(train, np.asarray(prepared.class_weight, np.float32)[train.target])
    elif task == "multilabel" and prepared.class_weight is not None:
        # A row weighs what its labels weigh together; a row without any weighs 1.
        weights = np.asarray(prepared.class_weight, np.float32)
        carried = train.target.sum(axis=1)
        train = _weigh(train, np.where(carried > 0, train.target @ weights / np.maximum(carried, 1.0), 1.0))
    if train.weight is not None and not train.weight.sum() > 0:
        raise TrainingFailed("dataset_error", "All training rows have the weight 0.")
    return Problem(
        task=task,
        labels=preprocessing.labels,
        outputs=preprocessing.outputs,
        train=train,
        row_weight=row_weight,
        validation=_rows(prepared.splits.get("validation"), task),
        test=_rows(prepared.splits.get("test"), task),
        preprocessing=preprocessing,
    )


def known_rows(split: Split, task: Task) -> NDArray[np.bool_]:
    """Return (N,) which rows have a target that training knows: a class that it never saw cannot be judged."""
    return split.target >= 0 if task == "classification" else np.ones(len(split.target), bool)


def _rows(split: Split | None, task: Task) -> Rows | None:
    if split is None or split.target is None:
        return None
    known = known_rows(split, task)
    rows = Rows(split.inputs, split.target, split.weight)
    if not known.all():
        rows = rows.take(np.flatnonzero(known))
    return rows if len(rows) else None


def _weigh(rows: Rows, weight: NDArray[Any]) -> Rows:
    both = weight if rows.weight is None else weight * rows.weight
    return Rows(rows.inputs, rows.target, both.astype(np.float32))
