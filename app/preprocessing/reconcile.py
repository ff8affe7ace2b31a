"""Labels of a validation or test set that are spelled otherwise than in training.

The test file of the Adult collection ends every label with a full stop. Scored as they stand, all its rows are wrong.
"""

from typing import Any

import numpy as np

from app.core.errors import Unprocessable
from app.preprocessing.columns import Table
from app.preprocessing.findings import warn
from app.preprocessing.labels import ClassTarget, distinct_labels


def reconcile_labels(split: str, table: Table, target: ClassTarget, strip: bool) -> tuple[Table, list[dict[str, Any]]]:
    """Return `table` with the labels of training, and what was done.

    Where no label of the split is one of training's, and all are but for case and a full stop at the end, they are
    read as those. Otherwise rows of labels that training has not are left out, and counted. Raises Unprocessable when
    no row is left.
    """
    found = distinct_labels(table.columns[target.column], target.type, strip)
    unknown = [label for label in found if label not in set(target.labels)]
    if not unknown:
        return table, []
    renamed = _renaming([str(label) for label in found], [str(label) for label in target.labels])
    if len(unknown) == len(found) and renamed and all(isinstance(label, str) for label in found):
        column = table.columns[target.column]
        # Cleaning of the values happens later: the raw spelling is what the column holds.
        values = [value if value is None else renamed[value.strip() if strip else value] for value in column.tolist()]
        columns = {**table.columns, target.column: np.array(values, dtype=object)}
        shown = ", ".join(f"{old!r} as {new!r}" for old, new in list(renamed.items())[:5])
        message = f"No label of split '{split}' occurs in training; they were read as its labels: {shown}."
        return Table(columns, table.rows), [warn("labels_reconciled", message, target.column, split=split)]
    keep = target.encode(table.columns, strip) >= 0
    gone = int((~keep).sum())
    shown = ", ".join(map(repr, unknown[:10]))
    if not keep.any():
        known = ", ".join(map(repr, target.labels[:10]))
        raise Unprocessable(
            f"No row of split '{split}' has a label of the training rows: it has {shown}; they have {known}.",
            param="columns.target",
        )
    message = f"{gone} rows of split '{split}' have labels that no training row has ({shown}); they are left out."
    return table.take(keep), [warn("label_unseen", message, target.column, split=split, rows=gone)]


def _renaming(found: list[str], known: list[str]) -> dict[str, str] | None:
    plain = {_plain(label): label for label in known}
    if len(plain) < len(known) or len({_plain(label) for label in found}) < len(found):
        return None
    renamed = {label: plain.get(_plain(label)) for label in found}
    return {old: new for old, new in renamed.items() if new is not None} if all(renamed.values()) else None


def _plain(label: str) -> str:
    return label.strip().removesuffix(".").strip().casefold()
