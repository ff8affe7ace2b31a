"""Whether a model and its ONNX twin say the same: rows to ask both, and how far their answers are apart."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from app.inference.runtime import ModelUnusable, OnnxModel
from workers.intake.onnx_twin import Ask, export_twin

ROWS = 4
# API.md §6: values are the same within 1e-4, relative; of what is near zero, relative to its output's mean magnitude.
TOLERANCE = 1e-4
Compare = Callable[[list[np.ndarray], list[np.ndarray], list[np.ndarray]], float]
"""Answers of the twin together and alone, and Keras' answers, to how far they are apart, relative."""
_LEAST_MAGNITUDE = 1e-3
FAILURES: tuple[type[Exception], ...] = (
    ValueError, TypeError, RuntimeError, KeyError, IndexError, AttributeError, NotImplementedError, OSError,
    tf.errors.OpError,
)  # fmt: skip
_NOT_SERVED: tuple[type[Exception], ...] = (*FAILURES, ModelUnusable)


def ask_keras(ask: Ask, inputs: list[np.ndarray]) -> list[np.ndarray]:
    """Return what Keras gives for rows, one array an output."""
    return [np.asarray(output) for output in ask([tf.constant(values) for values in inputs])]


def write_twin(
    ask: Ask,
    path: Path,
    signature: dict[str, Any],
    inputs: list[np.ndarray],
    expected: list[np.ndarray],
    weights: Sequence[Any] = (),
    compare: Compare | None = None,
) -> tuple[str, dict[str, Any]]:
    """Write the ONNX twin where it says what Keras says; return the runtime and what the report says of it.

    `weights`: as `convert_function` has them. `compare`: how far answers are apart, `largest_difference` by default.
    """
    try:
        export_twin(ask, path, signature, weights)
        together, alone = run_twin(path, signature, inputs)
        difference = (compare or largest_difference)(together, alone, expected)
    except _NOT_SERVED as error:
        path.unlink(missing_ok=True)
        return "tensorflow", {"exported": False, "why": f"the conversion failed ({type(error).__name__})"}
    if not difference <= TOLERANCE:
        path.unlink(missing_ok=True)
        return "tensorflow", {"exported": False, "why": f"its answers differ from Keras' by {difference:.3g}"}
    return "onnx", {"exported": True, "largest_difference": difference}


def run_twin(
    path: Path, signature: dict[str, Any], inputs: list[np.ndarray]
) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Return what the ONNX file gives for rows asked together, and asked one by one."""
    twin = OnnxModel(path)
    names = [spec["name"] for spec in signature["inputs"]]
    together = twin.run(dict(zip(names, inputs, strict=True)))
    pairs = list(zip(names, inputs, strict=True))
    alone = [twin.run({name: values[row : row + 1] for name, values in pairs}) for row in range(len(inputs[0]))]
    return list(together), [np.concatenate(parts) for parts in zip(*alone, strict=True)]


def largest_difference(together: list[np.ndarray], alone: list[np.ndarray], expected: list[np.ndarray]) -> float:
    """Return the largest relative difference of any answer to what Keras gave; infinite for another shape or NaN."""
    worst = 0.0
    for values, wanted in zip([*together, *alone], [*expected, *expected], strict=True):
        if values.shape != wanted.shape or not np.isfinite(wanted.astype(np.float64)).all():
            return float("inf")
        truth = np.abs(wanted.astype(np.float64))
        unit = np.maximum(truth, max(float(truth.mean()) if truth.size else 0.0, _LEAST_MAGNITUDE))
        apart = np.abs(values.astype(np.float64) - wanted.astype(np.float64)) / unit
        worst = max(worst, float(apart.max(initial=0.0)))
    return worst
