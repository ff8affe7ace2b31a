"""From a Keras model to an ONNX file, with a free batch axis and the inputs' own names."""

import contextlib
import io
import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from onnx import numpy_helper

OPSET = 18
OUTPUT = "output"


# A weight of more numbers is left out of the conversion and put into the graph afterwards: tf2onnx copies every
# constant some forty times. A BERT of 6 layers and width 384 took 26 s, and takes 13.
LARGE_WEIGHT = 1 << 14

Answer = Callable[..., dict[str, Any]]
"""Tensors, in the order of their specs, to outputs by name."""


def export_onnx(model: Any, path: Path) -> None:
    """Write `model` to `path`. What cannot be converted shows when the file is opened: see `parity`."""
    specs = [tf.TensorSpec((None, *tensor.shape[1:]), tensor.dtype, name=tensor.name) for tensor in model.inputs]
    names = [spec.name for spec in specs]

    def answer(*tensors: Any) -> dict[str, Any]:
        return {OUTPUT: tf.cast(model(dict(zip(names, tensors, strict=True)), training=False), tf.float32)}

    convert_function(answer, specs, large_weights(model), path)


def large_weights(model: Any) -> list[Any]:
    """Return the weights that need not be constants to be converted: large ones that are multiplied or looked up in."""
    found: dict[int, Any] = {}
    for layer in model._flatten_layers():
        if isinstance(layer, keras.layers.Dense | keras.layers.Embedding):
            for weight in layer.weights:
                if np.prod(weight.shape) >= LARGE_WEIGHT and str(weight.dtype) == "float32":
                    found[id(weight)] = weight
    return list(found.values())


def convert_function(
    answer: Answer, specs: list[Any], weights: list[Any], path: Path, handlers: dict[str, Any] | None = None
) -> None:
    """Write `answer`, a function of tensors of `specs`, as a graph.

    `weights`: variables that are put in afterwards; `handlers`: what tf2onnx cannot say itself, `HANDLERS` by default.
    """
    # 0.4 s, and only at the end of a job.
    from tf2onnx import convert

    handlers = HANDLERS if handlers is None else handlers
    names = [f"weight_{number}" for number in range(len(weights))]
    signature = [
        *specs,
        *(
            tf.TensorSpec(tuple(weight.shape), tf.float32, name=name)
            for name, weight in zip(names, weights, strict=True)
        ),
    ]

    def with_weights(*tensors: Any) -> dict[str, Any]:
        given = tensors[len(specs) :]
        with keras.StatelessScope(state_mapping=list(zip(weights, given, strict=True))):
            return answer(*tensors[: len(specs)])

    function = tf.function(with_weights if weights else answer, input_signature=signature, autograph=False)
    with _quiet():
        graph, _ = convert.from_function(function, input_signature=signature, opset=OPSET, custom_op_handlers=handlers)
    for name, weight in zip(names, weights, strict=True):
        graph.graph.initializer.append(numpy_helper.from_array(np.asarray(weight), name))
    inputs = [value for value in graph.graph.input if value.name not in names]
    del graph.graph.input[:]
    graph.graph.input.extend(inputs)
    path.write_bytes(graph.SerializeToString())


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
