"""What is suspicious in the data: said before training, as it makes a first model look perfect and be worthless."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.preprocessing.columns import Column, Table, factorize
from app.preprocessing.labels import ClassTarget, LabelsTarget, Target, ValueTarget
from app.preprocessing.oracle import SAMPLE_ROWS, classes_told, values_told
from app.preprocessing.split import SPLITS, TRAIN

Warning_ = dict[str, Any]

# A column counts as telling the target when it alone, asked about rows it was not fitted on, leaves less than 1 % of
# what a constant answer gets wrong. Columns that are merely strong stay far below, measured the same way: the best
# single columns explain 89 % (irises, petal width), 74 % (breast cancer, worst area), 70 % (weight of penguins),
# 54 % (their species), 49 % (prices in California); of titanic `sex` explains 44 % and the leaking `alive` all of it.
TOLD = 0.99
# With fewer rows of the rarer classes a perfect score is luck.
LEAST_HITS = 10
MAX_ELEMENTS = 256
SAMPLE_CELLS = 2_000_000
IMBALANCE = 20.0


def warn(code: str, message: str, column: str | None = None, **figures: Any) -> Warning_:
    """Return a warning as the API shows it."""
    return {"code": code, "column": column, "message": message, "figures": figures}


def telling_columns(train: Table, inputs: Sequence[Column], target: Target, encoded: NDArray[Any]) -> list[Warning_]:
    """Warn of every input that alone tells the target, by a one-column predictor cross-fitted on a sample."""
    index = _sample(len(train), len(inputs))
    found = []
    for column in inputs:
        shares = [_told(values, target, encoded[index]) for values in _views(column, train.columns[column.name][index])]
        share = max(shares, default=0.0)
        if share >= TOLD:
            message = (
                f"Column '{column.name}' alone tells the target: it explains {share:.1%} of what a constant answer "
                "gets wrong. If it is not known before the target is, exclude it."
            )
            found.append(warn("target_leak", message, column.name, explained=round(share, 4), rows=len(index)))
    return found


def shared_rows(tables: Mapping[str, Table]) -> list[Warning_]:
    """Warn of rows that occur in two splits, target included; by the tables' hashes."""
    hashes = {name: table.hashes for name, table in tables.items() if table.hashes is not None and len(table)}
    found = []
    for position, second in enumerate(SPLITS):
        for first in SPLITS[:position]:
            if first in hashes and second in hashes:
                shared = _count_shared(hashes[first], hashes[second])
                if shared:
                    share = shared / len(hashes[second])
                    message = (
                        f"{shared} rows of {second} ({share:.2%}) are also in {first}: figures on them are too good."
                    )
                    found.append(
                        warn("rows_shared", message, None, split=second, other=first, rows=shared, share=share)
                    )
    return found


def _count_shared(first: NDArray[np.uint64], second: NDArray[np.uint64]) -> int:
    ordered = np.sort(first)
    place = np.minimum(np.searchsorted(ordered, second), len(ordered) - 1)
    return int((ordered[place] == second).sum())


def class_findings(target: Target, encoded: Mapping[str, NDArray[Any]]) -> list[Warning_]:
    """Warn of classes that a split lacks, and of classes much rarer than the commonest."""
    if isinstance(target, ValueTarget):
        return []
    labels = list(target.labels)
    counts = {name: _counts(target, values) for name, values in encoded.items()}
    found = []
    for split, count in counts.items():
        absent = [labels[index] for index in np.flatnonzero(count == 0).tolist()]
        if absent and len(encoded[split]):
            shown = ", ".join(map(repr, absent[:10])) + (" …" if len(absent) > 10 else "")
            message = f"Split '{split}' has no row of {len(absent)} of the {len(labels)} classes: {shown}."
            found.append(warn("class_missing", message, None, split=split, labels=absent[:10], classes=len(absent)))
    train = counts[TRAIN]
    if isinstance(target, ClassTarget) and len(train) and train.max() >= IMBALANCE * max(int(train.min()), 1):
        rarest, commonest = labels[int(train.argmin())], labels[int(train.argmax())]
        message = (
            f"Class {commonest!r} has {int(train.max())} training rows, {rarest!r} {int(train.min())}. Accuracy says "
            'little here; consider training.class_weight "balanced".'
        )
        found.append(
            warn("class_imbalance", message, target.column, largest=int(train.max()), smallest=int(train.min()))
        )
    return found


def _counts(target: ClassTarget | LabelsTarget, values: NDArray[Any]) -> NDArray[np.int64]:
    if isinstance(target, LabelsTarget):
        sums: NDArray[np.int64] = values.sum(axis=0).astype(np.int64)
        return sums
    return np.bincount(values[values >= 0], minlength=target.width).astype(np.int64)


def _sample(rows: int, columns: int) -> NDArray[np.int64]:
    # Ten thousand columns are looked at through fewer rows each: a second in all, instead of a minute.
    most = max(500, min(SAMPLE_ROWS, SAMPLE_CELLS // columns))
    if rows <= most:
        return np.arange(rows)
    return np.sort(np.random.default_rng(rows).choice(rows, most, replace=False))


def _views(column: Column, values: NDArray[Any]) -> list[NDArray[np.float64]]:
    """A column as one or more arrays of numbers, NaN for missing; categories as codes."""
    if values.dtype == object:
        codes = factorize(values, strip=True)[0].astype(np.float64)
        codes[codes < 0] = np.nan
        return [codes]
    if values.ndim == 1:
        return [values.astype(np.float64)]
    flat = values.reshape(len(values), -1)
    return [flat[:, index].astype(np.float64) for index in range(flat.shape[1] if flat.shape[1] <= MAX_ELEMENTS else 0)]


def _told(values: NDArray[np.float64], target: Target, encoded: NDArray[Any]) -> float:
    if isinstance(target, ClassTarget):
        return classes_told(values, encoded, target.width, LEAST_HITS)
    if isinstance(target, LabelsTarget):
        shares = [
            classes_told(values, encoded[:, index].astype(np.int64), 2, LEAST_HITS) for index in range(target.width)
        ]
        return max(shares, default=0.0)
    return max((values_told(values, encoded[:, index]) for index in range(target.width)), default=0.0)
