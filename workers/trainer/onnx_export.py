"""From a Keras model to an ONNX file, with a free batch axis and the inputs' own names."""

import contextlib
import io
import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

OPSET = 18
OUTPUT = "output"


def export_onnx(model: Any, path: Path) -> None:
    """Write `model` to `path`. What cannot be converted shows when the file is opened: see `parity`."""
    # 0.4 s, and only at the end of a job.
    from tf2onnx import convert

    specs = [tf.TensorSpec((None, *tensor.shape[1:]), tensor.dtype, name=tensor.name) for tensor in model.inputs]
    names = [spec.name for spec in specs]

    def answer(*tensors: Any) -> dict[str, Any]:
        return {OUTPUT: tf.cast(model(dict(zip(names, tensors, strict=True)), training=False), tf.float32)}

    function = tf.function(answer, input_signature=specs, autograph=False)
    with _quiet():
        convert.from_function(
            function,
            input_signature=specs,
            opset=OPSET,
            custom_op_handlers=HANDLERS,
            output_path=str(path),
        )


def _complementary_error(graph: Any, node: Any, name: str, args: Any) -> None:
    """ONNX has Erf but not Erfc, which exact GELU uses: erfc(x) = 1 − erf(x)."""
    del args
    _replace(graph, node, name, "Erf", lambda output, one: [one, output])


def _exponential_less_one(graph: Any, node: Any, name: str, args: Any) -> None:
    """ONNX has Exp but not Expm1, which CELU uses."""
    del args
    _replace(graph, node, name, "Exp", lambda output, one: [output, one])


def _replace(graph: Any, node: Any, name: str, op: str, terms: Callable[[str, str], list[str]]) -> None:
    """Make `node` an `op`, and of its output and 1 a difference that takes its place."""
    node.type = op
    output = node.output[0]
    one = graph.make_const(f"{name}_one", np.array(1.0, np.float32))
    shapes, dtypes = [graph.get_shape(output)], [graph.get_dtype(output)]
    inputs = terms(output, one.output[0])
    difference = graph.make_node("Sub", inputs, name=f"{name}_difference", shapes=shapes, dtypes=dtypes)
    others = [other for other in graph.get_nodes() if other is not difference]
    graph.replace_all_inputs(output, difference.output[0], ops=others)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """tf2onnx tells its progress on the log and on stderr; a user's log is for what concerns the user."""
    logger = logging.getLogger("tf2onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with contextlib.redirect_stderr(io.StringIO()):
            yield
    finally:
        logger.setLevel(level)


# What tf2onnx cannot say by itself.
HANDLERS: dict[str, Any] = {"Erfc": (_complementary_error, []), "Expm1": (_exponential_less_one, [])}
