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
        "Absolute Add All Any Argmax Argmin Clip Concatenate Cos Divide Dot Einsum Equal Exp ExpandDims Expm1 Flip "
        "GetItem Greater GreaterEqual Less LessEqual Log Log1p LogicalAnd LogicalNot LogicalOr Matmul Max Maximum "
        "Mean Min Minimum Moveaxis Multiply Negative NotEqual Pad Power Prod Reciprocal Repeat Reshape Round Sign "
        "Sin Split Sqrt Square Squeeze Stack Std Subtract Sum Swapaxes Take Tanh Tile Transpose TrueDivide Var Where"
    ),
    "nn": _names(
        "Celu Elu Gelu HardSigmoid HardSilu HardTanh LeakyRelu LogSigmoid LogSoftmax Normalize OneHot Relu Relu6 Selu "
        "Sigmoid Silu Softmax Softplus Softsign"
    ),
    "math": frozenset(["Logsumexp", "Rsqrt", "TopK", "Erf"]),
    "core": frozenset({"Cast"}),
}


def is_operation(entry: Any) -> bool:
    """Whether an entry among the layers is an operation; HDF5 files do not say the module."""
    if not isinstance(entry, dict) or "module" in entry:
        return isinstance(entry, dict) and _MODULE.fullmatch(str(entry["module"])) is not None
    config = entry.get("config")
    return _module_of(entry.get("class_name")) != "" and isinstance(config, dict) and "trainable" not in config


def _module_of(class_name: Any) -> str:
    return next(
        (module for module, classes in OPERATIONS.items() if isinstance(class_name, str) and class_name in classes), ""
    )


def rewrite_operation(entry: Config, path: str) -> Config:
    """Return an operation as Keras 3 writes it. Refused: `unsupported_operation`."""
    class_name = entry["class_name"]
    matched = _MODULE.fullmatch(str(entry.get("module")))
    module = matched.group(1) if matched else _module_of(class_name)
    if class_name not in OPERATIONS.get(module, frozenset()):
        raise Refused("unsupported_operation", f"The operation {class_name[:60]!r} is not one that is taken in.", path)
    return serialized(f"keras.src.ops.{module}", class_name, entry["config"], class_name)
