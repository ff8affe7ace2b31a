"""Whether the target can be learned from these rows: looked at whole, before anything is queued."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.core.errors import Unprocessable
from app.preprocessing.columns import Column, RowSource, present
from app.preprocessing.labels import Label, label_codes
from app.preprocessing.partition import main_source
from app.preprocessing.split import TRAIN

MAX_CLASSES = 10_000
# Numbers with a fraction and more different values than this are measured, not counted.
MAX_FRACTIONAL_CLASSES = 100


@dataclass(frozen=True)
class TargetFacts:
    """What a submission knows of the target: labels in output order (none for values) and how many rows have each."""

    labels: tuple[Label, ...]
    counts: tuple[int, ...]
    rows: int


def read_target(task: str, targets: list[str], data: Mapping[str, RowSource], clean: Mapping[str, Any]) -> TargetFacts:
    """Return what the training rows' target is. Raises Unprocessable where nothing could be learned from it."""
    source = main_source(data)
    split = TRAIN if source.splits and "all" in data else None
    columns = {column.name: column for column in source.columns}
    read = source.read(targets, split)
    if not clean["drop_missing_target"]:
        _demand_all(read, targets)
    if task == "regression":
        return _values(read[targets[0]], targets)
    if len(targets) > 1:
        return _labels(read, targets)
    return _classes(read[targets[0]], columns[targets[0]], bool(clean["strip"]))


def _demand_all(read: Mapping[str, NDArray[Any]], targets: list[str]) -> None:
    for name in targets:
        missing = int((~present(read[name])).sum())
        if missing:
            raise Unprocessable(
                f"columns.target: {missing} rows have no '{name}', and "
                "preprocessing.clean.drop_missing_target is false.",
                param="columns.target",
            )


def _values(column: NDArray[Any], targets: list[str]) -> TargetFacts:
    if len(targets) > 1:
        raise Unprocessable("columns.target: a regression predicts one column; name one.", param="columns.target")
    known = column[np.isfinite(column)]
    if len(known) == 0 or known.min() == known.max():
        what = "no value" if len(known) == 0 else f"the value {known[0]:g} in every row"
        raise Unprocessable(
            f"columns.target: '{targets[0]}' has {what}; there is nothing to learn.", param="columns.target"
        )
    return TargetFacts((), (), len(known))


def _labels(read: Mapping[str, NDArray[Any]], targets: list[str]) -> TargetFacts:
    counts = []
    for index, name in enumerate(targets):
        column = read[name]
        values = set(np.unique(column[np.isfinite(column)]).tolist()) if column.dtype != object else None
        if values is None or not values <= {0.0, 1.0}:
            raise Unprocessable(
                f"columns.target[{index}]: with several targets each is yes or no; '{name}' must hold "
                "booleans, or 0 and 1.",
                param=f"columns.target[{index}]",
            )
        if len(values) < 2:
            raise Unprocessable(
                f"columns.target[{index}]: '{name}' is the same in every row; there is nothing to learn.",
                param=f"columns.target[{index}]",
            )
        counts.append(int(np.nansum(column)))
    return TargetFacts(tuple(targets), tuple(counts), len(next(iter(read.values()))))


def _classes(column: NDArray[Any], info: Column, strip: bool) -> TargetFacts:
    codes, labels = label_codes(column, info.type, strip)
    counts = np.bincount(codes[codes >= 0], minlength=len(labels))
    rows = int(counts.sum())
    if len(labels) < 2:
        seen = f"only the class {labels[0]!r}" if labels else "no value"
        raise Unprocessable(
            f"columns.target: '{info.name}' has {seen}; at least two classes are needed.", param="columns.target"
        )
    fractional = info.type == "number" and any(not float(label).is_integer() for label in labels)
    too_many = len(labels) > MAX_CLASSES or (len(labels) > 2 and len(labels) > rows / 2)
    if too_many or (fractional and len(labels) > MAX_FRACTIONAL_CLASSES):
        other = " To predict a number use tabular-regression." if column.dtype != object else ""
        raise Unprocessable(
            f"columns.target: '{info.name}' has {len(labels)} different values in {rows} rows: "
            f"too many for classes.{other}",
            param="columns.target",
        )
    return TargetFacts(tuple(labels), tuple(int(count) for count in counts), rows)
