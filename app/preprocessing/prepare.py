"""From stored data sets to what a trainer reads: cleaned, split, fitted on the training rows, checked.

The dry run and the trainer call the same function, so what a client was told is what is trained on.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.core.errors import Unprocessable
from app.preprocessing import findings
from app.preprocessing.clean import drop_rows, hash_table
from app.preprocessing.columns import Column, ColumnArrays, RowSource, Table, factorize, present
from app.preprocessing.labels import ClassTarget, LabelsTarget, Target, ValueTarget
from app.preprocessing.reconcile import reconcile_labels
from app.preprocessing.selection import Dropped, find_dropped
from app.preprocessing.split import SPLITS, TEST, TRAIN, VALIDATION, SplitKeys, draw_splits
from app.preprocessing.tabular import Options, TabularPreprocessing

Resolved = Mapping[str, Any]


@dataclass(frozen=True)
class Split:
    """One split, ready for the network. `rows` are the row numbers in the data set (of its own file, where it has one).

    `inputs` by input name; `target` (N,) int32 classes, (N, L) float32 labels or (N, V) float32 standardised values;
    `weight` (N,) float32; `raw` the input columns as they were read.
    """

    inputs: dict[str, NDArray[Any]]
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
    preprocessing: TabularPreprocessing
    class_weight: list[float] | None
    warnings: list[dict[str, Any]]
    notes: list[str]
    counts: dict[str, int]


@dataclass
class _Draft:
    tables: dict[str, Table]
    counts: dict[str, int] = field(default_factory=dict)
    warnings: list[dict[str, Any]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def prepare(resolved: Resolved, data: Mapping[str, RowSource]) -> Prepared:
    """Read, clean, split, fit and transform what `resolved` names; `data` by role: "all", or the splits' names.

    Deterministic. Raises Unprocessable, with the field of the request, for data that cannot be trained on.
    """
    roles, clean = resolved["columns"], resolved["preprocessing"]["clean"]
    targets = target_names(roles)
    types = {column.name: column for column in main_source(data).columns}
    draft = _read_splits(resolved, data, targets)
    train = draft.tables[TRAIN]
    inputs = [types[name] for name in roles["input"]]
    read = _choose_inputs(draft, train, inputs, clean, bool(roles.get("input_named")))
    target = fit_target(resolved, types, train)
    if isinstance(target, ClassTarget):
        _match_labels(draft, target, compared_names(roles), clean)
    ignored = [column for name, column in types.items() if name not in {one.name for one in read}]
    preprocessing = TabularPreprocessing.fit(train.columns, read, ignored, target, _options(resolved))
    splits = {name: _finish(table, preprocessing, read, roles.get("weight")) for name, table in draft.tables.items()}
    _warn(draft, splits, read, target)
    draft.counts.update({name: len(split) for name, split in splits.items()})
    return Prepared(
        splits=splits,
        preprocessing=preprocessing,
        class_weight=class_weights(resolved["training"].get("class_weight"), target, splits[TRAIN].target),
        warnings=draft.warnings,
        notes=draft.notes,
        counts=draft.counts,
    )


def main_source(data: Mapping[str, RowSource]) -> RowSource:
    """Return the data set that the training rows come from."""
    return data["all"] if "all" in data else data[TRAIN]


def target_names(roles: Mapping[str, Any]) -> list[str]:
    """Return the target columns as a list."""
    target = roles["target"]
    return list(target) if isinstance(target, list) else [target]


def compared_names(roles: Mapping[str, Any]) -> list[str]:
    """Return the columns in which two rows must agree to be the same: inputs, targets, weight, group and time."""
    others = [roles[role] for role in ("weight", "group", "time") if roles.get(role)]
    return list(dict.fromkeys([*roles["input"], *target_names(roles), *others]))


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


def label_key(label: object) -> str:
    """Return the JSON object key that stands for a label: a text as it is, true and false, and numbers as JSON."""
    if isinstance(label, bool):
        return "true" if label else "false"
    return str(label)


def _read_splits(resolved: Resolved, data: Mapping[str, RowSource], targets: list[str]) -> _Draft:
    """Read the splits that came as such, and cut the others from the rows there are."""
    roles, options = resolved["columns"], resolved["preprocessing"]
    given = _given_tables(data, compared_names(roles))
    compared = compared_names(roles)
    draft = _Draft({})
    whole = given.pop("all", None)
    base = given.pop(TRAIN) if whole is None else whole
    base, draft.counts = drop_rows(base, targets, compared, options["clean"], copies_too=True)
    shares = cut_shares(options["split"], set(given) | ({TRAIN} if whole is None else set()))
    cut = _cut(base, shares, resolved, targets)
    for name in SPLITS:
        if name in given:
            # A validation or test set that came as such is used as it is: only rows without an answer go.
            table, counts = drop_rows(given[name], targets, compared, options["clean"], copies_too=False)
            draft.counts["missing_target"] += counts["missing_target"]
            draft.counts["rows"] += counts["rows"]
            draft.tables[name] = table
        elif name in cut:
            draft.tables[name] = cut[name]
    for name, table in draft.tables.items():
        if not len(table) and (name == TRAIN or shares.get(name, 1.0) > 0):
            raise Unprocessable(
                f"{draft.counts['rows']} rows, {len(base)} of them usable, are too few: split '{name}' would be empty.",
                param="preprocessing.split",
            )
    return draft


def _given_tables(data: Mapping[str, RowSource], names: list[str]) -> dict[str, Table]:
    """The rows as they came: under "all", or under the names of the splits."""
    source = data.get("all")
    if source is None:
        return {role: _table(one.read(names)) for role, one in data.items()}
    if not source.splits:
        return {"all": _table(source.read(names))}
    return {split: _table(source.read(names, split)) for split in source.splits}


def _table(columns: ColumnArrays) -> Table:
    return Table(columns, np.arange(len(next(iter(columns.values()))), dtype=np.int64))


def cut_shares(split: Mapping[str, Any], given: set[str]) -> dict[str, float]:
    """Return the shares in which the rows that are not in a split yet are cut; `given` splits came as such."""
    shares = {TRAIN: float(split[TRAIN])}
    for name in (VALIDATION, TEST):
        if name not in given and split[name] > 0:
            shares[name] = float(split[name])
    return shares


def _cut(base: Table, shares: dict[str, float], resolved: Resolved, targets: list[str]) -> dict[str, Table]:
    split, roles = resolved["preprocessing"]["split"], resolved["columns"]
    if list(shares) == [TRAIN]:
        return {TRAIN: base}
    keys = SplitKeys(
        classes=_codes(base.columns[targets[0]]) if split["method"] == "stratified" else None,
        groups=_codes(base.columns[roles["group"]]) if split["method"] == "group" else None,
        times=_times(base, roles) if split["method"] == "time" else None,
    )
    drawn = draw_splits(len(base), shares, split["method"], split["seed"], keys)
    return {name: base.take(index) for name, index in drawn.items()}


def _codes(column: NDArray[Any]) -> NDArray[np.int64]:
    if column.dtype == object:
        return factorize(column, strip=True)[0]
    return np.unique(column, return_inverse=True)[1].astype(np.int64)


def _times(base: Table, roles: Mapping[str, Any]) -> NDArray[np.float64]:
    times = base.columns[roles["time"]]
    missing = int((~present(times)).sum())
    if missing:
        raise Unprocessable(f"{missing} rows have no '{roles['time']}' to be split by.", param="columns.time")
    return times.astype(np.float64)


def _choose_inputs(
    draft: _Draft, train: Table, inputs: list[Column], clean: dict[str, Any], are_named: bool
) -> list[Column]:
    named = frozenset(column.name for column in inputs) if are_named else frozenset()
    dropped, kept = find_dropped(train, inputs, clean, named)
    names = {one.name for one in dropped}
    read = [column for column in inputs if column.name not in names]
    if not read:
        raise Unprocessable("No input is left: " + " ".join(one.message for one in dropped), param="columns.input")
    for one in dropped:
        switch = "drop_constant" if one.code == "constant" else "drop_identifiers"
        hint = f"It is left out; preprocessing.clean.{switch} false keeps it."
        draft.warnings.append(findings.warn(f"column_dropped_{one.code}", f"{one.message} {hint}", one.name))
    draft.warnings += [_kept(one) for one in kept if one.code != "constant"]
    return read


def _kept(one: Dropped) -> dict[str, Any]:
    return findings.warn("id_like_column", f"{one.message} It is read, and says nothing about new rows.", one.name)


def _match_labels(draft: _Draft, target: ClassTarget, compared: list[str], clean: dict[str, Any]) -> None:
    """Bring the labels of the other splits to those of training, where they are the same but for their spelling."""
    for name, table in list(draft.tables.items()):
        if name != TRAIN and len(table):
            matched, warnings = reconcile_labels(name, table, target, clean["strip"])
            # Only the spelling of labels changed: the rows are compared as they are read now.
            draft.tables[name] = matched if matched.hashes is not None else hash_table(matched, compared, clean)
            draft.warnings += warnings


def _options(resolved: Resolved) -> Options:
    options = resolved["preprocessing"]
    embeddings = resolved["params"]["architecture"].get("number_embeddings") or {}
    return Options(
        strip=options["clean"]["strip"],
        lowercase=options["clean"]["lowercase"],
        impute=options["clean"]["impute"],
        scaling=options["numbers"]["scaling"],
        min_count=options["categories"]["min_count"],
        max_categories=options["categories"]["max_size"],
        bins=int(embeddings.get("bins", 0)) if embeddings.get("type") == "piecewise-linear" else 0,
    )


def _finish(table: Table, fitted: TabularPreprocessing, read: list[Column], weight: str | None) -> Split:
    weights = None
    if weight is not None:
        values = table.columns[weight]
        wrong = int((~np.isfinite(values) | (values < 0)).sum())
        if wrong:
            raise Unprocessable(f"{wrong} rows have no '{weight}' of 0 or more.", param="columns.weight")
        weights = values.astype(np.float32)
    return Split(
        inputs=fitted.transform(table.columns),
        target=fitted.encode_target(table.columns),
        weight=weights,
        rows=table.rows,
        raw={column.name: table.columns[column.name] for column in read},
    )


def _warn(draft: _Draft, splits: dict[str, Split], read: list[Column], target: Target) -> None:
    counts = draft.counts
    draft.warnings += findings.telling_columns(draft.tables[TRAIN], read, target, splits[TRAIN].target)
    draft.warnings += findings.shared_rows(draft.tables)
    draft.warnings += findings.class_findings(target, {name: split.target for name, split in splits.items()})
    if counts["duplicates_kept"]:
        message = f"{counts['duplicates_kept']} of {counts['rows']} rows equal an earlier row; they are kept."
        draft.warnings.append(findings.warn("duplicates_kept", message, None, rows=counts["duplicates_kept"]))
    if counts["duplicates"]:
        draft.notes.append(f"{counts['duplicates']} rows equal to an earlier row were removed.")
    if counts["missing_target"]:
        draft.notes.append(f"{counts['missing_target']} rows without a target were removed.")
