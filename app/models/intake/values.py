"""What a field of a Keras 3 layer config may hold, as plain data: what is not listed here is never built.

A check takes a value and returns what is wrong with it, "" where nothing is.
"""

import math
import re
from collections.abc import Callable
from typing import Any

from app.models.intake.findings import shown

Check = Callable[[Any], str]

MAX_EXTENT = 2**31 - 1
_NAME = re.compile(r"[\w][\w .:+()\-]{0,127}")
ACTIVATIONS = frozenset({
    "linear", "relu", "relu6", "leaky_relu", "elu", "selu", "celu", "gelu", "glu", "silu", "swish", "mish", "tanh",
    "sigmoid", "hard_sigmoid", "hard_silu", "hard_swish", "hard_tanh", "hard_shrink", "soft_shrink", "tanh_shrink",
    "squareplus", "sparse_plus", "sparse_sigmoid", "softplus", "softsign", "softmax", "sparsemax", "log_softmax",
    "log_sigmoid", "exponential", "threshold",
})  # fmt: skip
DTYPES = frozenset({
    "float16", "bfloat16", "float32", "float64", "mixed_float16", "mixed_bfloat16", "bool",
    "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32",
})  # fmt: skip
_FUNCTION_MODULES = frozenset({None, "builtins", "keras.activations", "keras.src.activations.activations"})
_SEED = "seed"
# What a rewritten config names of ours; Keras finds it by the registered name and imports no module for it.
_OURS = ("SequenceMask",)
_OUR_FUNCTIONS = ("trainyard>keras2_hard_sigmoid",)
_OUR_MODULES = ("trainyard", "workers.architectures.legacy")


def anything_small(value: Any) -> str:
    """A plain value that Keras writes and nothing is built from."""
    if value is None or isinstance(value, bool | int | float) or (isinstance(value, str) and len(value) <= 128):
        return ""
    return f"is {shown(value)}, not a plain value"


def whole(low: int, high: int = MAX_EXTENT, *, nullable: bool = False) -> Check:
    """A whole number from `low` to `high`."""

    def check(value: Any) -> str:
        if value is None and nullable:
            return ""
        is_number = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
        # Keras wrote some whole numbers as 2.0.
        if not is_number or value != int(value) or not low <= value <= high:
            return f"is {shown(value)}, not a whole number from {low} to {high}"
        return ""

    return check


def number(low: float, high: float, *, nullable: bool = False) -> Check:
    """A finite number from `low` to `high`."""

    def check(value: Any) -> str:
        if value is None and nullable:
            return ""
        fits = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
        return "" if fits and low <= value <= high else f"is {shown(value)}, not a number from {low:g} to {high:g}"

    return check


def truth(value: Any) -> str:
    """True or false; null is Keras' default."""
    return "" if value is None or isinstance(value, bool) else f"is {shown(value)}, neither true nor false"


def choice(*choices: Any) -> Check:
    """One of a few values."""

    def check(value: Any) -> str:
        if any(type(value) is type(one) and value == one for one in choices):
            return ""
        return f"is {shown(value)}, not one of {', '.join(map(repr, choices))}"

    return check


def listed(item: Check, most: int, *, least: int = 0, nullable: bool = False, single: bool = False) -> Check:
    """A list of `least` to `most` values that each pass `item`; with `single`, one value alone too."""

    def check(value: Any) -> str:
        if value is None and nullable:
            return ""
        if single and not isinstance(value, list):
            return item(value)
        if not isinstance(value, list) or not least <= len(value) <= most:
            return f"is {shown(value)}, not a list of {least} to {most} values"
        return next((wrong for wrong in map(item, value) if wrong), "")

    return check


def either(*checks: Check) -> Check:
    """What passes one of several checks."""

    def check(value: Any) -> str:
        wrong = [one(value) for one in checks]
        return "" if "" in wrong else wrong[0]

    return check


def layer_name(value: Any) -> str:
    """A layer's name: no path, no control character."""
    if isinstance(value, str) and _NAME.fullmatch(value) and ".." not in value:
        return ""
    return f"is {shown(value)}, not 1 to 128 letters, digits and ' _.:+()-', a letter or digit first"


def dtype(value: Any) -> str:
    """A dtype or a dtype policy."""
    if isinstance(value, dict):
        wrong = object_frame(value, ("DTypePolicy", "Policy"), "a dtype policy")
        config = value.get("config")
        if wrong or not isinstance(config, dict) or set(config) - {"name", "source_name"}:
            return wrong or "is not a plain dtype policy"
        return dtype(config.get("name"))
    if value is None or (isinstance(value, str) and value in DTYPES):
        return ""
    return f"is {shown(value)}, not a dtype of numbers"


def object_frame(value: dict[str, Any], classes: tuple[str, ...], kind: str) -> str:
    """Check what stands around an object's config: only a known class of Keras itself, under its own name."""
    extra = set(value) - {"module", "class_name", "config", "registered_name", "shared_object_id", "build_config"}
    name = value.get("class_name")
    if not isinstance(name, str) or name not in classes:
        return f"names {shown(name)}, which is not {kind} that is taken in"
    if extra:
        return f"has {shown(sorted(extra)[0])}, which {kind} has not"
    if name in _OURS:
        return "" if _is_ours(value, name) else f"is not the {name} that this service has"
    if value.get("registered_name") not in (None, name):
        return f"is registered as {shown(value['registered_name'])}: custom classes are not taken in"
    module = value.get("module")
    if module is not None and not (isinstance(module, str) and module.split(".")[0] == "keras"):
        return f"comes from the module {shown(module)}; only Keras' own are taken in"
    return ""


def _is_ours(value: dict[str, Any], name: str) -> bool:
    return value.get("registered_name") == f"trainyard>{name}" and value.get("module") in _OUR_MODULES


def _small_objects(kind: str, classes: dict[str, dict[str, Check]], aliases: dict[str, str]) -> Check:
    by_key = {name.replace("_", "").lower(): name for name in classes}
    by_key |= {key: aliases[key] for key in aliases}
    spelled = tuple(classes)

    def check(value: Any) -> str:
        if value is None:
            return ""
        if isinstance(value, str):
            known = value.replace("_", "").lower() in by_key
            return "" if known else f"is {shown(value)}, which is not {kind} that is taken in"
        if not isinstance(value, dict):
            return f"is {shown(value)}, not {kind}"
        if wrong := object_frame(value, spelled, kind):
            return wrong
        config = value.get("config")
        if config is None:
            return ""
        if not isinstance(config, dict):
            return f"has the config {shown(config)}"
        fields = classes[value["class_name"]]
        for key, held in config.items():
            if key not in fields:
                return f"has {shown(key)}, which {value['class_name']} has not"
            if wrong := fields[key](held):
                return f"{key} {wrong}"
        return ""

    return check


_MAGNITUDE = number(-1e9, 1e9, nullable=True)
_AXES = listed(whole(-8, 8), 8, nullable=True, single=True)
_RANDOM: dict[str, Check] = {_SEED: whole(-(2**63), 2**63 - 1, nullable=True), "dtype": dtype}
_FANS: dict[str, Check] = {"input_axes": _AXES, "output_axes": _AXES, "batch_axes": _AXES}
_NORMAL: dict[str, Check] = {"mean": _MAGNITUDE, "stddev": _MAGNITUDE, **_RANDOM}
_GAIN: dict[str, Check] = {"gain": _MAGNITUDE, **_RANDOM}
_INITIALIZERS: dict[str, dict[str, Check]] = {
    "Zeros": {"dtype": dtype},
    "Ones": {"dtype": dtype},
    "Constant": {"value": _MAGNITUDE, "dtype": dtype},
    "RandomNormal": _NORMAL,
    "TruncatedNormal": _NORMAL,
    "RandomUniform": {"minval": _MAGNITUDE, "maxval": _MAGNITUDE, **_RANDOM},
    **{name: {**_FANS, **_RANDOM} for name in (
        "GlorotNormal", "GlorotUniform", "HeNormal", "HeUniform", "LecunNormal", "LecunUniform")},
    "VarianceScaling": {
        "scale": _MAGNITUDE, "mode": choice("fan_in", "fan_out", "fan_avg"),
        "distribution": choice("normal", "uniform", "truncated_normal", "untruncated_normal"), **_FANS, **_RANDOM,
    },
    "Orthogonal": _GAIN,
    "OrthogonalInitializer": _GAIN,
    "Identity": _GAIN,
    "IdentityInitializer": _GAIN,
}  # fmt: skip
initializer = _small_objects(
    "an initializer",
    _INITIALIZERS,
    {"zero": "Zeros", "one": "Ones", "normal": "RandomNormal", "uniform": "RandomUniform"},
)
_PENALTY = number(-1e9, 1e9, nullable=True)
_REGULARIZERS: dict[str, dict[str, Check]] = {
    "L1": {"l1": _PENALTY},
    "L2": {"l2": _PENALTY},
    "L1L2": {"l1": _PENALTY, "l2": _PENALTY},
    "OrthogonalRegularizer": {"factor": _PENALTY, "mode": choice("rows", "columns")},
}
regularizer = _small_objects("a regularizer", _REGULARIZERS, {})
_CONSTRAINTS: dict[str, dict[str, Check]] = {
    "MaxNorm": {"max_value": _MAGNITUDE, "axis": _AXES},
    "NonNeg": {},
    "UnitNorm": {"axis": _AXES},
    "MinMaxNorm": {"min_value": _MAGNITUDE, "max_value": _MAGNITUDE, "rate": _MAGNITUDE, "axis": _AXES},
}
constraint = _small_objects("a constraint", _CONSTRAINTS, {})

_ACTIVATION_LAYERS: dict[str, dict[str, Check]] = {
    name: {"name": layer_name, "trainable": truth, "dtype": dtype, **fields}
    for name, fields in (
        ("ReLU", {"max_value": _MAGNITUDE, "negative_slope": _MAGNITUDE, "threshold": _MAGNITUDE}),
        ("LeakyReLU", {"negative_slope": _MAGNITUDE, "alpha": _MAGNITUDE}),
        ("ELU", {"alpha": _MAGNITUDE}),
        ("Softmax", {"axis": _AXES}),
    )
}
_activation_layer = _small_objects("an activation", _ACTIVATION_LAYERS, {})


def activation(value: Any) -> str:
    """An activation by name, as Keras 3 writes a function of its own, or as one of its activation layers."""
    if value is None or (isinstance(value, str) and value in ACTIVATIONS):
        return ""
    if isinstance(value, str):
        return f"is {shown(value)}, which is not an activation that is taken in"
    if isinstance(value, dict) and value.get("class_name") == "function":
        name = value.get("config")
        plain = set(value) <= {"module", "class_name", "config", "registered_name", "shared_object_id"}
        named = isinstance(name, str) and (name in ACTIVATIONS or name in _OUR_FUNCTIONS)
        named = named and value.get("registered_name") in (None, name, "function")
        module = value.get("module")
        known = module is None or (isinstance(module, str) and module in _FUNCTION_MODULES)
        return "" if plain and named and known else f"is the function {shown(name)}, which is not Keras' own activation"
    return _activation_layer(value) if isinstance(value, dict) else f"is {shown(value)}, not an activation"
