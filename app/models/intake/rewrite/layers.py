"""Single layers and what they wrap."""

import re
from collections.abc import Callable
from typing import Any, Final

from app.models.intake.rewrite.arguments import rewrite_arguments
from app.models.intake.rewrite.catalog import ARGUMENTS, MODELS, RENAMED
from app.models.intake.rewrite.change import Changes, Config, Origin
from app.models.intake.rewrite.objects import SEQUENCE_MASK, serialized
from app.models.intake.rewrite.refused import Refused

_CUDNN: Final = {"CuDNNLSTM": "cudnn_lstm", "CuDNNGRU": "cudnn_gru"}

# Layers of Keras 2 that Keras 3 gave up.
_GIVEN_UP: Final = frozenset(
    {"LocallyConnected1D", "LocallyConnected2D", "DenseFeatures", "MaxoutDense", "Highway", "AbstractRNNCell", "Merge"}
)
# TensorFlow operations that were called on symbolic tensors, as Keras 2 wrote them.
_OPERATIONS: Final = frozenset({"TFOpLambda", "SlicingOpLambda", "TensorFlowOpLayer", "ClassMethod", "InstanceMethod"})

RewriteModel = Callable[[Config, str, Origin, Changes], Config]


def entry_parts(entry: Any, where: str) -> tuple[str, Config]:
    """Return the class name and the config of a serialised object. Refused: `config_invalid`."""
    if not isinstance(entry, dict):
        raise Refused("config_invalid", "A layer is not an object with class_name and config.", where)
    class_name, config = entry.get("class_name"), entry.get("config")
    if not isinstance(class_name, str) or not isinstance(config, dict | list):
        raise Refused("config_invalid", "A layer is not an object with class_name and config.", where)
    return class_name, config if isinstance(config, dict) else {"layers": config}


def todays_class(class_name: str, entry: Config, where: str) -> str:
    """Return the name of a layer's class in Keras 3.

    Refused: `unsafe_layer` for code in the file, `unsupported_operation`, `unsupported_layer` for what Keras 3 has no
    more, `custom_layer` for what never was Keras'.
    """
    if class_name in MODELS:
        return "Functional" if class_name == "Model" else class_name
    plain = re.sub(r"_v[12]$", "", class_name)
    today = RENAMED.get(plain, plain)
    registered = entry.get("registered_name")
    if class_name == "Lambda":
        raise Refused("unsafe_layer", "It is a Lambda: Python code in the file, which is never run.", where)
    if class_name in _OPERATIONS:
        name = str((entry.get("config") or {}).get("function", ""))[:60]
        raise Refused("unsupported_operation", f"The TensorFlow operation {name!r} is not a layer of Keras.", where)
    if class_name in _GIVEN_UP:
        raise Refused("unsupported_layer", f"{class_name} is not in Keras 3.", where)
    if today not in ARGUMENTS or (registered not in (None, class_name) and ">" in str(registered)):
        raise Refused("custom_layer", f"{class_name[:80]!r} is not a layer of Keras, so its code is unknown.", where)
    return today


def safe_name(name: Any, where: str, changes: Changes) -> str:
    """Return a layer's name without what Keras 3 does not allow in names."""
    if not isinstance(name, str) or not name:
        raise Refused("config_invalid", "A layer has no name.", where)
    return name.replace("/", "_")


def rewrite_layer(entry: Config, path: str, origin: Origin, changes: Changes, rewrite_model: RewriteModel) -> Config:
    """Return a layer as Keras 3 writes it, without its place in the graph.

    `path` is where the layer lies; `rewrite_model` rewrites what is a whole model inside.
    """
    class_name, config = entry_parts(entry, path)
    if class_name == SEQUENCE_MASK and entry.get("registered_name") == f"trainyard>{SEQUENCE_MASK}":
        kept = {"name": safe_name(config.get("name"), path, changes)}
        return serialized("trainyard", SEQUENCE_MASK, kept, f"trainyard>{SEQUENCE_MASK}")
    today = todays_class(class_name, entry, path)
    if today in MODELS:
        return rewrite_model({**entry, "config": config}, path, origin, changes)
    if today != class_name and class_name not in ("ThresholdedReLU",):
        changes.note(path, f"{class_name} became {today}")
    if conversion := _CUDNN.get(class_name):
        config = {"activation": "tanh", "recurrent_activation": "sigmoid", **config}
        if class_name == "CuDNNGRU":
            config["reset_after"] = True
        changes.conversions[path] = conversion
    config = dict(config)
    name = safe_name(config.get("name"), path, changes)
    if name != config["name"]:
        changes.note(path, "a / in its name became _")
    config["name"] = name
    _check_directions(today, config, path)
    inner = {key: config.pop(key) for key in _WRAPPED if key in config and key in ARGUMENTS[today]}
    kept = rewrite_arguments(today, config, path, origin, changes)
    for key, wrapped in inner.items():
        kept[key] = _rewrite_wrapped(key, wrapped, path, origin, changes, rewrite_model)
    return serialized("keras.layers", today, kept)


def _check_directions(class_name: str, config: Config, path: str) -> None:
    """Refuse a Bidirectional of two layers of different size: Keras 3 takes the second to be like the first."""
    forward, backward = config.get("layer"), config.get("backward_layer")
    if class_name == "Bidirectional" and isinstance(forward, dict) and isinstance(backward, dict):
        units = [(layer.get("config") or {}).get("units") for layer in (forward, backward)]
        if units[0] != units[1]:
            raise Refused("unsupported_argument", "Its two layers are of different size, unlike in Keras 3.", path)


_WRAPPED: Final = ("layer", "backward_layer", "cell", "cells")


def _rewrite_wrapped(
    key: str, wrapped: Any, path: str, origin: Origin, changes: Changes, rewrite_model: RewriteModel
) -> Any:
    if wrapped is None:
        return None
    if isinstance(wrapped, list):
        if key == "cell":  # RNN([cell, cell]) of Keras 2.1
            cells = [_rewrite_wrapped("cells", one, path, origin, changes, rewrite_model) for one in wrapped]
            return serialized("keras.layers", "StackedRNNCells", {"name": "stacked_rnn_cells", "cells": cells})
        return [_rewrite_wrapped(key, one, path, origin, changes, rewrite_model) for one in wrapped]
    _, config = entry_parts(wrapped, path)
    named = {"name": config.get("name") or f"{path.rpartition('/')[2]}_{key}", **config}
    named["name"] = named["name"] or f"{path.rpartition('/')[2]}_{key}"
    return rewrite_layer({**wrapped, "config": named}, f"{path}/{key}", origin, changes, rewrite_model)
