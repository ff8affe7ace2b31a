"""Configs of Keras 1 in terms of Keras 2.

Source: the API changes listed in the release notes of Keras 2.0 (2017), and its conversion of Keras 1 weights.
"""

from collections.abc import Callable
from typing import Any, Final

from app.models.intake.rewrite.change import Changes, Config
from app.models.intake.rewrite.refused import Refused

_NAMES: Final[dict[str, str]] = {
    "W_constraint": "kernel_constraint",
    "W_regularizer": "kernel_regularizer",
    "atrous_rate": "dilation_rate",
    "b_constraint": "bias_constraint",
    "b_regularizer": "bias_regularizer",
    "bias": "use_bias",
    "border_mode": "padding",
    "depthwise_regularizer": "depthwise_regularizer",
    "dropout_U": "recurrent_dropout",
    "dropout_W": "dropout",
    "filter_length": "kernel_size",
    "init": "kernel_initializer",
    "inner_activation": "recurrent_activation",
    "inner_init": "recurrent_initializer",
    "nb_filter": "filters",
    "output_dim": "units",
    "p": "rate",
    "pool_length": "pool_size",
    "sigma": "stddev",
    "stride": "strides",
    "subsample": "strides",
    "subsample_length": "strides",
    "U_regularizer": "recurrent_regularizer",
}
_DIRECTIONS: Final = {"th": "channels_first", "tf": "channels_last", "default": "channels_last"}
_MERGES: Final = {
    "sum": "Add",
    "mul": "Multiply",
    "concat": "Concatenate",
    "ave": "Average",
    "max": "Maximum",
    "dot": "Dot",
}
_CONVOLUTIONS: Final = frozenset(
    {"Convolution1D", "Convolution2D", "Convolution3D", "AtrousConvolution1D", "AtrousConvolution2D", "Deconvolution2D"}
)
_GIVEN_UP: Final = frozenset({"SReLU", "ParametricSoftplus", "MaxoutDense", "Highway", "ConvRecurrent2D", "Graph"})


def to_keras2(config: Any, changes: Changes) -> Config:
    """Return a model's config as Keras 2 would have written it. Refused: `unsupported_layer`, `config_invalid`."""
    if not isinstance(config, dict):
        raise Refused("config_invalid", "The config is not an object.")
    return _model(config, "", changes)


def _model(entry: Config, path: str, changes: Changes) -> Config:
    class_name, config = entry.get("class_name"), entry.get("config")
    if class_name == "Graph":
        raise Refused("unsupported_layer", "Graph models, given up in Keras 1, cannot be taken in.", path)
    if isinstance(config, list):
        config = {"name": entry.get("name") or "sequential", "layers": config}
    if not isinstance(config, dict) or not isinstance(config.get("layers"), list):
        return entry
    layers = [_layer(layer, path, changes) for layer in config["layers"]]
    return {**entry, "config": {**config, "layers": layers}}


def _layer(entry: Any, path: str, changes: Changes) -> Any:
    if not isinstance(entry, dict) or not isinstance(entry.get("config"), dict | list):
        raise Refused("config_invalid", "A layer is not an object with class_name and config.", path)
    class_name, config = str(entry.get("class_name")), entry["config"]
    if isinstance(config, list) or ("layers" in config and class_name in ("Sequential", "Model")):
        name = entry.get("name") or (config.get("name") if isinstance(config, dict) else None) or class_name.lower()
        return _model({**entry, "name": name}, f"{path}/{name}" if path else str(name), changes)
    config = dict(config)
    name = str(config.get("name") or entry.get("name") or class_name.lower())
    where = f"{path}/{name}" if path else name
    if class_name in _GIVEN_UP:
        raise Refused("unsupported_layer", f"{class_name} is not in Keras 3.", where)
    if isinstance(config.get("layer"), dict):
        inner = config["layer"]
        inner = {**inner, "config": {"name": f"{name}_layer", **inner.get("config", {})}}
        config["layer"] = {**inner, **_layer({**inner, "name": "layer"}, where, changes)}
        changes.conversions[f"{where}/layer"] = changes.conversions.pop(f"{where}/{inner['config']['name']}", "")
        if not changes.conversions[f"{where}/layer"]:
            del changes.conversions[f"{where}/layer"]
        return {**entry, "config": config}
    if special := _SPECIAL.get(class_name):
        class_name = special(class_name, config, where)
    _note_weights(class_name, config, where, changes)
    _move_size(config)
    return {**entry, "class_name": class_name, "config": _renamed(class_name, config)}


def _renamed(class_name: str, config: Config) -> Config:
    renamed: Config = {}
    for key, value in config.items():
        if key == "dim_ordering":
            renamed["data_format"] = _DIRECTIONS.get(value, "channels_last")
        elif key == "forget_bias_init":
            renamed["unit_forget_bias"] = value in ("one", "ones")
        elif key == "p_drop" or (class_name == "Embedding" and key in ("dropout", "activity_regularizer")):
            continue
        elif class_name == "Embedding" and key == "output_dim":
            renamed[key] = value
        elif class_name == "Embedding" and key in ("init", "W_regularizer", "W_constraint"):
            renamed[f"embeddings_{_NAMES[key].rpartition('_')[2]}"] = value
        elif class_name == "PReLU" and key == "init":
            renamed["alpha_initializer"] = value
        else:
            renamed[_NAMES.get(key, key)] = value
    return renamed


def _move_size(config: Config) -> None:
    for keys in (("nb_row", "nb_col"), ("kernel_dim1", "kernel_dim2", "kernel_dim3")):
        if keys[0] in config:
            config["kernel_size"] = [config.pop(key) for key in keys]


def _note_weights(class_name: str, config: Config, where: str, changes: Changes) -> None:
    if class_name in ("LSTM", "GRU"):
        changes.conversions[where] = f"keras1_{class_name.lower()}"
    elif class_name == "Convolution1D" or class_name == "AtrousConvolution1D":
        changes.conversions[where] = "keras1_conv1d"
    elif class_name in _CONVOLUTIONS and config.get("dim_ordering") == "th":
        changes.conversions[where] = "keras1_th"


def _merge(class_name: str, config: Config, where: str) -> str:
    mode = config.get("mode")
    if config.get("layers"):
        raise Refused("unsupported_layer", "A Merge of whole models inside a Sequential cannot be taken in.", where)
    if config.get("mode_type") not in (None, "raw") or mode not in _MERGES:
        raise Refused("unsupported_layer", f"A Merge by {str(mode)[:40]!r} is not in Keras 3.", where)
    kept: Config = {"name": config.get("name"), "trainable": config.get("trainable", True)}
    if mode == "concat":
        kept["axis"] = config.get("concat_axis", -1)
    if mode == "dot":
        axes = config.get("dot_axes", -1)
        kept["axes"] = axes[0] if isinstance(axes, list) and axes and isinstance(axes[0], list) else axes
    config.clear()
    config.update(kept)
    return _MERGES[mode]


def _time_distributed_dense(class_name: str, config: Config, where: str) -> str:
    return "Dense"


def _batch_normalization(class_name: str, config: Config, where: str) -> str:
    if config.pop("mode", 0) != 0:
        raise Refused("unsupported_argument", "BatchNormalization in mode 1 or 2 is not in Keras 3.", where)
    return class_name


def _up_sampling1d(class_name: str, config: Config, where: str) -> str:
    if "length" in config:
        config["size"] = config.pop("length")
    return class_name


def _deconvolution(class_name: str, config: Config, where: str) -> str:
    config.pop("output_shape", None)
    return class_name


_SPECIAL: Final[dict[str, Callable[[str, Config, str], str]]] = {
    "BatchNormalization": _batch_normalization,
    "Deconvolution2D": _deconvolution,
    "Merge": _merge,
    "TimeDistributedDense": _time_distributed_dense,
    "UpSampling1D": _up_sampling1d,
}
