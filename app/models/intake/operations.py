"""Shapes of Keras operations (`keras.ops`) that stand in a Functional model beside layers: x + y, x[:, 0], ops.mean(x).

Shapes here have the batch axis in front, as None, for operations count it. One that mixes rows, or would give another
number of them, is refused: a prediction depends on its own row alone.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from app.models.intake.allow_list import Fields
from app.models.intake.shapes import Length, Misfit, Shape, elements
from app.models.intake.shapes_of_sequences import broadcast
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
class Operand:
    """A tensor among the arguments, by its shape with the batch axis; what else is there is plain."""

    shape: Shape


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


def _tensor(args: list[Any], at: int = 0) -> Shape:
    if at < len(args) and isinstance(args[at], Operand):
        return tuple(args[at].shape)
    raise Misfit("needs a tensor")


def _tensors(args: list[Any]) -> list[Shape]:
    listed_args = args[0] if args and isinstance(args[0], list) else args
    if not listed_args or not all(isinstance(arg, Operand) for arg in listed_args):
        raise Misfit("needs tensors")
    return [tuple(arg.shape) for arg in listed_args]


def _index(axis: int, rank: int) -> int:
    """Return an axis counted from 0; Misfit for the batch axis and for one that is not there."""
    at = axis if axis >= 0 else rank + axis
    if not 0 < at < rank:
        raise Misfit(f"has axis {axis}, which is that of rows or none of {rank}")
    return at


def _unary(args: list[Any], config: dict[str, Any]) -> list[Shape]:
    del config
    return [_tensor(args)]


def _elementwise(args: list[Any], config: dict[str, Any]) -> list[Shape]:
    del config
    shape: Shape | None = None
    for arg in args:
        if isinstance(arg, Operand):
            shape = tuple(arg.shape) if shape is None else broadcast(shape, tuple(arg.shape))
        elif isinstance(arg, list | dict | str):
            raise Misfit("has an argument that is neither a tensor nor a number")
    if shape is None:
        raise Misfit("needs a tensor")
    return [shape]


def _reduce(args: list[Any], config: dict[str, Any]) -> list[Shape]:
    shape, axis = _tensor(args), config.get("axis")
    if axis is None:
        raise Misfit("reduces over rows")
    gone = {_index(int(one), len(shape)) for one in (axis if isinstance(axis, list) else [axis])}
    if config.get("keepdims"):
        return [tuple(1 if at in gone else length for at, length in enumerate(shape))]
    return [tuple(length for at, length in enumerate(shape) if at not in gone)]


def _flip(args: list[Any], config: dict[str, Any]) -> list[Shape]:
    _reduce(args, config)  # of the axes
    return [_tensor(args)]


def _reshape(args: list[Any], config: dict[str, Any]) -> list[Shape]:
    shape, target = _tensor(args), [int(length) for length in config["newshape"]]
    if not target or target[0] != -1 or -1 in target[1:]:
        raise Misfit("does not keep the rows as they are: newshape must begin with its only -1")
    rest: Shape = tuple(target[1:])
    if None in shape[1:] or elements(rest) != elements(shape[1:]):
        raise Misfit(f"cannot give rows of the shape {list(shape[1:])} the shape {list(rest)}")
    return [(None, *rest)]


def _transpose(args: list[Any], config: dict[str, Any]) -> list[Shape]:
    shape, axes = _tensor(args), config.get("axes")
    if not isinstance(axes, list) or sorted(axes) != list(range(len(shape))) or axes[0] != 0:
        raise Misfit("does not keep the rows in place")
    return [tuple(shape[int(axis)] for axis in axes)]


def _concatenate(args: list[Any], config: dict[str, Any]) -> list[Shape]:
    shapes = _tensors(args)
    at = _index(int(config.get("axis", -1)), len(shapes[0]))
    if any(len(shape) != len(shapes[0]) for shape in shapes):
        raise Misfit("joins tensors of different ranks")
    lengths = [shape[at] for shape in shapes]
    joined = None if None in lengths else sum(length or 0 for length in lengths)
    return [(*shapes[0][:at], joined, *shapes[0][at + 1 :])]


def _stack(args: list[Any], config: dict[str, Any]) -> list[Shape]:
    shapes = _tensors(args)
    at = _index(int(config.get("axis", 0)), len(shapes[0]) + 1)
    return [(*shapes[0][:at], len(shapes), *shapes[0][at:])]


def _expand(args: list[Any], config: dict[str, Any]) -> list[Shape]:
    shape, axis = _tensor(args), config["axis"]
    if isinstance(axis, list):
        raise Misfit("adds more than one axis")
    at = _index(int(axis), len(shape) + 1)
    return [(*shape[:at], 1, *shape[at:])]


def _squeeze(args: list[Any], config: dict[str, Any]) -> list[Shape]:
    shape, axis = _tensor(args), config.get("axis")
    if axis is None:
        raise Misfit("needs an axis")
    gone = {_index(int(one), len(shape)) for one in (axis if isinstance(axis, list) else [axis])}
    return [tuple(length for at, length in enumerate(shape) if at not in gone)]


def _split(args: list[Any], config: dict[str, Any]) -> list[Shape]:
    shape, parts = _tensor(args), config["indices_or_sections"]
    at = _index(int(config.get("axis", 0)), len(shape))
    length = shape[at]
    if isinstance(parts, list):
        if length is None:
            raise Misfit("cuts an axis of free length")
        ends = [min(max(int(end), 0), length) for end in parts]
        pairs = zip([0, *ends], [*ends, length], strict=True)
        lengths: list[Length] = [max(stop - start, 0) for start, stop in pairs]
    else:
        if length is None or length % int(parts):
            raise Misfit(f"cannot cut an axis of {length} in {parts} equal parts")
        lengths = [length // int(parts)] * int(parts)
    return [(*shape[:at], one, *shape[at + 1 :]) for one in lengths]


def _repeat(args: list[Any], config: dict[str, Any]) -> list[Shape]:
    shape, axis = _tensor(args), config.get("axis")
    if axis is None:
        raise Misfit("needs an axis")
    at, length = _index(int(axis), len(shape)), shape[_index(int(axis), len(shape))]
    return [(*shape[:at], None if length is None else length * int(config["repeats"]), *shape[at + 1 :])]


def _tile(args: list[Any], config: dict[str, Any]) -> list[Shape]:
    shape, repeats = _tensor(args), config["repeats"]
    if not isinstance(repeats, list) or len(repeats) != len(shape) or repeats[0] != 1:
        raise Misfit("does not keep the rows as they are")
    return [tuple(None if n is None else n * int(times) for n, times in zip(shape, repeats, strict=True))]


def _pad(args: list[Any], config: dict[str, Any]) -> list[Shape]:
    shape, widths = _tensor(args), config["pad_width"]
    if not isinstance(widths, list) or len(widths) != len(shape) or widths[0] not in ([0, 0], 0):
        raise Misfit("does not keep the rows as they are")
    pairs = [width if isinstance(width, list) and len(width) == 2 else [width, width] for width in widths]
    return [tuple(None if n is None else n + int(a) + int(b) for n, (a, b) in zip(shape, pairs, strict=True))]


def _matmul(args: list[Any], config: dict[str, Any]) -> list[Shape]:
    del config
    left, right = _tensor(args), _tensor(args, 1)
    if len(left) < 3 or len(left) != len(right):
        raise Misfit("multiplies other than matrices of rows")
    return [(*broadcast(left[:-2], right[:-2]), left[-2], right[-1])]


def _swap(args: list[Any], config: dict[str, Any]) -> list[Shape]:
    shape = list(_tensor(args))
    first, second = (_index(int(config[key]), len(shape)) for key in ("axis1", "axis2"))
    shape[first], shape[second] = shape[second], shape[first]
    return [tuple(shape)]


def _one_hot(args: list[Any], config: dict[str, Any]) -> list[Shape]:
    if int(config.get("axis", -1)) != -1:
        raise Misfit("has its classes elsewhere than on the last axis")
    return [(*_tensor(args), int(config["num_classes"]))]


def _top(args: list[Any], config: dict[str, Any]) -> list[Shape]:
    shape = _tensor(args)
    if len(shape) < 2:
        raise Misfit("needs values in each row")
    return [(*shape[:-1], int(config["k"]))] * 2


def _get_item(args: list[Any], config: dict[str, Any]) -> list[Shape]:
    del config
    shape = _tensor(args)
    key = args[1] if len(args) > 1 else None
    keys = list(key) if isinstance(key, list) else [key]
    ellipses = [at for at, one in enumerate(keys) if _kind(one) == "__ellipsis__"]
    used = sum(one is not None and _kind(one) != "__ellipsis__" for one in keys)
    if len(ellipses) > 1 or used > len(shape):
        raise Misfit("picks from more axes than there are")
    everything: dict[str, Any] = {"class_name": "__slice__", "config": {}}
    at = ellipses[0] if ellipses else len(keys)
    keys = [*keys[:at], *[everything] * (len(shape) - used), *keys[at + 1 :]]
    if (
        not isinstance(keys[0], dict)
        or _kind(keys[0]) != "__slice__"
        or any(value is not None for value in keys[0]["config"].values())
    ):
        raise Misfit("picks among rows")
    lengths, out = list(shape), list[Length]()
    for one in keys:
        if one is None:
            out.append(1)
        elif isinstance(one, int) and not isinstance(one, bool):
            length = lengths.pop(0)
            if length is not None and not -length <= one < length:
                raise Misfit(f"picks number {one} of {length}")
        elif isinstance(one, dict) and _kind(one) == "__slice__":
            out.append(_sliced(lengths.pop(0), one["config"]))
        else:
            raise Misfit("picks by something other than numbers and slices")
    return [tuple(out)]


def _kind(key: Any) -> str:
    return str(key.get("class_name")) if isinstance(key, dict) else ""


def _sliced(length: Length, config: dict[str, Any]) -> Length:
    parts = [config.get(name) for name in ("start", "stop", "step")]
    if parts == [None, None, None]:
        return length
    if parts[2] == 0:
        raise Misfit("has a slice of step 0")
    return None if length is None else len(range(*slice(*parts).indices(length)))


_NUMPY: dict[str, Operation] = {
    **{name: Operation({}, _unary) for name in (
        "Absolute", "Cos", "Exp", "Expm1", "Log", "Log1p", "LogicalNot", "Negative", "Reciprocal", "Sign", "Sin",
        "Sqrt", "Square", "Tanh")},
    **{name: Operation({}, _elementwise) for name in (
        "Add", "Divide", "Equal", "Greater", "GreaterEqual", "Less", "LessEqual", "LogicalAnd", "LogicalOr", "Maximum",
        "Minimum", "Multiply", "NotEqual", "Power", "Subtract", "TrueDivide", "Where")},
    **{name: Operation({**_AXES, "keepdims": truth, "initial": choice(None)}, _reduce) for name in (
        "Argmax", "Argmin", "Max", "Mean", "Min", "Prod", "Std", "Sum", "Var")},
    "Clip": Operation({"x_min": _NUMBER, "x_max": _NUMBER}, _unary),
    "Round": Operation({"decimals": whole(-20, 20)}, _unary),
    "Flip": Operation(_AXES, _flip),
    "Concatenate": Operation(_ONE_AXIS, _concatenate),
    "Stack": Operation(_ONE_AXIS, _stack),
    "ExpandDims": Operation(_AXES, _expand),
    "Squeeze": Operation(_AXES, _squeeze),
    "Reshape": Operation({"newshape": listed(whole(-1), _MOST_AXES)}, _reshape),
    "Transpose": Operation({"axes": listed(whole(0, _MOST_AXES), _MOST_AXES)}, _transpose),
    "Split": Operation(
        {**_ONE_AXIS, "indices_or_sections": listed(whole(0, 65_536), 64, single=True)}, _split
    ),
    "Repeat": Operation({**_ONE_AXIS, "repeats": _COUNT}, _repeat),
    "Tile": Operation({"repeats": listed(_COUNT, _MOST_AXES)}, _tile),
    "Pad": Operation(
        {"pad_width": listed(listed(whole(0, 65_536), 2, single=True), _MOST_AXES), "mode": choice("constant")}, _pad
    ),
    "Matmul": Operation({}, _matmul),
    "SwapAxes": Operation({"axis1": _AXIS, "axis2": _AXIS}, _swap),
    "Swapaxes": Operation({"axis1": _AXIS, "axis2": _AXIS}, _swap),
    "GetItem": Operation({}, _get_item),
}  # fmt: skip
_NN: dict[str, Operation] = {
    **{name: Operation({}, _unary) for name in (
        "HardSigmoid", "HardSilu", "HardTanh", "LogSigmoid", "Relu", "Relu6", "Selu", "Sigmoid", "Silu", "Softplus",
        "Softsign")},
    "Celu": Operation({"alpha": _NUMBER}, _unary),
    "Elu": Operation({"alpha": _NUMBER}, _unary),
    "LeakyRelu": Operation({"negative_slope": _NUMBER}, _unary),
    "Gelu": Operation({"approximate": truth}, _unary),
    "Softmax": Operation(_ONE_AXIS, _unary),
    "LogSoftmax": Operation(_ONE_AXIS, _unary),
    "Normalize": Operation({**_ONE_AXIS, "order": whole(1, 8), "epsilon": _NUMBER}, _unary),
    "OneHot": Operation(
        {"num_classes": _COUNT, **_ONE_AXIS, "dtype": dtype, "sparse": choice(False, None)}, _one_hot
    ),
}  # fmt: skip
_OPERATIONS: dict[tuple[str, str], Operation] = {
    **{("numpy", name): operation for name, operation in _NUMPY.items()},
    **{("nn", name): operation for name, operation in _NN.items()},
    ("math", "Erf"): Operation({}, _unary),
    ("math", "Rsqrt"): Operation({}, _unary),
    ("math", "Logsumexp"): Operation({**_AXES, "keepdims": truth}, _reduce),
    ("math", "TopK"): Operation({"k": _COUNT, "sorted": truth}, _top),
    ("core", "Cast"): Operation({"dtype": dtype}, _unary),
}
COMMON: Fields = {"name": layer_name, "dtype": dtype}
