"""Smaller batches for the same updates: what is changed in `training` when memory runs out.

An update is taken of `batch_size` · `gradient_accumulation_steps` rows. The batch is halved and the steps are doubled;
`effective_batch_size` keeps the rows of an update where an odd batch cannot be halved (33 rows: 17 and 16).
"""

from collections.abc import Mapping
from typing import Any

# A sixty-fourth of the batch: what still does not fit is the network and not its batch.
MOST_HALVINGS = 6


def rows_per_update(training: Mapping[str, Any]) -> int:
    """Return the rows of one update of a resolved `training`."""
    given = training.get("effective_batch_size")
    return int(given or int(training["batch_size"]) * int(training["gradient_accumulation_steps"]))


def halve(training: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the fields of `training` that change; None at one row, or after `MOST_HALVINGS` of the job."""
    batch_size, halvings = int(training["batch_size"]), int(training.get("batch_halvings") or 0)
    if batch_size <= 1 or halvings >= MOST_HALVINGS:
        return None
    half, rows = -(-batch_size // 2), rows_per_update(training)
    return {
        "batch_size": half,
        "gradient_accumulation_steps": -(-rows // half),
        "effective_batch_size": rows,
        "batch_halvings": halvings + 1,
    }


def describe_halving(before: Mapping[str, Any], after: Mapping[str, Any], where: str, reason: str) -> dict[str, Any]:
    """Return the data of the event `batch_halved`; `where` memory ran out: `building`, `training`, `process`."""
    names = ("batch_size", "gradient_accumulation_steps")
    sizes = {name: {"from": before[name], "to": after[name]} for name in names}
    return {"where": where, **sizes, "effective_batch_size": after["effective_batch_size"], "reason": reason}
