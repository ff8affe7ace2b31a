"""From an uploaded Keras model to ONNX: several inputs and outputs, each by the name of its signature."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import tensorflow as tf

from workers.trainer.onnx_export import HANDLERS, OPSET

Ask = Callable[[list[Any]], list[Any]]
"""The model as a function: tensors in the order of the signature's inputs to those of its outputs."""


def export_twin(ask: Ask, path: Path, signature: dict[str, Any]) -> None:
    """Write `ask` to `path`. What cannot be converted shows when the file is opened and run."""
    from tf2onnx import convert

    specs = [
        tf.TensorSpec([None if length == -1 else length for length in spec["shape"]], spec["dtype"], name=spec["name"])
        for spec in signature["inputs"]
    ]
    names = [spec["name"] for spec in signature["outputs"]]

    def answer(*tensors: Any) -> dict[str, Any]:
        return {name: tf.identity(output) for name, output in zip(names, ask(list(tensors)), strict=True)}

    function = tf.function(answer, input_signature=specs, autograph=False)
    convert.from_function(
        function, input_signature=specs, opset=OPSET, custom_op_handlers=HANDLERS, output_path=str(path)
    )
