"""What is removed from the rows before they are split; every removal is counted."""

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from app.preprocessing.columns import Table, factorize, hash_rows, present

Duplicates = bool | Literal["auto"]
# `auto` removes copies only where most rows are not: three yes-or-no columns make ten thousand rows
# "equal" that were all observed, and their numbers are what there is to learn.
MOST_COPIES = 0.5
# Where the test set came as such, no copy can get into it by our cut, and only few are taken for accidents: one white
# wine in five is a copy, and without them the RMSE on other wines was 9 and 4 % larger (two cuts of training rows).
MOST_COPIES_BESIDE_TEST = 0.05


def mark_missing(table: Table, targets: Sequence[str], strip: bool) -> NDArray[np.bool_]:
    """Return which rows lack a value of any target, (N,)."""
    missing = np.zeros(len(table), dtype=np.bool_)
    for name in targets:
        column = table.columns[name]
        if column.dtype == object:
            missing |= factorize(column, strip)[0] < 0
        else:
            missing |= ~present(column)
    return missing


def mark_copies(table: Table) -> NDArray[np.bool_]:
    """Return which rows of a hashed table equal an earlier row, (N,)."""
    hashes = table.hashes
    if hashes is None:
        raise ValueError("the table is not hashed")
    copies = np.ones(len(table), dtype=np.bool_)
    copies[np.unique(hashes, return_index=True)[1]] = False
    return copies


def hash_table(table: Table, compared: Sequence[str], clean: dict[str, Any]) -> Table:
    """Return the table with a hash of each row over the columns `compared`."""
    columns = [table.columns[name] for name in compared]
    return Table(table.columns, table.rows, hash_rows(columns, len(table), clean["strip"], clean["lowercase"]))


def drop_rows(
    table: Table,
    targets: Sequence[str],
    compared: Sequence[str],
    clean: dict[str, Any],
    *,
    copies_too: bool,
    most_copies: float = MOST_COPIES,
) -> tuple[Table, dict[str, int]]:
    """Return the rows that stay, hashed, and how many went: `missing_target`, `duplicates`, `duplicates_kept`."""
    counts = {"rows": len(table), "missing_target": 0, "duplicates": 0, "duplicates_kept": 0}
    missing = mark_missing(table, targets, clean["strip"])
    if clean["drop_missing_target"] and missing.any():
        counts["missing_target"] = int(missing.sum())
        table = table.take(~missing)
    if not len(table):
        return table, counts
    table = hash_table(table, compared, clean)
    copies = mark_copies(table)
    found = int(copies.sum())
    wanted: Duplicates = clean["drop_duplicates"]
    if copies_too and (wanted is True or (wanted == "auto" and found <= most_copies * len(table))):
        counts["duplicates"] = found
        table = table.take(~copies) if found else table
    else:
        counts["duplicates_kept"] = found
    return table, counts
