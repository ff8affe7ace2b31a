"""Jobs that run a finished model over a data set: checked against both, every default filled, nothing queued yet."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from app.core.errors import Unprocessable
from app.datasets.stored import SPLITS, StoredDataset
from app.inference.catalogue import format_ref
from app.inference.table import PredictionTable
from app.jobs.requests import EvaluateRequest, PredictRequest, ReadColumns
from app.preprocessing.columns import NUMERIC_TYPES, TEXTUAL_TYPES, Column
from app.preprocessing.labels import ClassTarget, Label, LabelsTarget, Target, ValueTarget, target_from_json

SHOWN = 30
ID_TYPES = NUMERIC_TYPES | TEXTUAL_TYPES | {"datetime"}
# Words that may be read as these, row by row: a row whose word is none is reported, and stops nothing.
READ_FROM_WORDS = NUMERIC_TYPES | {"datetime"}
# Of one thread, a multiplication and an addition; an order of magnitude, as in the estimate of a training.
OPERATIONS_PER_SECOND = 10e9
SECONDS_PER_VALUE = 0.3e-6
SECONDS_OF_START = 1.0
MEMORY_OF_START_BYTES = 200 * 2**20
SEED = 7


@dataclass(frozen=True)
class ReadModel:
    """A model version that a job reads: what its row and its bundle's `preprocessing.json` say."""

    name: str
    version: int
    recipe: str | None
    parameters: int
    bytes: int
    manifest: dict[str, Any]
    preprocessing: dict[str, Any]
    instance_columns: list[dict[str, Any]]

    @property
    def ref(self) -> str:
        """The version by its number."""
        return format_ref(self.name, self.version)

    @property
    def columns_read(self) -> list[dict[str, Any]]:
        """The columns that the model reads, without those that it only knows of."""
        return [column for column in self.instance_columns if not column.get("ignored")]


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
    inputs, warnings = _inputs(request.columns, model, data)
    table = prediction_table(model.manifest, model.preprocessing)
    if request.columns.id is not None:
        taken = ["row", "split", "error", *(column.name for column in table.columns)]
        _check_id(request.columns.id, data, taken)
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
    inputs, warnings = _inputs(request.columns, model, {"all": data})
    target = truth_of(model.manifest, model.preprocessing)
    names = _target_columns(request.columns.target, target, model, data)
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


def _inputs(
    asked: ReadColumns, model: ReadModel, data: Mapping[str, StoredDataset]
) -> tuple[dict[str, str], list[dict[str, Any]]]:
    """Return the data set's column by the model's, and what is suspicious about them."""
    read = model.columns_read
    names = _input_names(asked, model)
    warnings: list[dict[str, Any]] = []
    for role, stored in data.items():
        columns: dict[str, Column] = {column.name: column for column in stored.columns}
        where = "The data set" if role == "all" else f"Data set '{role}'"
        for column in read:
            name = names[column["name"]]
            found = columns.get(name)
            if found is None:
                raise Unprocessable(
                    f"columns.input: {where[0].lower()}{where[1:]} has no column '{name}', which {model.ref} reads. "
                    f"Its columns: {_listed(list(columns))}.",
                    code="column_missing",
                    param="columns.input",
                )
            if _check_type(column, found, model.ref):
                warnings.append(
                    {
                        "code": "words_for_values",
                        "column": name,
                        "message": f"Column '{name}' holds words, and {model.ref} reads values of type "
                        f"{column['type']}; rows whose word is none are not predicted.",
                        "figures": {},
                    }
                )
    return names, warnings


def _input_names(asked: ReadColumns, model: ReadModel) -> dict[str, str]:
    read = [str(column["name"]) for column in model.columns_read]
    if asked.input is None:
        return {name: name for name in read}
    if isinstance(asked.input, dict):
        for name in asked.input:
            if name not in read:
                raise _not_read(name, f"columns.input.{name}", model, read)
        return {name: asked.input.get(name, name) for name in read}
    if len(read) == 1 and len(asked.input) == 1:
        return {read[0]: asked.input[0]}
    for index, name in enumerate(asked.input):
        if name not in read:
            raise _not_read(name, f"columns.input[{index}]", model, read)
    for name in read:
        if name not in asked.input:
            raise Unprocessable(
                f"columns.input: {model.ref} reads '{name}' too; its columns: {_listed(read)}.",
                code="column_missing",
                param="columns.input",
            )
    return {name: name for name in read}


def _not_read(name: str, param: str, model: ReadModel, read: list[str]) -> Unprocessable:
    return Unprocessable(
        f"{param}: {model.ref} reads no column '{name}'; it reads {_listed(read)}. Where the data set calls a column "
        'otherwise, send {"column of the model": "column of the data set"}.',
        code="column_missing",
        param=param,
    )


def _check_type(column: Mapping[str, Any], found: Column, ref: str) -> bool:
    """Tell whether words are to be read as values; raise Unprocessable where the types do not fit."""
    wanted = str(column["type"])
    shape = tuple(column.get("shape") or ())
    if wanted in NUMERIC_TYPES and found.type in NUMERIC_TYPES:
        return False
    if wanted in TEXTUAL_TYPES and found.type in TEXTUAL_TYPES:
        return False
    if wanted in READ_FROM_WORDS and found.type in TEXTUAL_TYPES:
        return True
    if wanted == "array" and found.type in NUMERIC_TYPES and shape in ((), (1,)):
        return False
    fits = found.type == wanted and (wanted != "array" or tuple(found.shape or ()) == shape)
    if not fits:
        told = f"{wanted} of shape {list(shape)}" if wanted == "array" else wanted
        has = f"{found.type} of shape {list(found.shape or ())}" if found.type == "array" else found.type
        raise Unprocessable(
            f"columns.input: '{found.name}' is of type {has}; {ref} reads {told}. "
            'The field "types" of its upload can say so.',
            code="column_type",
            param="columns.input",
        )
    return False


def _check_id(name: str, data: Mapping[str, StoredDataset], taken: Sequence[str]) -> None:
    types = set()
    for stored in data.values():
        columns = {column.name: column for column in stored.columns}
        if name not in columns:
            raise Unprocessable(
                f"columns.id: the data set has no column '{name}'. Its columns: {_listed(list(columns))}.",
                code="column_missing",
                param="columns.id",
            )
        types.add(columns[name].type)
    if len(types) > 1 or not types <= ID_TYPES:
        raise Unprocessable(
            f"columns.id: '{name}' is of type {', '.join(sorted(types))}; one of {', '.join(sorted(ID_TYPES))} "
            "is needed.",
            code="column_type",
            param="columns.id",
        )
    if name in taken:
        raise Unprocessable(
            f"columns.id: '{name}' is also the name of a column of the predictions.",
            code="column_conflict",
            param="columns.id",
        )


def _target_columns(asked: str | list[str] | None, target: Target, model: ReadModel, data: StoredDataset) -> list[str]:
    known = [target.column] if isinstance(target, ClassTarget) else list(target.columns)
    if asked is None and not all(known):
        raise Unprocessable(
            f"columns.target: {model.ref} does not say which column it predicts; name it.",
            code="column_missing",
            param="columns.target",
        )
    names = known if asked is None else [asked] if isinstance(asked, str) else asked
    if len(names) != len(known):
        raise Unprocessable(
            f"columns.target: {model.ref} predicts {len(known)} column(s); name as many.", param="columns.target"
        )
    columns = {column.name: column for column in data.columns}
    for name in names:
        if name not in columns:
            raise Unprocessable(
                f"columns.target: the data set has no column '{name}'. Its columns: {_listed(list(columns))}.",
                code="column_missing",
                param="columns.target",
            )
        textual = isinstance(target, ClassTarget) and target.type in TEXTUAL_TYPES
        if columns[name].type not in (TEXTUAL_TYPES if textual else NUMERIC_TYPES):
            raise Unprocessable(
                f"columns.target: '{name}' is of type {columns[name].type}; {model.ref} predicts "
                f"{'words' if textual else 'numbers'}.",
                code="column_type",
                param="columns.target",
            )
    return names


def _label_type(labels: Sequence[Label]) -> str:
    if all(isinstance(label, str) for label in labels):
        return "category"
    if all(isinstance(label, bool) for label in labels):
        return "boolean"
    return "integer" if all(isinstance(label, int) for label in labels) else "number"


def _listed(names: list[str]) -> str:
    more = f" … ({len(names)} in all)" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more if names else "none"
