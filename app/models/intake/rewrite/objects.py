"""The small objects in a layer's config: activations, initialisers, regularisers, constraints, dtypes."""

import re
from typing import Any, Final

from app.models.intake.rewrite.catalog import (
    ACTIVATION_NAMES,
    ACTIVATIONS,
    CONSTRAINTS,
    INITIALIZERS,
    REGULARIZERS,
)
from app.models.intake.rewrite.change import Changes, Config, Origin
from app.models.intake.rewrite.refused import Refused

# What `workers.architectures.legacy` registers.
KERAS2_HARD_SIGMOID: Final = "trainyard>keras2_hard_sigmoid"
SEQUENCE_MASK: Final = "SequenceMask"

_FLOATS: Final = frozenset({"float16", "bfloat16", "float32", "float64"})


def serialized(module: str, class_name: str, config: Any, registered_name: str | None = None) -> Config:
    """Return an object in the form that Keras 3 writes."""
    return {"module": module, "class_name": class_name, "config": config, "registered_name": registered_name}


def hard_sigmoid_of_keras2() -> Config:
    """Return the activation clip(0.2 x + 0.5, 0, 1), a function of ours (`workers.architectures.legacy`)."""
    return serialized("builtins", "function", KERAS2_HARD_SIGMOID, "function")


def name_of(identifier: Any) -> str | None:
    """Return the name of an activation given as a name or as a serialised function; None for anything else."""
    if isinstance(identifier, str):
        return identifier
    if isinstance(identifier, dict) and identifier.get("class_name") == "function":
        config = identifier.get("config")
        return config if isinstance(config, str) else None
    return None


def rewrite_activation(identifier: Any, where: str, origin: Origin, changes: Changes) -> Any:
    """Return an activation as Keras 3 names it.

    `hard_sigmoid` meant clip(0.2 x + 0.5, 0, 1) up to Keras 2 and means relu6(x + 3) / 6 in Keras 3.
    Refused: `custom_object` for one that Keras does not have.
    """
    if identifier is None:
        return "linear"
    name = name_of(identifier)
    if name == KERAS2_HARD_SIGMOID:  # a model that was taken in before and is sent again
        return hard_sigmoid_of_keras2()
    if name is None:
        raise Refused("custom_object", f"Its activation is {_described(identifier)}, which is not one of Keras.", where)
    today = ACTIVATION_NAMES.get(name, name)
    if today not in ACTIVATIONS:
        raise Refused("custom_object", f"Its activation {name!r} is not one of Keras.", where)
    if today == "hard_sigmoid" and origin.keras < 3:
        changes.note(where, "hard_sigmoid is clip(0.2x + 0.5, 0, 1), as it was up to Keras 2")
        return hard_sigmoid_of_keras2()
    return today


def rewrite_initializer(identifier: Any, where: str, changes: Changes) -> Any:
    """Return an initialiser as Keras 3 writes it; one that Keras has not becomes zeros, for the weights are stored."""
    return _rewrite(identifier, "keras.initializers", INITIALIZERS) or _replaced(identifier, where, changes)


def rewrite_regularizer(identifier: Any, where: str, changes: Changes) -> Any:
    """Return a regulariser as Keras 3 writes it; one that Keras has not is left out: it plays no part in predicting."""
    known = _rewrite(identifier, "keras.regularizers", REGULARIZERS)
    if known is None:
        _note_left_out("regulariser", identifier, where, changes)
    return known


def rewrite_constraint(identifier: Any, where: str, changes: Changes) -> Any:
    """Return a constraint as Keras 3 writes it; one that Keras has not is left out: it plays no part in predicting."""
    known = _rewrite(identifier, "keras.constraints", CONSTRAINTS)
    if known is None:
        _note_left_out("constraint", identifier, where, changes)
    return known


def rewrite_dtype(dtype: Any, where: str, changes: Changes) -> str:
    """Return the dtype of a layer: float32 but for layers of whole float64 models.

    Mixed and half precision is for training on accelerators; the weights are float32 there.
    Refused: `quantised` for weights kept as small integers.
    """
    if isinstance(dtype, dict):
        inner = dtype.get("config")
        if "Quantized" in str(dtype.get("class_name")) or "GPTQ" in str(dtype.get("class_name")):
            raise Refused("quantised", "Its weights are quantised; save the model before quantising it.", where)
        dtype = inner.get("name") if isinstance(inner, dict) else None
    if not isinstance(dtype, str) or dtype == "float32" or dtype not in _FLOATS | {"mixed_float16", "mixed_bfloat16"}:
        return "float32"
    if dtype == "float64":
        return "float64"
    changes.note(where, f"precision {dtype} became float32")
    return "float32"


def _rewrite(identifier: Any, module: str, known: dict[str, frozenset[str]]) -> Config | None:
    if isinstance(identifier, str):
        identifier = {"class_name": identifier, "config": {}}
    if not isinstance(identifier, dict):
        return None
    class_name, config = _today(str(identifier.get("class_name")), known), identifier.get("config") or {}
    if class_name is None or not isinstance(config, dict):
        return None
    kept = {key: _plain(value) for key, value in config.items() if key in known[class_name]}
    if class_name == "VarianceScaling" and kept.get("distribution") == "normal":
        kept["distribution"] = "truncated_normal"
    return serialized(module, class_name, kept)


def _today(name: str, known: dict[str, frozenset[str]]) -> str | None:
    """Find a class by a name in any spelling: GlorotUniform, glorot_uniform, glorot_uniform_v2, maxnorm."""
    plain = re.sub(r"[\W_]|v[12]$", "", name.lower())
    plain = {"normal": "randomnormal", "uniform": "randomuniform", "zero": "zeros", "one": "ones"}.get(plain, plain)
    plain = plain.removesuffix("initializer")
    return next((known_name for known_name in known if known_name.lower() == plain), None)


def _plain(value: Any) -> Any:
    """Return a number that was written as a NumPy scalar as the number that it is."""
    if isinstance(value, dict) and "value" in value:
        return _plain(value["value"])
    if isinstance(value, dict) and isinstance(value.get("config"), dict):
        return _plain(value["config"].get("value"))
    return value


def _described(identifier: Any) -> str:
    if isinstance(identifier, dict):
        return f"the class {str(identifier.get('class_name'))[:60]!r}"
    return repr(identifier)[:60]


def _replaced(identifier: Any, where: str, changes: Changes) -> Config:
    if identifier is not None:
        changes.note(where, f"initialiser {_described(identifier)} left out: the weights are in the file")
    return serialized("keras.initializers", "Zeros", {})


def _note_left_out(kind: str, identifier: Any, where: str, changes: Changes) -> None:
    if identifier is not None:
        changes.note(where, f"{kind} {_described(identifier)} left out: it plays no part in predicting")
