"""From an uploaded Keras model to ONNX: several inputs and outputs, each by the name of its signature."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import tensorflow as tf

from workers.trainer.onnx_export import convert_function

Ask = Callable[[list[Any]], list[Any]]
"""The model as a function: tensors in the order of the signature's inputs to those of its outputs."""


def export_twin(ask: Ask, path: Path, signature: dict[str, Any], weights: Sequence[Any] = ()) -> None:
    """Write `ask` to `path`; `weights`: as `convert_function` has them. What cannot be converted shows in a run."""
    specs = [
        tf.TensorSpec([None if length == -1 else length for length in spec["shape"]], spec["dtype"], name=spec["name"])
        for spec in signature["inputs"]
    ]
    names = [spec["name"] for spec in signature["outputs"]]

    def answer(*tensors: Any) -> dict[str, Any]:
        return {name: tf.identity(output) for name, output in zip(names, ask(list(tensors)), strict=True)}

    convert_function(answer, specs, list(weights), path)
