"""From a Keras model to an ONNX file, with a free batch axis and the inputs' own names."""

import contextlib
import io
import logging
from collections.abc import Iterator
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
            custom_op_handlers={"Erfc": (_complementary_error, [])},
            output_path=str(path),
        )


def _complementary_error(graph: Any, node: Any, name: str, args: Any) -> None:
    """ONNX has Erf but not Erfc, which exact GELU uses: erfc(x) = 1 − erf(x)."""
    del args
    node.type = "Erf"
    output = node.output[0]
    dtype = graph.get_dtype(output)
    one = graph.make_const(f"{name}_one", np.array(1.0, np.float32))
    rest = graph.make_node(
        "Sub", [one.output[0], output], name=f"{name}_rest", shapes=[graph.get_shape(output)], dtypes=[dtype]
    )
    others = [other for other in graph.get_nodes() if other is not rest]
    graph.replace_all_inputs(output, rest.output[0], ops=others)


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
