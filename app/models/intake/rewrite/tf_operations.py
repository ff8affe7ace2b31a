"""TensorFlow operations on symbolic tensors, which Keras 2 wrote as TFOpLambda layers, as operations of Keras 3.

x + y, x / 127.5, tf.nn.relu(x), tf.reduce_mean(x, 1), tf.concat([x, y], -1), x[:, -1] and the like, by name alone: no
code is in the file and none is looked up by what it says.
"""

from collections.abc import Callable
from typing import Any, Final

from app.models.intake.rewrite.change import Changes, Config
from app.models.intake.rewrite.nodes import is_reference, tensor
from app.models.intake.rewrite.objects import serialized
from app.models.intake.rewrite.refused import Refused

CLASSES: Final = frozenset({"TFOpLambda", "SlicingOpLambda"})

# What an operation becomes: its module and class, and how its config and inputs follow from the call's.
_Call = tuple[Config, list[Any]]
_Translate = Callable[[Any, Config], _Call]


def _unary(first: Any, given: Config) -> _Call:
    return {}, [first]


def _binary(first: Any, given: Config) -> _Call:
    return {}, [first, given.pop("y")]


def _reduced(first: Any, given: Config) -> _Call:
    return {"axis": given.pop("axis", None), "keepdims": bool(given.pop("keepdims", False))}, [first]


def _with_axis(first: Any, given: Config) -> _Call:
    return {"axis": given.pop("axis", -1)}, [first]


def _squeezed(first: Any, given: Config) -> _Call:
    return {"axis": given.pop("axis", None)}, [first]


def _reshaped(first: Any, given: Config) -> _Call:
    shape = given.pop("shape")
    if not isinstance(shape, list) or not all(isinstance(size, int) for size in shape):
        raise KeyError("shape")
    return {"newshape": shape}, [first]


def _transposed(first: Any, given: Config) -> _Call:
    given.pop("conjugate", None)
    return {"axes": given.pop("perm")}, [first]


def _multiplied(first: Any, given: Config) -> _Call:
    if any(given.pop(key, False) for key in ("transpose_a", "transpose_b", "adjoint_a", "adjoint_b")):
        raise KeyError("transpose")
    return {}, [first, given.pop("b")]


def _clipped(first: Any, given: Config) -> _Call:
    return {"x_min": given.pop("clip_value_min"), "x_max": given.pop("clip_value_max")}, [first]


def _gelu(first: Any, given: Config) -> _Call:
    return {"approximate": bool(given.pop("approximate", False))}, [first]


def _leaky(first: Any, given: Config) -> _Call:
    return {"negative_slope": given.pop("alpha", 0.2)}, [first]


def _tiled(first: Any, given: Config) -> _Call:
    return {"repeats": given.pop("multiples")}, [first]


def _padded(first: Any, given: Config) -> _Call:
    if str(given.pop("mode", "CONSTANT")).upper() != "CONSTANT" or given.pop("constant_values", 0):
        raise KeyError("mode")
    return {"pad_width": given.pop("paddings"), "mode": "constant"}, [first]


def _cast(first: Any, given: Config) -> _Call:
    return {"dtype": given.pop("dtype")}, [first]


def _sliced(first: Any, given: Config) -> _Call:
    spec = given.pop("slice_spec")
    return {}, [first, [_slice(one) for one in spec] if isinstance(spec, list) else _slice(spec)]


def _slice(spec: Any) -> Any:
    if spec is None or (isinstance(spec, int) and not isinstance(spec, bool)):
        return spec
    if isinstance(spec, dict) and spec.get("class_name") == "__ellipsis__":
        return {"class_name": "__ellipsis__", "config": {}}
    if isinstance(spec, dict) and all(isinstance(spec.get(key), int | None) for key in ("start", "stop", "step")):
        return {"class_name": "__slice__", "config": {key: spec.get(key) for key in ("start", "stop", "step")}}
    raise KeyError("slice_spec")


_OPERATIONS: dict[str, tuple[str, str, _Translate]] = {
    "cast": ("core", "Cast", _cast),
    "clip_by_value": ("numpy", "Clip", _clipped),
    "concat": ("numpy", "Concatenate", _with_axis),
    "expand_dims": ("numpy", "ExpandDims", _with_axis),
    "linalg.matmul": ("numpy", "Matmul", _multiplied),
    "math.divide": ("numpy", "TrueDivide", _binary),
    "math.erf": ("math", "Erf", _unary),
    "math.rsqrt": ("math", "Rsqrt", _unary),
    "math.sigmoid": ("nn", "Sigmoid", _unary),
    "math.softplus": ("nn", "Softplus", _unary),
    "nn.gelu": ("nn", "Gelu", _gelu),
    "nn.leaky_relu": ("nn", "LeakyRelu", _leaky),
    "nn.log_softmax": ("nn", "LogSoftmax", _with_axis),
    "nn.softmax": ("nn", "Softmax", _with_axis),
    "pad": ("numpy", "Pad", _padded),
    "__operators__.getitem": ("numpy", "GetItem", _sliced),
    "__operators__.add": ("numpy", "Add", _binary),
    "reshape": ("numpy", "Reshape", _reshaped),
    "squeeze": ("numpy", "Squeeze", _squeezed),
    "stack": ("numpy", "Stack", _with_axis),
    "tile": ("numpy", "Tile", _tiled),
    "transpose": ("numpy", "Transpose", _transposed),
}
for _name in ("mean", "sum", "max", "min", "prod"):
    _OPERATIONS[f"math.reduce_{_name}"] = ("numpy", _name.capitalize(), _reduced)
for _name, _class in {"pow": "Power", "truediv": "TrueDivide"}.items():
    _OPERATIONS[f"math.{_name}"] = ("numpy", _class, _binary)
for _name in ("add", "subtract", "multiply", "maximum", "minimum"):
    _OPERATIONS[f"math.{_name}"] = ("numpy", _name.capitalize(), _binary)
for _name in ("negative", "sqrt", "square", "exp", "log", "tanh", "sin", "cos", "sign", "log1p", "expm1", "reciprocal"):
    _OPERATIONS[f"math.{_name}"] = ("numpy", _name.capitalize(), _unary)
_OPERATIONS["math.abs"] = ("numpy", "Absolute", _unary)
for _name in ("relu", "relu6", "elu", "selu", "silu", "softsign", "sigmoid", "softplus"):
    _OPERATIONS[f"nn.{_name}"] = ("nn", _name.capitalize(), _unary)
_OPERATIONS["nn.tanh"] = ("numpy", "Tanh", _unary)


def rewrite_tf_operation(entry: Config, name: str, path: str, changes: Changes) -> Config:
    """Return a TensorFlow operation with its calls as Keras 3 writes the like. Refused: `unsupported_operation`."""
    function = str(entry["config"].get("function") or "")
    known = _OPERATIONS.get(function.removeprefix("compat.v1."))
    refused = Refused("unsupported_operation", f"The TensorFlow operation {function[:60]!r} is not taken in.", path)
    calls = entry.get("inbound_nodes")
    if known is None or not isinstance(calls, list) or len(calls) != 1:
        raise refused
    module, class_name, translate = known
    try:
        first, given = _read(calls[0])
        config, args = translate(first, given)
    except KeyError as error:
        raise refused from error
    if any(value is not None for key, value in given.items() if key != "name"):
        raise refused
    changes.note(path, f"TensorFlow's {function} became the Keras operation {class_name}")
    layer = serialized(f"keras.src.ops.{module}", class_name, {"name": name, **config}, class_name)
    return {**layer, "name": name, "inbound_nodes": [{"args": args, "kwargs": {}}]}


def _read(call: Any) -> tuple[Any, Config]:
    """Return the first argument of a call and the others by name, tensors as Keras 3 writes them."""
    if is_reference(call) or _is_constant(call):
        call = [call]
    if not isinstance(call, list) or not call:
        raise KeyError("call")
    if len(call) == 1 and not isinstance(call[0], str):
        entries, is_list = [call[0]], False
        if not (is_reference(call[0]) or _is_constant(call[0])) and isinstance(call[0], list):
            entries, is_list = call[0], True
    else:
        entries, is_list = call, True
    given: Config = {}
    values = []
    for entry in entries:
        if not (is_reference(entry) or _is_constant(entry)):
            raise KeyError("call")
        values.append(entry[2] if _is_constant(entry) else tensor(*entry[:3]))
        given.update((entry[3] if len(entry) == 4 else None) or {})
    return (values if is_list else values[0]), {key: _tensors(value) for key, value in given.items()}


def _is_constant(entry: Any) -> bool:
    return isinstance(entry, list) and len(entry) in (3, 4) and entry[0] == "_CONSTANT_VALUE"


def _tensors(value: Any) -> Any:
    return tensor(*value) if is_reference(value) and len(value) == 3 else value
