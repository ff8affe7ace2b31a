"""What a field of a Keras layer config may hold: checked as plain data, so that nothing unlisted is ever built."""

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from app.core.errors import Unprocessable

Check = Callable[[Any, str], Any]

ACTIVATIONS = (
    "linear", "relu", "relu6", "leaky_relu", "elu", "selu", "celu", "gelu", "silu", "swish", "mish", "tanh", "sigmoid",
    "hard_sigmoid", "softplus", "softsign", "softmax", "exponential",
)  # fmt: skip
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_.-]{0,63}")

# class → its numeric fields; a seed is a whole number or null everywhere
_INITIALIZERS: dict[str, tuple[str, ...]] = {
    "Zeros": (),
    "Ones": (),
    "Constant": ("value",),
    "RandomNormal": ("mean", "stddev"),
    "RandomUniform": ("minval", "maxval"),
    "TruncatedNormal": ("mean", "stddev"),
    "GlorotNormal": (),
    "GlorotUniform": (),
    "HeNormal": (),
    "HeUniform": (),
    "LecunNormal": (),
    "LecunUniform": (),
    "Orthogonal": ("gain",),
    "Identity": ("gain",),
}
_REGULARIZERS: dict[str, tuple[str, ...]] = {"L1": ("l1",), "L2": ("l2",), "L1L2": ("l1", "l2")}
_CONSTRAINTS: dict[str, tuple[str, ...]] = {
    "MaxNorm": ("max_value",),
    "NonNeg": (),
    "UnitNorm": (),
    "MinMaxNorm": ("min_value", "max_value", "rate"),
}
# Unseeded and fixed ones have no seed in Keras.
_SEEDLESS = frozenset({"Zeros", "Ones", "Constant", "Identity"})


def refuse(param: str, message: str) -> Unprocessable:
    """Return the error that names a field of a layer."""
    return Unprocessable(f"{param}: {message}", param=param)


def whole(low: int, high: int, *, nullable: bool = False) -> Check:
    """A whole number from `low` to `high`."""

    def check(value: Any, param: str) -> int | None:
        if value is None and nullable:
            return None
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            raise refuse(param, f"must be a whole number from {low} to {high}, got {_show(value)}.")
        return value

    return check


def number(low: float, high: float, *, nullable: bool = False, below: bool = False) -> Check:
    """A number from `low` to `high`; less than `high` where `below`."""

    def check(value: Any, param: str) -> float | None:
        if value is None and nullable:
            return None
        fits = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
        if not fits or not low <= value <= high or (below and value == high):
            to = "to below" if below else "to"
            raise refuse(param, f"must be a number from {low:g} {to} {high:g}, got {_show(value)}.")
        return float(value)

    return check


def truth(value: Any, param: str) -> bool:
    """True or false."""
    if not isinstance(value, bool):
        raise refuse(param, f"must be true or false, got {_show(value)}.")
    return value


def choice(*choices: Any) -> Check:
    """One of a few values."""

    def check(value: Any, param: str) -> Any:
        if not any(value is one or (type(value) is type(one) and value == one) for one in choices):
            raise refuse(param, f"must be one of {', '.join(map(_show, choices))}, got {_show(value)}.")
        return value

    return check


def sizes(length: int, low: int, high: int, *, nullable: bool = False) -> Check:
    """`length` whole numbers, or one that stands for all of them."""
    one = whole(low, high)

    def check(value: Any, param: str) -> list[int] | None:
        if value is None and nullable:
            return None
        if isinstance(value, list | tuple):
            if len(value) != length:
                raise refuse(param, f"must be {length} whole number{'s' if length > 1 else ''}, got {_show(value)}.")
            return [one(item, f"{param}[{index}]") for index, item in enumerate(value)]
        return [one(value, param)] * length

    return check


def dimensions(low: int, most: int) -> Check:
    """A list of 1 to `most` whole numbers ≥ `low`."""
    one = whole(low, 1_000_000)

    def check(value: Any, param: str) -> list[int]:
        if not isinstance(value, list | tuple) or not 1 <= len(value) <= most:
            raise refuse(param, f"must be a list of 1 to {most} whole numbers, got {_show(value)}.")
        return [one(item, f"{param}[{index}]") for index, item in enumerate(value)]

    return check


def activation(value: Any, param: str) -> str:
    """The name of an activation; null is linear."""
    if value is None:
        return "linear"
    if value not in ACTIVATIONS:
        raise refuse(param, f"must be one of {', '.join(ACTIVATIONS)}, got {_show(value)}.")
    return str(value)


def layer_name(value: Any, param: str) -> str:
    """A name of a layer."""
    if not isinstance(value, str) or not _NAME.fullmatch(value):
        raise refuse(param, f"must be 1 to 64 letters, digits, '_', '-' or '.', a letter first, got {_show(value)}.")
    return value


def precision(value: Any, param: str) -> None:
    """A layer's own dtype: only what it has anyway; `training.precision` sets it for all."""
    name = value.get("config", {}).get("name") if isinstance(value, dict) else value
    if name not in (None, "float32"):
        raise refuse(param, f"must be float32 or left out; see training.precision. Got {_show(value)}.")


@dataclass(frozen=True)
class _Objects:
    """Small objects of Keras by name or as {"class_name", "config"}, with numbers only."""

    kind: str
    module: str
    fields: Mapping[str, tuple[str, ...]]
    nullable: bool

    def __call__(self, value: Any, param: str) -> Any:
        if value is None and self.nullable:
            return None
        if isinstance(value, str):
            name = self._class(value)
            if name is None:
                raise self._unknown(value, param)
            return {"module": self.module, "class_name": name, "config": {}}
        if not isinstance(value, dict) or not isinstance(value.get("class_name"), str):
            raise refuse(
                param, f"must be the name of one, or an object with class_name and config, got {_show(value)}."
            )
        name = self._class(value["class_name"])
        if name is None:
            raise self._unknown(value["class_name"], f"{param}.class_name")
        config = value.get("config") or {}
        if not isinstance(config, dict):
            raise refuse(f"{param}.config", f"must be an object, got {_show(config)}.")
        return {"module": self.module, "class_name": name, "config": self._config(name, config, f"{param}.config")}

    def _config(self, name: str, config: dict[str, Any], param: str) -> dict[str, Any]:
        checked: dict[str, Any] = {}
        for key, value in config.items():
            if key == "seed" and self.kind == "initializer" and name not in _SEEDLESS:
                checked[key] = whole(0, 2**31 - 1, nullable=True)(value, f"{param}.{key}")
            elif key in self.fields[name]:
                checked[key] = number(-1e6, 1e6)(value, f"{param}.{key}")
            elif key in ("axis", "dtype", "input_axes", "output_axes", "batch_axes"):
                continue  # written by Keras beside the others: the layer sets them by itself
            else:
                known = ", ".join(self.fields[name]) or "no fields"
                raise refuse(f"{param}.{key}", f"there is no such field; {name} has {known}.")
        return checked

    def _class(self, name: str) -> str | None:
        plain = name.replace("_", "").lower()
        short = {"zero": "zeros", "one": "ones", "normal": "randomnormal", "uniform": "randomuniform"}
        plain = short.get(plain, plain)
        return next((known for known in self.fields if known.lower() == plain), None)

    def _unknown(self, name: str, param: str) -> Unprocessable:
        return refuse(param, f"there is no {self.kind} {_show(name)}; choose from {', '.join(self.fields)}.")


initializer = _Objects("initializer", "keras.initializers", _INITIALIZERS, nullable=False)
regularizer = _Objects("regularizer", "keras.regularizers", _REGULARIZERS, nullable=True)
constraint = _Objects("constraint", "keras.constraints", _CONSTRAINTS, nullable=True)


def _show(value: Any) -> str:
    shown = repr(value)
    return shown if len(shown) <= 60 else f"{shown[:60]}…"
