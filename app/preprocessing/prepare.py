"""From stored data sets to what a trainer reads: cleaned, split, fitted on the training rows, checked.

The dry run and the trainer call the same function, so what a client was told is what is trained on. What depends on
the kind of data (a table, images) is the family's, by `resolved["family"]`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

import numpy as np
from numpy.typing import NDArray

from app.core.errors import Unprocessable
from app.preprocessing import findings
from app.preprocessing.base_rows import BaseRows, Fitted, continued_target
from app.preprocessing.clean import hash_table
from app.preprocessing.columns import Column, ColumnArrays, RowSource, Table
from app.preprocessing.fitted import FittedRows
from app.preprocessing.image_rows import ImageRows
from app.preprocessing.labels import ClassTarget, LabelsTarget, Target, ValueTarget, label_key
from app.preprocessing.partition import Draft, Resolved, compared_names, main_source, read_splits, target_names
from app.preprocessing.ragged import Kept
from app.preprocessing.reconcile import reconcile_labels
from app.preprocessing.split import TRAIN
from app.preprocessing.tabular_rows import TabularRows
from app.preprocessing.text_rows import TextRows

# float32 sums a million of these.
MAX_WEIGHT = 1e30


class Preparation(Protocol):
    """What is particular to one family of data. `draft` holds the rows of each split as they were read."""

    def choose_inputs(self, draft: Draft, inputs: Sequence[Column], resolved: Resolved) -> list[Column]:
        """Return which of the input columns are read; Unprocessable where none is left."""

    def fit(
        self,
        draft: Draft,
        read: Sequence[Column],
        ignored: Sequence[Column],
        target: Target,
        resolved: Resolved,
        *,
        only_look: bool,
    ) -> FittedRows:
        """Return what turns rows into inputs of a network, fitted on the training rows only."""

    def find(self, draft: Draft, read: Sequence[Column], target: Target, encoded: NDArray[Any]) -> list[dict[str, Any]]:
        """Return warnings of what is suspicious in the inputs; `encoded` are the targets of the training rows."""


FAMILIES: Final[dict[str, Preparation]] = {"tabular": TabularRows(), "images": ImageRows(), "text": TextRows()}


@dataclass(frozen=True)
class Split:
    """One split, ready for the network. `rows` are the row numbers in the data set (of its own file, where it has one).

    `inputs` by name, as the trainer keeps them (`FittedRows.keep`); `target` (N,) int32 classes, (N, L) float32 labels
    or (N, V) float32 standardised values; `weight` (N,) float32; `raw` the input columns as they were read.
    """

    inputs: dict[str, Kept]
    target: NDArray[Any]
    weight: NDArray[np.float32] | None
    rows: NDArray[np.int64]
    raw: ColumnArrays

    def __len__(self) -> int:
        return len(self.rows)


@dataclass(frozen=True)
class Prepared:
    """Everything a trainer needs of the data. `class_weight` has one weight a class, in output order, or is None."""

    splits: dict[str, Split]
    preprocessing: FittedRows
    class_weight: list[float] | None
    warnings: list[dict[str, Any]]
    notes: list[str]
    counts: dict[str, int]


def prepare(
    resolved: Resolved, data: Mapping[str, RowSource], *, only_look: bool = False, base: Fitted | None = None
) -> Prepared:
    """Read, clean, split, fit and transform what `resolved` names; `data` by role: "all", or the splits' names.

    Deterministic. With `only_look` the splits have no inputs and no raw columns. `base`: the preprocessing of the model
    that the job starts from. Raises Unprocessable, with the field of the request, for data that cannot be trained on.
    """
    # Jobs of the first release name no family.
    family = FAMILIES[resolved.get("family", "tabular")]
    if base is not None and isinstance(family, TabularRows):
        family = BaseRows(base, family.find)
    roles, clean = resolved["columns"], resolved["preprocessing"]["clean"]
    types = {column.name: column for column in main_source(data).columns}
    draft = read_splits(resolved, data)
    read = family.choose_inputs(draft, [types[name] for name in roles["input"]], resolved)
    target = fit_target(resolved, types, draft.tables[TRAIN])
    if base is not None:
        target = continued_target(base, resolved, types[target_names(roles)[0]].type) or target
    if isinstance(target, ClassTarget):
        _match_labels(draft, target, compared_names(roles), clean)
    ignored = [column for name, column in types.items() if name not in {one.name for one in read}]
    preprocessing = family.fit(draft, read, ignored, target, resolved, only_look=only_look)
    finished = [] if only_look else read
    splits = {
        name: _finish(table, preprocessing, finished, roles.get("weight")) for name, table in draft.tables.items()
    }
    draft.warnings += family.find(draft, read, target, splits[TRAIN].target)
    _warn(draft, splits, target)
    draft.counts.update({name: len(split) for name, split in splits.items()})
    return Prepared(
        splits=splits,
        preprocessing=preprocessing,
        class_weight=class_weights(resolved["training"].get("class_weight"), target, splits[TRAIN].target),
        warnings=draft.warnings,
        notes=draft.notes,
        counts=draft.counts,
    )


def fit_target(resolved: Resolved, types: Mapping[str, Column], train: Table) -> Target:
    """Return the target as training rows define it. Raises Unprocessable where there is nothing to tell apart."""
    names = target_names(resolved["columns"])
    if resolved["task"] == "regression":
        return ValueTarget.fit(train.columns, names)
    if resolved["multilabel"]:
        return LabelsTarget(tuple(names))
    target = ClassTarget.fit(train.columns, names[0], types[names[0]].type, resolved["preprocessing"]["clean"]["strip"])
    if len(target.labels) < 2:
        seen = f"only {target.labels[0]!r}" if target.labels else "no class"
        raise Unprocessable(
            f"The training rows have {seen} in '{names[0]}': at least two classes are needed.", param="columns.target"
        )
    return target


def class_weights(asked: Any, target: Target, encoded: NDArray[Any]) -> list[float] | None:
    """Return one weight a class; "balanced" is rows / (classes · rows of the class), as scikit-learn has it."""
    if asked is None or isinstance(target, ValueTarget):
        return None
    if isinstance(asked, Mapping):
        return [float(asked.get(label_key(label), 1.0)) for label in target.labels]
    if isinstance(target, LabelsTarget):
        return None
    counts = np.bincount(encoded, minlength=target.width)
    return [float(len(encoded) / (target.width * max(int(count), 1))) for count in counts]


def _match_labels(draft: Draft, target: ClassTarget, compared: list[str], clean: dict[str, Any]) -> None:
    """Bring the labels of the other splits to those of training, where they are the same but for their spelling."""
    for name, table in list(draft.tables.items()):
        if name != TRAIN and len(table):
            matched, warnings = reconcile_labels(name, table, target, clean["strip"])
            # Only the spelling of labels changed: the rows are compared as they are read now.
            draft.tables[name] = matched if matched.hashes is not None else hash_table(matched, compared, clean)
            draft.warnings += warnings


def _finish(table: Table, fitted: FittedRows, read: list[Column], weight: str | None) -> Split:
    weights = None
    if weight is not None:
        weights = _weights(weight, table.columns[weight])
    return Split(
        inputs=dict(fitted.keep(table.columns)) if read else {},
        target=fitted.encode_target(table.columns),
        weight=weights,
        rows=table.rows,
        raw={column.name: table.columns[column.name] for column in read},
    )


def _weights(name: str, values: NDArray[Any]) -> NDArray[np.float32]:
    wrong = int((~np.isfinite(values) | (values < 0) | (values > MAX_WEIGHT)).sum())
    if wrong:
        raise Unprocessable(f"{wrong} rows have no '{name}' from 0 to {MAX_WEIGHT:g}.", param="columns.weight")
    if len(values) and not values.any():
        raise Unprocessable(f"'{name}' is 0 in every row of a split.", param="columns.weight")
    return values.astype(np.float32)


def _warn(draft: Draft, splits: dict[str, Split], target: Target) -> None:
    counts = draft.counts
    draft.warnings += findings.shared_rows(draft.tables)
    draft.warnings += findings.class_findings(target, {name: split.target for name, split in splits.items()})
    if counts["duplicates_kept"]:
        message = f"{counts['duplicates_kept']} of {counts['rows']} rows equal an earlier row; they are kept."
        draft.warnings.append(findings.warn("duplicates_kept", message, None, rows=counts["duplicates_kept"]))
    if counts["duplicates"]:
        draft.notes.append(f"{counts['duplicates']} rows equal to an earlier row were removed.")
    if counts["missing_target"]:
        draft.notes.append(f"{counts['missing_target']} rows without a target were removed.")
