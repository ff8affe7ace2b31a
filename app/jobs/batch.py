"""Jobs that run a finished model over a data set: checked against both, every default filled, nothing queued yet."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from app.core.errors import Unprocessable
from app.datasets.stored import SPLITS, StoredDataset
from app.inference.table import PredictionTable
from app.jobs.batch_columns import ReadModel, check_id, input_columns, target_columns
from app.jobs.requests import EvaluateRequest, PredictRequest
from app.preprocessing.labels import ClassTarget, Label, LabelsTarget, Target, ValueTarget, target_from_json

# Of one thread, a multiplication and an addition; an order of magnitude, as in the estimate of a training.
OPERATIONS_PER_SECOND = 10e9
SECONDS_PER_VALUE = 0.3e-6
SECONDS_OF_START = 1.0
MEMORY_OF_START_BYTES = 200 * 2**20
SEED = 7


@dataclass(frozen=True)
class BatchPlan:
    """What a submission becomes; `resolved` is complete plain JSON. `seconds` are an order of magnitude."""

    resolved: dict[str, Any]
    warnings: list[dict[str, Any]]
    rows: int
    parameters: int
    memory_bytes: int
    seconds: float


def plan_predict(
    request: PredictRequest, model: ReadModel, data: Mapping[str, StoredDataset], names: Mapping[str, str]
) -> BatchPlan:
    """Return the job that predicts for the rows of `data` (by role); `names` are those of the data sets.

    Raises Unprocessable that names the column or field that does not fit.
    """
    sources = _sources(data, request.split)
    inputs, warnings = input_columns(request.columns, model, data)
    table = prediction_table(model.manifest, model.preprocessing)
    if request.columns.id is not None:
        taken = ["row", "split", "error", *(column.name for column in table.columns)]
        check_id(request.columns.id, data, taken)
    name = request.output.name or f"{next(iter(names.values()))[:200]} by {model.ref}"
    resolved = {
        "model": model.ref,
        "recipe": model.recipe,
        "columns": {"input": inputs, "id": request.columns.id},
        "sources": sources,
        "splits_named": "all" not in data or any(source["split"] for source in sources),
        "output": {"name": name},
    }
    return _plan(resolved, warnings, model)


def plan_evaluate(request: EvaluateRequest, model: ReadModel, data: StoredDataset) -> BatchPlan:
    """Return the job that evaluates the model on `data`. Raises Unprocessable as `plan_predict` does."""
    split = request.split or ("test" if "test" in (data.splits or {}) else None)
    sources = _sources({"all": data}, split)
    inputs, warnings = input_columns(request.columns, model, {"all": data})
    target = truth_of(model.manifest, model.preprocessing)
    names = target_columns(request.columns.target, target, model, data)
    resolved = {
        "model": model.ref,
        "recipe": model.recipe,
        "columns": {"input": inputs, "target": names if len(names) > 1 else names[0]},
        "sources": sources,
        "split": split or "test",
        "seed": SEED,
    }
    return _plan(resolved, warnings, model)


def prediction_table(manifest: Mapping[str, Any], preprocessing: Mapping[str, Any]) -> PredictionTable:
    """Return the columns that a model's predictions have. Raises Unprocessable where its output has no fixed shape."""
    outputs = manifest["signature"]["outputs"]
    shape = tuple(int(length) for length in outputs[0]["shape"][1:]) if outputs else (1,)
    if any(length < 0 for length in shape):
        raise Unprocessable(
            f"model: its output has the shape {list(shape)}; only outputs of a fixed shape make columns.",
            code="unsupported",
            param="model",
        )
    target = preprocessing.get("target") or {}
    targets = target.get("columns", []) if target.get("kind") == "value" else []
    return PredictionTable(manifest["labels"], bool(manifest["multilabel"]), shape, targets)


def truth_of(manifest: Mapping[str, Any], preprocessing: Mapping[str, Any]) -> Target:
    """Return how the model's target is coded; of an uploaded model by its labels, or as values in their own unit."""
    document = preprocessing.get("target")
    if document:
        return target_from_json(document)
    labels: list[Label] = manifest["labels"] or []
    if labels and manifest["multilabel"]:
        return LabelsTarget(tuple(str(label) for label in labels))
    if labels:
        return ClassTarget("", _label_type(labels), tuple(labels))
    width = 1
    for length in manifest["signature"]["outputs"][0]["shape"][1:]:
        width *= int(length)
    return ValueTarget(("",) * width, (0.0,) * width, (1.0,) * width)


def _plan(resolved: dict[str, Any], warnings: list[dict[str, Any]], model: ReadModel) -> BatchPlan:
    rows = sum(source["rows"] for source in resolved["sources"])
    resolved["rows"] = rows
    values = 0
    for column in model.columns_read:
        size = 1
        for length in column.get("shape") or ():
            size *= max(1, int(length))
        values += size
    seconds = SECONDS_OF_START + rows * (2 * model.parameters / OPERATIONS_PER_SECOND + values * SECONDS_PER_VALUE)
    memory = MEMORY_OF_START_BYTES + 2 * model.bytes
    return BatchPlan(resolved, warnings, rows, model.parameters, memory, round(seconds, 1))


def _sources(data: Mapping[str, StoredDataset], split: str | None) -> list[dict[str, Any]]:
    """Return the runs of rows that are read, in order: role, official split, number of the first row, rows."""
    if "all" not in data:
        if split is not None:
            raise Unprocessable("split: the data sets are named by split already; leave it out.", param="split")
        return [{"role": role, "split": None, "first": 0, "rows": data[role].rows} for role in SPLITS if role in data]
    stored = data["all"]
    if not stored.splits:
        if split is not None:
            raise Unprocessable("split: the data set has no official splits; leave it out.", param="split")
        return [{"role": "all", "split": None, "first": 0, "rows": stored.rows}]
    if split is not None and split not in stored.splits:
        known = ", ".join(name for name in SPLITS if name in stored.splits)
        raise Unprocessable(f"split: the data set has no split '{split}'; it has {known}.", param="split")
    sources, first = [], 0
    for name in SPLITS:
        if name in stored.splits:
            if split in (None, name):
                sources.append({"role": "all", "split": name, "first": first, "rows": stored.splits[name]})
            first += stored.splits[name]
    return sources


def _label_type(labels: Sequence[Label]) -> str:
    if all(isinstance(label, str) for label in labels):
        return "category"
    if all(isinstance(label, bool) for label in labels):
        return "boolean"
    return "integer" if all(isinstance(label, int) for label in labels) else "number"
