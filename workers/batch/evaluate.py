"""An `evaluate` job: the test figures of a model on the rows of a data set."""

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from app.datasets.stored import ColumnInfo, StoredDataset
from app.jobs.batch import truth_of
from app.preprocessing.columns import Table, present
from app.preprocessing.findings import warn
from app.preprocessing.labels import ClassTarget, LabelsTarget, Target, ValueTarget
from app.preprocessing.reconcile import reconcile_labels
from workers.batch.drive import Drive
from workers.batch.model import OpenModel
from workers.batch.parts import Parts
from workers.batch.predict import warn_of_failures
from workers.batch.predicting import BatchPredictor, Predicted
from workers.batch.source import Source
from workers.trainer.control import Control
from workers.trainer.evaluation import Answers
from workers.trainer.evaluation import evaluate as evaluate_answers
from workers.trainer.failures import TrainingFailed
from workers.trainer.order import Order
from workers.trainer.reports import Reports
from workers.trainer.task import Task

# Of values of a model, 8 bytes each, that are looked at together: of more rows every k-th is judged.
MOST_VALUES: Final = 1 << 26


@dataclass(frozen=True)
class Truth:
    """What is true of the rows: classes (N,), labels (N, C) or values (N, V), and which rows have a known truth."""

    task: Task
    values: NDArray[Any]
    known: NDArray[np.bool_]


def evaluate(order: Order, reports: Reports, control: Control) -> None:
    """Run the order, to its end or until something is asked."""
    resolved = order.resolved
    model = OpenModel.of(order)
    data = StoredDataset.open(order.datasets["all"])
    truth = read_truth(order, model, data, reports)
    width = int(np.prod(model.shape, dtype=np.int64))
    parts = Parts([ColumnInfo("given", "array", (width,), "float64")], order.output, order.checkpoint)
    drive = Drive(
        order=order,
        reports=reports,
        control=control,
        source=Source(resolved, {"all": data}, model.predictor.preprocessing.instance_columns),
        predictor=BatchPredictor(model.predictor, model.shape),
        parts=parts,
        columns_of=_given,
    )
    stop = drive.run()
    state = parts.state
    seconds = max(order.trained_seconds, state.seconds)
    if stop is not None:
        reports.send("stopped", reason=stop, trained_seconds=seconds)
        return
    warn_of_failures(reports, state.failed, state.rows, state.first_error)
    evaluation = judge(order, model, truth, StoredDataset.open(parts.seal()[0]))
    test = {name: figure["value"] for name, figure in evaluation["metrics"].items()}
    reports.send(
        "done",
        stop_reason="completed",
        dataset=None,
        result={"rows": evaluation["rows"], "failed": state.failed},
        metrics={"train": {}, "validation": {}, "test": test},
        evaluation=evaluation,
        trained_seconds=seconds,
    )


def read_truth(order: Order, model: OpenModel, data: StoredDataset, reports: Reports) -> Truth:
    """Read the target's columns whole; rows without a truth, or with a label that training had not, are left out."""
    target = truth_of(model.predictor.manifest, model.preprocessing)
    asked = order.resolved["columns"]["target"]
    names = asked if isinstance(asked, list) else [asked]
    split = order.resolved["sources"][0]["split"] if len(order.resolved["sources"]) == 1 else None
    read = data.read(names, split)
    own = [target.column] if isinstance(target, ClassTarget) else list(target.columns)
    rows = len(read[names[0]])
    table = Table({key: read[name] for key, name in zip(own, names, strict=True)}, np.arange(rows))
    known = np.ones(rows, dtype=np.bool_)
    for column in table.columns.values():
        known &= present(column)
    missing = int((~known).sum())
    if missing:
        message = f"{missing} of {rows} rows have no '{names[0]}' and are not judged."
        reports.send("warnings", warnings=[warn("rows_removed", message, names[0], rows=missing)])
    return _coded(order, target, table.take(known), known, bool(model.preprocessing.get("strip", True)), reports)


def _coded(
    order: Order, target: Target, table: Table, known: NDArray[np.bool_], strip: bool, reports: Reports
) -> Truth:
    rows = len(known)
    if not len(table):
        raise TrainingFailed("dataset_error", "No row of the data set has a target; there is nothing to judge.")
    if isinstance(target, ClassTarget):
        table, warnings = reconcile_labels(order.resolved["split"], table, target, strip)
        if warnings:
            reports.send("warnings", warnings=warnings)
        classes = np.full(rows, -1, dtype=np.int32)
        classes[table.rows] = target.encode(table.columns, strip)
        return Truth("classification", classes, classes >= 0)
    if isinstance(target, LabelsTarget):
        coded = target.encode(table.columns, strip)
        labels = np.zeros((rows, coded.shape[1]), dtype=np.float32)
        labels[table.rows] = coded
        return Truth("multilabel", labels, known)
    values = np.zeros((rows, len(table.columns)))
    values[table.rows] = np.stack([column.astype(np.float64) for column in table.columns.values()], axis=1)
    return Truth("regression", values, known)


def judge(order: Order, model: OpenModel, truth: Truth, given: StoredDataset) -> dict[str, Any]:
    """Return the evaluation of what the parts hold against the truth."""
    width = int(np.prod(model.shape, dtype=np.int64))
    stride = max(1, -(-truth.known.size * width // MOST_VALUES))
    picked = []
    start = 0
    for arrays, table in given.batches(["given"], 1 << 16):
        rows = np.arange(start, start + len(table))
        picked.append(arrays["given"][rows % stride == 0])
        start += len(table)
    values = np.concatenate(picked)
    usable = truth.known[::stride] & np.isfinite(values).all(axis=1)
    if not usable.any():
        raise TrainingFailed("dataset_error", "No row with a target could be predicted; there is nothing to judge.")
    answers = Answers(
        task=truth.task,
        given=values[usable],
        truth=truth.values[::stride][usable],
        guess=_guess(model, truth),
        labels=model.predictor.labels or None,
    )
    return evaluate_answers(answers, order.resolved["split"], int(order.resolved["seed"]))


def _guess(model: OpenModel, truth: Truth) -> NDArray[Any] | None:
    """What one would answer without looking: known of the training rows, else of these."""
    manifest = model.predictor.manifest
    target = truth_of(manifest, model.preprocessing)
    if isinstance(target, ValueTarget):
        trained = model.preprocessing.get("target")
        return np.array(target.mean) if trained else truth.values[truth.known].mean(axis=0)
    if manifest["class_shares"]:
        return np.array(manifest["class_shares"], dtype=np.float64)
    if truth.task == "multilabel":
        return np.asarray(truth.values[truth.known].mean(axis=0))
    classes = truth.values[truth.known]
    return np.asarray(np.bincount(classes, minlength=len(model.predictor.labels)) / len(classes))


def _given(predicted: Predicted) -> list[Any]:
    flat = predicted.values.reshape(predicted.batch.rows, -1).astype("<f8")
    flat[~predicted.usable] = np.nan
    return [
        pa.FixedSizeBinaryArray.from_buffers(
            pa.binary(flat.shape[1] * 8), len(flat), [None, pa.py_buffer(flat.tobytes())]
        )
    ]
