"""Which input columns are read: those that can tell something about a new row."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.preprocessing.columns import NUMERIC_TYPES, TEXTUAL_TYPES, Column, Table, factorize, present
from app.preprocessing.datetimes import varying_parts

# Fewer rows than this show no pattern: three rows 1, 2, 3 are not yet numbered rows.
LEAST_ROWS = 10
# A text of which more than half of the values occur once cannot be learned as a category.
MOST_SINGLE = 0.5
_ID_NAME = re.compile(
    r"(^|[\s_.\-])(id|ids|uuid|guid|key|index|idx|rowid|rownum|row|no|nr|编号|序号|主键)$|^unnamed|^$|Id$|ID$|编号$|序号$",
)


@dataclass(frozen=True)
class Dropped:
    """A column that is left out: `code` is `constant`, `identifier` or `free_text`."""

    name: str
    code: str
    message: str


def find_dropped(
    table: Table, inputs: Sequence[Column], clean: dict[str, Any], named: frozenset[str]
) -> tuple[list[Dropped], list[Dropped]]:
    """Return the columns to leave out, and those that look like it but are read because the request names them.

    Looks at the training rows only. A column that would leave no inputs is never left out as an identifier.
    """
    dropped: list[Dropped] = []
    kept: list[Dropped] = []
    for column in inputs:
        values = table.columns[column.name]
        found = _constant(column, values) or _identifier(column, values, table.rows)
        if found is None:
            continue
        switch = "drop_constant" if found.code == "constant" else "drop_identifiers"
        if not clean[switch] or (found.code == "identifier" and column.name in named):
            kept.append(found)
        else:
            dropped.append(found)
    if dropped and len(dropped) == len(inputs):
        # Better a poor input than none: a table of one numbered column may be a curve.
        kept += [one for one in dropped if one.code == "identifier"]
        dropped = [one for one in dropped if one.code != "identifier"]
    return dropped, kept


def _constant(column: Column, values: NDArray[Any]) -> Dropped | None:
    if column.type in TEXTUAL_TYPES:
        codes, distinct = factorize(values)
        constant = len(distinct) + bool((codes < 0).any()) <= 1
    elif column.type == "datetime":
        constant = not varying_parts(values)
    elif column.type == "array":
        flat = values.reshape(len(values), -1)
        constant = bool((flat == flat[:1]).all())
    else:
        known = values[np.isfinite(values)]
        constant = len(known) == 0 or (len(known) == len(values) and bool((known == known[0]).all()))
    if not constant:
        return None
    return Dropped(column.name, "constant", f"Column '{column.name}' has one value in all training rows.")


def _identifier(column: Column, values: NDArray[Any], rows: NDArray[np.int64]) -> Dropped | None:
    count = len(values)
    if count < LEAST_ROWS:
        return None
    if column.type in TEXTUAL_TYPES:
        codes, distinct = factorize(values)
        counts = np.bincount(codes[codes >= 0], minlength=max(len(distinct), 1))
        single = int((counts == 1).sum())
        if len(distinct) == count:
            return Dropped(column.name, "identifier", f"Column '{column.name}' has another value in every row.")
        if single > MOST_SINGLE * int((codes >= 0).sum()):
            message = (
                f"Column '{column.name}' has {len(distinct)} different values in {count} rows, {single} of them only "
                "once: too many for categories."
            )
            return Dropped(column.name, "free_text", message)
        return None
    if column.type not in NUMERIC_TYPES or column.type == "boolean" or not present(values).all():
        return None
    if len(np.unique(values)) < count:
        return None
    steps, gaps = np.diff(values), np.diff(rows)
    if column.type == "integer" and len(steps) and bool((steps * gaps[0] == steps[0] * gaps).all()):
        return Dropped(column.name, "identifier", f"Column '{column.name}' numbers the rows.")
    if column.type == "integer" and _ID_NAME.search(column.name):
        return Dropped(column.name, "identifier", f"Column '{column.name}' has another whole number in every row.")
    return None
