"""Which rows are in which split: read from the data sets, cleaned, and cut where they did not come as splits."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.core.errors import Unprocessable
from app.preprocessing.clean import MOST_COPIES, MOST_COPIES_BESIDE_TEST, drop_rows
from app.preprocessing.columns import ColumnArrays, RowSource, Table, factorize, present
from app.preprocessing.split import SPLITS, TEST, TRAIN, VALIDATION, SplitKeys, draw_splits

Resolved = Mapping[str, Any]


@dataclass
class Draft:
    """The rows of each split, and what was done and found on the way there."""

    tables: dict[str, Table]
    counts: dict[str, int] = field(default_factory=dict)
    warnings: list[dict[str, Any]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


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


def read_splits(resolved: Resolved, data: Mapping[str, RowSource]) -> Draft:
    """Read the splits that came as such, and cut the others from the rows there are.

    Raises Unprocessable where a split would be empty, or rows cannot be told apart by time.
    """
    roles, options = resolved["columns"], resolved["preprocessing"]
    targets = target_names(roles)
    given = _given_tables(data, compared_names(roles))
    compared = compared_names(roles)
    draft = Draft({})
    whole = given.pop("all", None)
    base = given.pop(TRAIN) if whole is None else whole
    most_copies = MOST_COPIES_BESIDE_TEST if TEST in given else MOST_COPIES
    base, draft.counts = drop_rows(base, targets, compared, options["clean"], copies_too=True, most_copies=most_copies)
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
            has = f"{draft.counts['rows']} rows, {len(base)} of them usable"
            if options["split"]["method"] == "group":
                has += f", in {len(np.unique(_codes(base.columns[roles['group']])))} groups"
            raise Unprocessable(
                f"preprocessing.split: {has}, are too few: split '{name}' would be empty.", param="preprocessing.split"
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
