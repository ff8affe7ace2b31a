"""The graph `explain.onnx`: the gradients of a model's output, for explanations without TensorFlow.

Made for a fixed number of rows: a graph of gradients holds the shapes of what it goes back through. A model whose
gradients ONNX cannot express has no such file, and is explained without (`app.inference.explain.explainer`).
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import tensorflow as tf

from app.inference.explain.gradient_graph import PREFIX, WEIGHTS
from app.inference.runtime import ModelUnusable, OnnxModel
from workers.trainer.gradient_ops import HANDLERS
from workers.trainer.onnx_export import convert_function

ROWS: Final = 16
# The file holds the weights again; of more parameters it would be larger than what it explains is worth.
MOST_PARAMETERS: Final = 20_000_000
_LOOPS: Final = frozenset(("While", "StatelessWhile", "If", "StatelessIf"))
_TOLERANCE: Final = 1e-3
_SEED: Final = 11
# What a conversion, or a graph that came of one, may fail with.
_FAILURES: Final = (
    ValueError, TypeError, RuntimeError, KeyError, IndexError, AttributeError, NotImplementedError, AssertionError,
    tf.errors.OpError, ModelUnusable,
)  # fmt: skip

Ask = Callable[[list[Any]], Any]
"""Tensors in the order of the inputs to the model's only output, (N, C)."""


def write_gradients(
    ask: Ask, path: Path, inputs: Sequence[Any], outputs: int, parameters: int, weights: Sequence[Any] = ()
) -> bool:
    """Write the graph of the gradients of `ask`; return whether there is one, which gives what TensorFlow gives.

    `inputs`: name, dtype and shape of a row of each, all of fixed shape; `weights`: as `convert_function` has them.
    """
    shapes = [tuple(spec.shape) for spec in inputs]
    is_float = all(spec.dtype == "float32" for spec in inputs)
    if not is_float or parameters > MOST_PARAMETERS or any(n is None or n < 0 for shape in shapes for n in shape):
        return False
    specs = [
        *(tf.TensorSpec((ROWS, *shape), tf.float32, name=one.name) for one, shape in zip(inputs, shapes, strict=True)),
        tf.TensorSpec((ROWS, outputs), tf.float32, name=WEIGHTS),
    ]

    def gradients(*tensors: Any) -> dict[str, Any]:
        *given, weights_of_outputs = tensors
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(given)
            answer = tf.cast(ask(given), tf.float32)
        found = tape.gradient(answer, given, weights_of_outputs, unconnected_gradients=tf.UnconnectedGradients.ZERO)
        return {PREFIX + one.name: gradient for one, gradient in zip(inputs, found, strict=True)}

    try:
        if _has_loops(ask, specs[:-1]):
            return False
        convert_function(gradients, specs, list(weights), path, HANDLERS)
        is_right = _says_the_same(gradients, path, specs)
    except _FAILURES:
        is_right = False
    if not is_right:
        path.unlink(missing_ok=True)
    return is_right


def _has_loops(ask: Ask, specs: Sequence[Any]) -> bool:
    """Tell whether a model computes step by step, as recurrent layers do: ONNX has no gradient of a loop."""
    traced = tf.function(lambda *given: ask(list(given)), autograph=False).get_concrete_function(*specs)
    return any(operation.type in _LOOPS for operation in traced.graph.get_operations())


def _says_the_same(gradients: Callable[..., dict[str, Any]], path: Path, specs: Sequence[Any]) -> bool:
    rng = np.random.default_rng(_SEED)
    given = {spec.name: rng.normal(size=spec.shape).astype(np.float32) for spec in specs}
    # As a graph, in which the gradients of kernels, which nobody asks for, are not computed: eagerly they are, and
    # TensorFlow 2.21 dies of those of a network for faces (conv2d_backprop_filter, signal 11).
    wanted = tf.function(gradients, autograph=False)(*map(tf.constant, given.values()))
    graph = OnnxModel(path)
    found = dict(zip((spec.name for spec in graph.outputs), graph.run(given), strict=True))
    for name, gradient in wanted.items():
        truth = np.asarray(gradient)
        apart = np.abs(found[name] - truth).max(initial=0.0)
        if not apart <= _TOLERANCE * max(float(np.abs(truth).max(initial=0.0)), 1e-6):
            return False
    return True
