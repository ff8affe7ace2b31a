"""Which input columns are read: those that can tell something about a new row."""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.preprocessing.columns import TEXTUAL_TYPES, Column, Table, present, thin

# Fewer rows than this show no pattern: three rows 1, 2, 3 are not yet numbered rows.
LEAST_ROWS = 10
# A text of which more than half of the values occur once cannot be learned as a category.
MOST_SINGLE = 0.5
SAMPLE_ROWS = 20_000
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
        constant = len(dict.fromkeys(thin(values, SAMPLE_ROWS).tolist())) <= 1
        constant = constant and len(dict.fromkeys(values.tolist())) <= 1
    elif column.type == "array":
        constant = bool((values == values[:1]).all())
    else:
        known = values[np.isfinite(values)]
        constant = len(known) == 0 or (len(known) == len(values) and bool(known.min() == known.max()))
    if not constant:
        return None
    return Dropped(column.name, "constant", f"Column '{column.name}' has one value in all training rows.")


def _identifier(column: Column, values: NDArray[Any], rows: NDArray[np.int64]) -> Dropped | None:
    if len(values) < LEAST_ROWS:
        return None
    if column.type in TEXTUAL_TYPES:
        # What repeats in a sample repeats in all rows, so most columns are settled by the sample.
        return _seldom_repeats(column, thin(values, SAMPLE_ROWS)) and _seldom_repeats(column, values)
    if column.type != "integer" or not present(values).all():
        return None
    # Whole steps are looked at first: sorting a million values takes a hundred times as long.
    steps, gaps = np.diff(values), np.diff(rows)
    if steps[0] != 0 and bool((steps * gaps[0] == steps[0] * gaps).all()):
        return Dropped(column.name, "identifier", f"Column '{column.name}' numbers the rows.")
    if _ID_NAME.search(column.name) and len(np.unique(values)) == len(values):
        return Dropped(column.name, "identifier", f"Column '{column.name}' has another whole number in every row.")
    return None


def _seldom_repeats(column: Column, values: NDArray[Any]) -> Dropped | None:
    counts = Counter(values.tolist())
    missing = counts.pop(None, 0)
    known = len(values) - missing
    single = sum(1 for count in counts.values() if count == 1)
    if known and single == known and not missing:
        return Dropped(column.name, "identifier", f"Column '{column.name}' has another value in every row.")
    if single > MOST_SINGLE * known:
        message = (
            f"Column '{column.name}' has {len(counts)} different values in {len(values)} rows, {single} of them only "
            "once: too many for categories."
        )
        return Dropped(column.name, "free_text", message)
    return None
