"""Operations of Keras 3 (`keras.ops`) that stand in a Functional model beside layers: x + y, x[:, 0], ops.relu(x)."""

import re
from typing import Any, Final

from app.models.intake.rewrite.change import Config
from app.models.intake.rewrite.objects import serialized
from app.models.intake.rewrite.refused import Refused


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


_MODULE: Final = re.compile(r"keras\.(?:src\.)?ops\.(core|numpy|nn|math)")

# Pure functions of tensors, by the module of keras.ops that has them.
OPERATIONS: Final[dict[str, frozenset[str]]] = {
    "numpy": _names(
        "Absolute Add Argmax Argmin Clip Concatenate Cos Divide Dot Einsum Equal Exp ExpandDims Expm1 Flip GetItem "
        "Greater GreaterEqual Less LessEqual Log Log1p LogicalAnd LogicalNot LogicalOr Matmul Max Maximum Mean Min "
        "Minimum Moveaxis Multiply Negative NotEqual Pad Power Prod Reciprocal Repeat Reshape Round Sign Sin Split "
        "Sqrt Square Squeeze Stack Std Subtract Sum SwapAxes Take Tanh Tile Transpose TrueDivide Var Where"
    ),
    "nn": _names(
        "Celu Elu Gelu HardSigmoid HardSilu HardTanh LeakyRelu LogSigmoid LogSoftmax Normalize OneHot Relu Relu6 Selu "
        "Sigmoid Silu Softmax Softplus Softsign"
    ),
    "math": frozenset(["Logsumexp", "Rsqrt", "TopK", "Erf"]),
    "core": frozenset({"Cast"}),
}


def is_operation(entry: Any) -> bool:
    """Whether an entry among the layers is an operation."""
    return isinstance(entry, dict) and _MODULE.fullmatch(str(entry.get("module"))) is not None


def rewrite_operation(entry: Config, path: str) -> Config:
    """Return an operation as Keras 3 writes it. Refused: `unsupported_operation`."""
    matched = _MODULE.fullmatch(str(entry.get("module")))
    module, class_name = matched.group(1) if matched else "", entry["class_name"]
    if class_name not in OPERATIONS.get(module, frozenset()):
        raise Refused("unsupported_operation", f"The operation {class_name[:60]!r} is not one that is taken in.", path)
    return serialized(f"keras.src.ops.{module}", class_name, entry["config"], class_name)
