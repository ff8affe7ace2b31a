"""Shapes of Keras operations (`keras.ops`) that stand in a Functional model beside layers: x + y, x[:, 0], ops.mean(x).

Shapes here have the batch axis in front, as None, for operations count it. One that mixes rows, or would give another
number of them, is refused: a prediction depends on its own row alone.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from app.models.intake import shapes_of_operations as apply
from app.models.intake.layer_rules import Fields
from app.models.intake.shapes import Shape
from app.models.intake.values import choice, dtype, layer_name, listed, number, truth, whole

_MODULE = re.compile(r"keras\.(?:src\.)?ops\.(core|numpy|nn|math)")
_MOST_AXES = 9
_NUMBER = number(-1e30, 1e30, nullable=True)
_AXIS = whole(-_MOST_AXES, _MOST_AXES)
_ONE_AXIS: Fields = {"axis": _AXIS}
_AXES: Fields = {"axis": listed(_AXIS, _MOST_AXES, nullable=True, single=True)}
_COUNT = whole(1, 65_536)

Apply = Callable[[list[Any], dict[str, Any]], list[Shape]]


@dataclass(frozen=True)
class Operation:
    """One operation: its fields, and the shapes that it gives for its arguments."""

    fields: Fields
    apply: Apply


def is_operation(node: Any) -> bool:
    """Whether an entry among the layers is an operation."""
    module = node.get("module") if isinstance(node, dict) else None
    return isinstance(module, str) and _MODULE.fullmatch(module) is not None


def find_operation(node: dict[str, Any]) -> Operation | None:
    """Return the operation of an entry, None for one that is not taken in."""
    matched = _MODULE.fullmatch(str(node.get("module")))
    name = node.get("class_name")
    module = matched.group(1) if matched else ""
    return _OPERATIONS.get((module, name)) if isinstance(name, str) else None


_NUMPY: dict[str, Operation] = {
    **{name: Operation({}, apply.unary) for name in (
        "Absolute", "Cos", "Exp", "Expm1", "Log", "Log1p", "LogicalNot", "Negative", "Reciprocal", "Sign", "Sin",
        "Sqrt", "Square", "Tanh")},
    **{name: Operation({}, apply.elementwise) for name in (
        "Add", "Divide", "Equal", "Greater", "GreaterEqual", "Less", "LessEqual", "LogicalAnd", "LogicalOr", "Maximum",
        "Minimum", "Multiply", "NotEqual", "Power", "Subtract", "TrueDivide", "Where")},
    **{name: Operation({**_AXES, "keepdims": truth, "initial": choice(None)}, apply.reduce) for name in (
        "All", "Any", "Argmax", "Argmin", "Max", "Mean", "Min", "Prod", "Std", "Sum", "Var")},
    "Clip": Operation({"x_min": _NUMBER, "x_max": _NUMBER}, apply.unary),
    "Round": Operation({"decimals": whole(-20, 20)}, apply.unary),
    "Flip": Operation(_AXES, apply.flip),
    "Concatenate": Operation(_ONE_AXIS, apply.concatenate),
    "Stack": Operation(_ONE_AXIS, apply.stack),
    "ExpandDims": Operation(_AXES, apply.expand),
    "Squeeze": Operation(_AXES, apply.squeeze),
    "Reshape": Operation({"newshape": listed(whole(-1), _MOST_AXES)}, apply.reshape),
    "Transpose": Operation({"axes": listed(whole(0, _MOST_AXES), _MOST_AXES)}, apply.transpose),
    "Split": Operation(
        {**_ONE_AXIS, "indices_or_sections": listed(whole(0, 65_536), 64, single=True)}, apply.split
    ),
    "Repeat": Operation({**_ONE_AXIS, "repeats": _COUNT}, apply.repeat),
    "Tile": Operation({"repeats": listed(_COUNT, _MOST_AXES)}, apply.tile),
    "Pad": Operation(
        {"pad_width": listed(listed(whole(0, 65_536), 2, single=True), _MOST_AXES), "mode": choice("constant")},
        apply.pad,
    ),
    "Matmul": Operation({}, apply.matmul),
    "SwapAxes": Operation({"axis1": _AXIS, "axis2": _AXIS}, apply.swap),
    "Swapaxes": Operation({"axis1": _AXIS, "axis2": _AXIS}, apply.swap),
    "GetItem": Operation({}, apply.get_item),
}  # fmt: skip
_NN: dict[str, Operation] = {
    **{name: Operation({}, apply.unary) for name in (
        "HardSigmoid", "HardSilu", "HardTanh", "LogSigmoid", "Relu", "Relu6", "Selu", "Sigmoid", "Silu", "Softplus",
        "Softsign")},
    "Celu": Operation({"alpha": _NUMBER}, apply.unary),
    "Elu": Operation({"alpha": _NUMBER}, apply.unary),
    "LeakyRelu": Operation({"negative_slope": _NUMBER}, apply.unary),
    "Gelu": Operation({"approximate": truth}, apply.unary),
    "Softmax": Operation(_ONE_AXIS, apply.unary),
    "LogSoftmax": Operation(_ONE_AXIS, apply.unary),
    "Normalize": Operation({**_ONE_AXIS, "order": whole(1, 8), "epsilon": _NUMBER}, apply.unary),
    "OneHot": Operation(
        {"num_classes": _COUNT, **_ONE_AXIS, "dtype": dtype, "sparse": choice(False, None)}, apply.one_hot
    ),
}  # fmt: skip
_OPERATIONS: dict[tuple[str, str], Operation] = {
    **{("numpy", name): operation for name, operation in _NUMPY.items()},
    **{("nn", name): operation for name, operation in _NN.items()},
    ("math", "Erf"): Operation({}, apply.unary),
    ("math", "Rsqrt"): Operation({}, apply.unary),
    ("math", "Logsumexp"): Operation({**_AXES, "keepdims": truth}, apply.reduce),
    ("math", "TopK"): Operation({"k": _COUNT, "sorted": truth}, apply.top),
    ("core", "Cast"): Operation({"dtype": dtype}, apply.unary),
}
COMMON: Fields = {"name": layer_name, "dtype": dtype}
