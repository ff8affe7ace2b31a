"""Does the bundle, opened as the API opens it, say what the trainer's model says? (DESIGN.md §4, API.md §6)"""

import base64
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.inference.predictor import Predictor
from app.inference.runtime import ModelUnusable
from app.models.bundle import BundleCorrupt
from app.preprocessing.columns import ColumnArrays
from workers.trainer.failures import TrainingFailed
from workers.trainer.problem import Problem

PROBABILITY_TOLERANCE = 1e-5
VALUE_TOLERANCE = 1e-4
ROWS = 256
ROWS_ALONE = 4
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def check_bundle(folder: Path, problem: Problem, raw: ColumnArrays, expected: NDArray[np.float32]) -> None:
    """Raise TrainingFailed `export_mismatch` unless the bundle gives `expected` for the rows of `raw`.

    `expected`: (N, …) what the Keras serving model gave for the same rows, prepared by the trainer. All rows go
    together, and a few alone.
    """
    try:
        predictor = Predictor.load(folder)
        instances = instances_of(raw, predictor.preprocessing.instance_columns)
        found = predictor.values(predictor.run(predictor.prepare(instances)))
        alone = [predictor.values(predictor.run(predictor.prepare([one]))) for one in instances[:ROWS_ALONE]]
    except (BundleCorrupt, ModelUnusable) as error:
        raise TrainingFailed("export_mismatch", f"The exported model cannot be opened: {error}.") from error
    wanted = problem.unscale(expected)
    _compare(found, wanted, problem, "together")
    _compare(np.concatenate(alone), wanted[: len(alone)], problem, "one by one")


def instances_of(raw: ColumnArrays, instance_columns: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return rows as a client would send them: JSON values by column, null for missing."""
    types = {column["name"]: column["type"] for column in instance_columns}
    columns = {name: _json_values(values, types[name]) for name, values in raw.items() if name in types}
    rows = len(next(iter(raw.values())))
    return [{name: values[row] for name, values in columns.items()} for row in range(rows)]


def _json_values(values: NDArray[Any], type_: str) -> list[Any]:
    if values.dtype == object or type_ in ("array", "image"):
        plain: list[Any] = values.tolist()
        return [{"b64": base64.b64encode(one).decode()} if isinstance(one, bytes) else one for one in plain]
    present = np.isfinite(values.astype(np.float64))
    convert = _CONVERT.get(type_, float)
    return [convert(value) if known else None for value, known in zip(values.tolist(), present, strict=True)]


def _whole(value: float) -> int | float:
    return int(value) if float(value).is_integer() else value


def _instant(seconds: float) -> str:
    return (_EPOCH + timedelta(seconds=seconds)).isoformat().replace("+00:00", "Z")


_CONVERT: dict[str, Callable[[float], Any]] = {"boolean": bool, "integer": _whole, "datetime": _instant}


def _compare(found: NDArray[Any], wanted: NDArray[Any], problem: Problem, how: str) -> None:
    if found.shape != wanted.shape:
        message = f"The exported model gives the shape {found.shape}, not {wanted.shape}."
        raise TrainingFailed("export_mismatch", message)
    difference = np.abs(found.astype(np.float64) - wanted.astype(np.float64))
    if problem.task == "regression":
        # Relative to a value, and to the target's own deviation where the value is near zero.
        unit = problem.unscale(np.stack([np.zeros(problem.outputs), np.ones(problem.outputs)]))
        allowed = VALUE_TOLERANCE * np.maximum(np.abs(wanted), np.abs(unit[1] - unit[0]))
    else:
        allowed = np.full(wanted.shape, PROBABILITY_TOLERANCE)
    wrong = ~(difference <= allowed)
    if wrong.any():
        worst = float(np.nanmax(difference)) if np.isfinite(difference).any() else float("nan")
        raise TrainingFailed(
            "export_mismatch",
            f"The exported model differs from the trained one in {int(wrong.any(axis=1).sum())} of {len(wanted)} rows "
            f"asked {how}, by up to {worst:.3g}.",
            detail={"rows": len(wanted), "largest_difference": worst},
        )
