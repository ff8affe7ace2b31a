"""The arguments of single layers: what earlier versions of Keras wrote, in terms of Keras 3."""

from collections.abc import Callable
from typing import Any, Final

from app.models.intake.rewrite.catalog import ARGUMENTS, STRICT
from app.models.intake.rewrite.change import Changes, Config, Origin
from app.models.intake.rewrite.objects import (
    rewrite_activation,
    rewrite_constraint,
    rewrite_dtype,
    rewrite_initializer,
    rewrite_regularizer,
)
from app.models.intake.rewrite.refused import Refused

# Arguments that say how a layer was computed or built, not what it computes: whatever they are, outputs stay.
_WITHOUT_EFFECT: Final = frozenset(
    {
        "autocast",
        "batch_input_shape",
        "batch_shape",
        "build_input_shape",
        "cell_type",
        "consume_less",
        "dynamic",
        "experimental_autocast",
        "fused",
        "implementation",
        "input_dim",
        "input_dtype",
        "input_length",
        "input_shape",
        "is_quantized",
        "key_shape",
        "lora_alpha",
        "lora_rank",
        "noise_shape",
        "query_shape",
        "rng_type",
        "softmax_robust_masking",
        "use_cudnn",
        "value_shape",
        "zero_debias_moving_mean",
    }
)
# Weights of convolutions that are split in two have initialisers of their own; the inherited ones were written too.
_INHERITED: Final = frozenset({"kernel_initializer", "kernel_regularizer", "kernel_constraint"})
# Arguments that a class takes among its further ones.
_FURTHER: Final = frozenset({"zero_output_for_mask"})
_OVER_TIME_WITH_FURTHER: Final = frozenset({"LSTM", "GRU", "SimpleRNN"})


def rewrite_arguments(class_name: str, config: Config, where: str, origin: Origin, changes: Changes) -> Config:
    """Return the arguments of a layer for Keras 3; `class_name` is today's.

    Refused: `unknown_argument` for one that Keras 3 has not and that would change the outputs.
    """
    config = dict(config)
    if adapt := _ADAPTED.get(class_name):
        adapt(config, where, changes)
    known, kept, dropped = ARGUMENTS[class_name], _common(class_name, config, where, changes), []
    for key in sorted(config):
        if key in ("name", "trainable", "dtype"):
            continue
        if key in known or (key in _FURTHER and class_name in _OVER_TIME_WITH_FURTHER):
            if key != "use_cudnn":
                kept[key] = _value(key, config[key], where, origin, changes)
        elif key == "activity_regularizer":
            if config[key] is not None and class_name not in STRICT:
                kept[key] = rewrite_regularizer(config[key], where, changes)
        elif _without_effect(key, config[key]):
            dropped.append(key)
        else:
            raise Refused("unknown_argument", f"{class_name} has no argument {key[:60]!r} in Keras 3.", where)
    if dropped:
        changes.note(where, f"arguments without effect left out: {', '.join(dropped)}")
    if kept.get("unroll"):
        kept["unroll"] = False
        changes.note(where, "unroll left out: the same is computed in a loop")
    if kept.get("stateful"):
        kept["stateful"] = False
        changes.note(where, "stateful left out: every prediction starts from the zero state")
    return kept


def _common(class_name: str, config: Config, where: str, changes: Changes) -> Config:
    kept: Config = {"name": config.get("name")}
    if class_name not in STRICT:
        kept["trainable"] = bool(config.get("trainable", True))
    kept["dtype"] = rewrite_dtype(config.get("dtype"), where, changes)
    return kept


def _without_effect(key: str, value: Any) -> bool:
    if key in _WITHOUT_EFFECT or key in _INHERITED or value is None or value is False:
        return True
    return (key == "groups" and value == 1) or (key == "data_format" and value == "channels_last")


def _value(key: str, value: Any, where: str, origin: Origin, changes: Changes) -> Any:
    if key.endswith("activation"):
        return rewrite_activation(value, where, origin, changes)
    for ending, rewrite in _BY_ENDING.items():
        if key.endswith(ending):
            return None if value is None else rewrite(value, where, changes)
    # NumPy scalars were written as {"type": "ndarray", "value": 0.3}.
    if isinstance(value, dict) and "value" in value and "class_name" not in value:
        return value["value"]
    return value


_BY_ENDING: Final[dict[str, Callable[[Any, str, Changes], Any]]] = {
    "_initializer": rewrite_initializer,
    "_regularizer": rewrite_regularizer,
    "_constraint": rewrite_constraint,
}


def _leaky_relu(config: Config, where: str, changes: Changes) -> None:
    if "alpha" in config:
        config.setdefault("negative_slope", config["alpha"])
        del config["alpha"]
        changes.note(where, "alpha became negative_slope")


def _relu(config: Config, where: str, changes: Changes) -> None:
    if "theta" in config:
        config["threshold"] = config.pop("theta")
        changes.note(where, "ThresholdedReLU became ReLU with a threshold")


def _one_axis(config: Config, where: str, changes: Changes) -> None:
    axis = config.get("axis")
    if isinstance(axis, list) and len(axis) == 1:
        axis = axis[0]
    config["axis"] = axis if axis is not None else -1
    for key in ("center", "scale"):
        config[key] = bool(config.get(key, True))


def _batch_normalization(config: Config, where: str, changes: Changes) -> None:
    _one_axis(config, where, changes)
    if isinstance(config["axis"], list):
        raise Refused("unsupported_argument", "BatchNormalization over several axes is not in Keras 3.", where)
    for key in ("renorm_clipping", "renorm_momentum"):
        if not config.get("renorm"):
            config.pop(key, None)


def _recurrent(config: Config, where: str, changes: Changes) -> None:
    if config.get("time_major"):
        raise Refused("unsupported_argument", "Sequences with the time first (time_major) are not in Keras 3.", where)


def _gru(config: Config, where: str, changes: Changes) -> None:
    _recurrent(config, where, changes)
    if "reset_after" not in config:
        config["reset_after"] = False
        changes.note(where, "a GRU that says nothing of reset_after has it false, as before Keras 2.1.3")


def _category_encoding(config: Config, where: str, changes: Changes) -> None:
    if "max_tokens" in config:
        config["num_tokens"] = config.pop("max_tokens")
    if config.get("output_mode") == "binary":
        config["output_mode"] = "multi_hot"


def _discretization(config: Config, where: str, changes: Changes) -> None:
    if "bins" in config:
        config["bin_boundaries"] = config.pop("bins")
    # Keras 2 wrote both; one is to be given.
    if config.get("bin_boundaries") is not None:
        config.pop("num_bins", None)


_ADAPTED: Final[dict[str, Callable[[Config, str, Changes], None]]] = {
    "BatchNormalization": _batch_normalization,
    "CategoryEncoding": _category_encoding,
    "Discretization": _discretization,
    "GRU": _gru,
    "GRUCell": _gru,
    "GroupNormalization": _one_axis,
    "LSTM": _recurrent,
    "LayerNormalization": _one_axis,
    "LeakyReLU": _leaky_relu,
    "RNN": _recurrent,
    "ReLU": _relu,
    "SimpleRNN": _recurrent,
}
