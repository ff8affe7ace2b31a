"""Gradients of TensorFlow that tf2onnx does not know, in operators of ONNX. Shapes are fixed.

Each entry says what the operation computes, in TensorFlow's own terms (tensorflow/core/ops/nn_ops.cc, math_ops.cc):
dy is the gradient that comes in, x what the operation read, y what it gave.

Shapes: N rows, H height, W width, C channels.
"""

import math
from collections.abc import Callable
from typing import Any, Final

import numpy as np

from workers.trainer.onnx_export import HANDLERS as FORWARD

Formula = Callable[..., str]
"""A maker and the operation's inputs to the output that takes its place."""


class Maker:
    """Makes nodes of ONNX that take the place of one of TensorFlow's; every tensor is float32 unless told."""

    def __init__(self, graph: Any, node: Any) -> None:
        self.graph = graph
        self.node = node
        self._count = 0

    def constant(self, values: Any, dtype: Any = np.float32) -> str:
        """Return the name of a constant."""
        self._count += 1
        made = self.graph.make_const(f"{self.node.name}_c{self._count}", np.array(values, dtype))
        return str(made.output[0])

    def op(self, kind: str, *inputs: str, outputs: int = 1, **attributes: Any) -> Any:
        """Return the output of a new node, or the node's outputs where there are several."""
        made = self.graph.make_node(kind, list(inputs), attr=attributes, output_count=outputs)
        return made.output[0] if outputs == 1 else list(made.output)

    def replace(self, output: str) -> None:
        """Let `output` take the place of the node's only output."""
        old = self.node.output[0]
        shape, dtype = self.graph.get_shape(old), self.graph.get_dtype(old)
        self.graph.remove_node(self.node.name)
        self.graph.make_node("Identity", [output], outputs=[old], shapes=[shape], dtypes=[dtype])

    def shape(self, name: str) -> list[int]:
        """Return the shape of a tensor; ValueError where it is not fixed."""
        found = self.graph.get_shape(name)
        if found is None or any(length < 0 for length in found):
            raise ValueError("a gradient of a free shape")
        return [int(length) for length in found]

    def to_nchw(self, name: str) -> str:
        """Return a tensor with the channels before height and width."""
        return str(self.op("Transpose", name, perm=[0, 3, 1, 2]))

    def to_nhwc(self, name: str) -> str:
        """Return a tensor with the channels last."""
        return str(self.op("Transpose", name, perm=[0, 2, 3, 1]))

    def reshape(self, name: str, shape: list[int]) -> str:
        """Return a tensor in another shape."""
        return str(self.op("Reshape", name, self.constant(shape, np.int64)))

    def within(self, name: str, low: float, high: float) -> str:
        """Return 1 where a value is between two bounds, else 0."""
        above = self.op("Greater", name, self.constant(low))
        below = self.op("Less", name, self.constant(high))
        return str(self.op("Cast", self.op("And", above, below), to=1))


def _relu(make: Maker, dy: str, y: str) -> str:
    return str(make.op("Mul", dy, make.within(y, 0.0, math.inf)))


def _relu6(make: Maker, dy: str, y: str) -> str:
    return str(make.op("Mul", dy, make.within(y, 0.0, 6.0)))


def _leaky_relu(make: Maker, dy: str, x: str) -> str:
    alpha = float(make.node.get_attr_value("alpha", 0.2))
    slope = make.op("Where", make.op("Greater", x, make.constant(0.0)), make.constant(1.0), make.constant(alpha))
    return str(make.op("Mul", dy, slope))


def _elu(make: Maker, dy: str, y: str) -> str:
    # Below zero y is e^x − 1, and its slope y + 1.
    below = make.op("Min", y, make.constant(0.0))
    return str(make.op("Mul", dy, make.op("Add", below, make.constant(1.0))))


def _selu(make: Maker, dy: str, y: str) -> str:
    # Klambauer et al., "Self-Normalizing Neural Networks" (2017): lambda, and lambda times alpha.
    scale, low = 1.0507009873554805, 1.7580993408473766
    slope = make.op("Where", make.op("Greater", y, make.constant(0.0)), make.constant(scale),
                    make.op("Add", y, make.constant(low)))  # fmt: skip
    return str(make.op("Mul", dy, slope))


def _softplus(make: Maker, dy: str, x: str) -> str:
    return str(make.op("Mul", dy, make.op("Sigmoid", x)))


def _softsign(make: Maker, dy: str, x: str) -> str:
    wide = make.op("Add", make.op("Abs", x), make.constant(1.0))
    return str(make.op("Div", dy, make.op("Mul", wide, wide)))


def _sigmoid(make: Maker, y: str, dy: str) -> str:
    slope = make.op("Mul", y, make.op("Sub", make.constant(1.0), y))
    return str(make.op("Mul", dy, slope))


def _tanh(make: Maker, y: str, dy: str) -> str:
    slope = make.op("Sub", make.constant(1.0), make.op("Mul", y, y))
    return str(make.op("Mul", dy, slope))


def _rsqrt(make: Maker, y: str, dy: str) -> str:
    cube = make.op("Mul", make.op("Mul", y, y), y)
    return str(make.op("Mul", make.op("Mul", dy, make.constant(-0.5)), cube))


def _sqrt(make: Maker, y: str, dy: str) -> str:
    return str(make.op("Div", make.op("Mul", dy, make.constant(0.5)), y))


def _reciprocal(make: Maker, y: str, dy: str) -> str:
    return str(make.op("Neg", make.op("Mul", dy, make.op("Mul", y, y))))


def _max_pool(make: Maker, x: str, y: str, dy: str) -> str:
    """Add each gradient to where its maximum was: the pooling is done again, and tells the places."""
    del y
    rows, height, width, channels = make.shape(x)
    window = make.node.get_attr_value("ksize")[1:3]
    _, places = make.op(
        "MaxPool", make.to_nchw(x), outputs=2, kernel_shape=window,
        strides=make.node.get_attr_value("strides")[1:3], auto_pad=_padding(make),
    )  # fmt: skip
    zeros = make.constant(np.zeros(rows * height * width * channels))
    incoming = make.reshape(make.to_nchw(dy), [-1])
    added = make.op("ScatterElements", zeros, make.reshape(places, [-1]), incoming, axis=0, reduction="add")
    return make.to_nhwc(make.reshape(added, [rows, channels, height, width]))


def _average_pool(make: Maker, sizes: str, dy: str) -> str:
    """Share each gradient among the values that were averaged; padding was none of them."""
    del sizes
    rows, height, width, channels = make.shape(make.node.output[0])
    window, strides = (make.node.get_attr_value(name)[1:3] for name in ("ksize", "strides"))
    out = make.shape(dy)[1:3]
    begins = []
    counts = []
    for size, length, stride, steps in zip((height, width), window, strides, out, strict=True):
        begin = _begin(make, size, length, stride, steps)
        starts = np.arange(steps) * stride - begin
        counts.append(np.minimum(starts + length, size) - np.maximum(starts, 0))
        begins.append(begin)
    shared = make.op("Div", make.to_nchw(dy), make.constant(np.outer(*counts)))
    single = make.reshape(shared, [rows * channels, 1, *out])
    ones = make.constant(np.ones((1, 1, *window)))
    spread = _transposed(make, single, ones, ((height, width), window, strides, out, begins), group=1)
    return make.to_nhwc(make.reshape(spread, [rows, channels, height, width]))


def _depthwise(make: Maker, sizes: str, kernel: str, dy: str) -> str:
    del sizes
    channels = make.shape(make.node.output[0])[3]
    height, width, _, multiplier = make.shape(kernel)
    turned = make.op("Transpose", kernel, perm=[2, 3, 0, 1])
    flat = make.reshape(turned, [channels * multiplier, 1, height, width])
    return _convolution_back(make, kernel, flat, dy, group=channels)


def _convolution(make: Maker, sizes: str, kernel: str, dy: str) -> str:
    """As tf2onnx has it, but for strides beyond the kernel, where it makes padding that is less than none."""
    del sizes
    if make.shape(kernel)[2] != make.shape(make.node.output[0])[3]:
        raise NotImplementedError("a gradient of a convolution in groups")
    return _convolution_back(make, kernel, str(make.op("Transpose", kernel, perm=[3, 2, 0, 1])), dy, group=1)


def _convolution_back(make: Maker, kernel: str, turned: str, dy: str, group: int) -> str:
    """Return the gradient of what a convolution read; `turned`: the kernel as ONNX's transposed one has it."""
    _, height, width, _ = make.shape(make.node.output[0])
    dilations = (make.node.get_attr_value("dilations") or [1, 1, 1, 1])[1:3]
    reach = [(length - 1) * far + 1 for length, far in zip(make.shape(kernel)[:2], dilations, strict=True)]
    strides = make.node.get_attr_value("strides")[1:3]
    out = make.shape(dy)[1:3]
    begins = [
        _begin(make, size, length, stride, steps)
        for size, length, stride, steps in zip((height, width), reach, strides, out, strict=True)
    ]
    geometry = ((height, width), reach, strides, out, begins)
    return make.to_nhwc(_transposed(make, make.to_nchw(dy), turned, geometry, group=group, dilations=dilations))


def _transposed(make: Maker, values: str, kernel: str, geometry: Any, group: int, **attributes: Any) -> str:
    """Return a transposed convolution that gives just the size that the forward one read."""
    begins, ends, more = [], [], []
    for size, length, stride, steps, begin in zip(*geometry, strict=True):
        over = (steps - 1) * stride + length - begin - size
        begins.append(begin)
        ends.append(max(over, 0))
        more.append(max(-over, 0))
    return str(
        make.op(
            "ConvTranspose", values, kernel, group=group, strides=geometry[2], pads=[*begins, *ends],
            output_padding=more, **attributes,
        )
    )  # fmt: skip


def _padding(make: Maker) -> str:
    return "SAME_UPPER" if make.node.get_attr_value("padding") in (b"SAME", "SAME") else "VALID"


def _begin(make: Maker, size: int, length: int, stride: int, steps: int) -> int:
    """Return how much padding there was before the first value."""
    if _padding(make) == "VALID":
        return 0
    return max((steps - 1) * stride + length - size, 0) // 2


def _replacing(formula: Formula) -> Any:
    def replace(graph: Any, node: Any, name: str, args: Any) -> None:
        del name, args
        make = Maker(graph, node)
        make.replace(formula(make, *node.input))

    return (replace, [])


def _shapes(graph: Any, node: Any, name: str, args: Any) -> None:
    """ShapeN: the shapes of several tensors, all of which are known here."""
    del name, args
    make = Maker(graph, node)
    shapes = [make.shape(given) for given in node.input]
    outputs = list(node.output)
    dtypes = [graph.get_dtype(output) for output in outputs]
    graph.remove_node(node.name)
    for shape, output, dtype in zip(shapes, outputs, dtypes, strict=True):
        constant = make.constant(shape, np.int64)
        graph.make_node("Cast", [constant], attr={"to": dtype}, outputs=[output], shapes=[[len(shape)]], dtypes=[dtype])


_FORMULAS: Final[dict[str, Formula]] = {
    "ReluGrad": _relu,
    "Relu6Grad": _relu6,
    "LeakyReluGrad": _leaky_relu,
    "EluGrad": _elu,
    "SeluGrad": _selu,
    "SoftplusGrad": _softplus,
    "SoftsignGrad": _softsign,
    "SigmoidGrad": _sigmoid,
    "TanhGrad": _tanh,
    "RsqrtGrad": _rsqrt,
    "SqrtGrad": _sqrt,
    "ReciprocalGrad": _reciprocal,
    "MaxPoolGrad": _max_pool,
    "AvgPoolGrad": _average_pool,
    "Conv2DBackpropInput": _convolution,
    "DepthwiseConv2dNativeBackpropInput": _depthwise,
}
HANDLERS: Final[dict[str, Any]] = {
    **FORWARD,
    "ShapeN": (_shapes, []),
    **{name: _replacing(formula) for name, formula in _FORMULAS.items()},
}
