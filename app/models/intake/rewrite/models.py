"""Whole models: Sequential and Functional, with models inside."""

import json
import re
from typing import Any, Final

from app.models.intake.rewrite.catalog import MODELS, RECURRENT
from app.models.intake.rewrite.change import Changes, Config, Origin
from app.models.intake.rewrite.layers import entry_parts, rewrite_layer, safe_name, todays_class
from app.models.intake.rewrite.nodes import is_reference, references, rewrite_node, tensor
from app.models.intake.rewrite.objects import SEQUENCE_MASK, name_of, serialized
from app.models.intake.rewrite.operations import is_operation, rewrite_operation
from app.models.intake.rewrite.refused import Refused
from app.models.intake.rewrite.tf_operations import CLASSES as TF_OPERATIONS
from app.models.intake.rewrite.tf_operations import rewrite_tf_operation

# Layers that served as the activation of another.
_ACTIVATION_LAYERS: Final = frozenset({"LeakyReLU", "ReLU", "ELU", "ThresholdedReLU", "Softmax", "Activation"})

_SHAPES: Final = ("batch_shape", "batch_input_shape", "shape", "input_shape")


def rewrite_model(entry: Config, path: str, origin: Origin, changes: Changes) -> Config:
    """Return a model as Keras 3 writes it. `path` is where the model lies, "" for the outermost.

    Refused: see `layers` and `nodes`; `subclassed_model` for one whose config lists no layers.
    """
    class_name, config = entry_parts(entry, path)
    if not isinstance(config.get("layers"), list):
        raise Refused("subclassed_model", "It is a class of its own, not Sequential or Functional.", path)
    _name_groups(config["layers"], path, changes)
    if class_name == "Sequential":
        return _rewrite_sequential(config, path, origin, changes)
    return _rewrite_functional(config, path, origin, changes)


def numbered(class_names: list[str]) -> list[str]:
    """Return what a file calls layers of these classes: dense, dense_1, dropout."""
    used: dict[str, int] = {}
    names = []
    for name in map(_group_name, class_names):
        number = used[name] = used.get(name, -1) + 1
        names.append(f"{name}_{number}" if number else name)
    return names


def _group_name(class_name: str) -> str:
    """Return the name of a class as it begins the names of its groups: SeparableConv2D is separable_conv2d."""
    name = re.sub(r"\W+", "", class_name)
    name = re.sub("(.)([A-Z][a-z]+)", r"\1_\2", name)
    return re.sub("([a-z])([A-Z])", r"\1_\2", name).lower()


def _name_groups(layers: list[Any], path: str, changes: Changes) -> None:
    named = [(entry, *entry_parts(entry, path)) for entry in layers if not is_operation(entry)]
    classes = ["Functional" if class_name == "Model" else class_name for _, class_name, _ in named]
    for (entry, _, config), group in zip(named, numbered(classes), strict=True):
        layer = _join(path, str(config.get("name") or entry.get("name")).replace("/", "_"))
        changes.stored_as[layer] = group


def _join(path: str, name: str) -> str:
    return f"{path}/{name}" if path else name


def _rewrite_input(config: Config, path: str, changes: Changes) -> Config:
    shape = next((config[key] for key in _SHAPES if config.get(key) is not None), None)
    if not isinstance(shape, list):
        raise Refused("config_invalid", "An input has no shape.", path)
    if config.get("batch_shape") is None and config.get("batch_input_shape") is None:
        shape = [None, *shape]
    if config.get("ragged") or config.get("sparse"):
        raise Refused("unsupported_argument", "Ragged and sparse inputs cannot be served.", path)
    if shape and shape[0] is not None:
        changes.note(path, f"the batch size {shape[0]} was fixed and is free now")
    dtype = config.get("dtype")
    if isinstance(dtype, dict):
        dtype = (dtype.get("config") or {}).get("name")
    if dtype in ("float16", "bfloat16", "mixed_float16", "mixed_bfloat16", None):
        dtype = "float32"
    name = safe_name(config.get("name"), path, changes)
    kept = {"batch_shape": [None, *shape[1:]], "dtype": dtype, "sparse": False, "name": name}
    return serialized("keras.layers", "InputLayer", kept)


def _rewrite_one(entry: Config, path: str, origin: Origin, changes: Changes) -> Config:
    class_name, config = entry_parts(entry, path)
    if class_name == "InputLayer":
        return _rewrite_input(config, path, changes)
    if class_name in MODELS:
        return rewrite_model(entry, path, origin, changes)
    if is_operation(entry):
        return rewrite_operation(entry, path)
    return rewrite_layer(entry, path, origin, changes, rewrite_model)


def _named(entry: Config, path: str, changes: Changes) -> tuple[Config, str, str]:
    """Return a layer's entry with its name in the config, that name as it is allowed, and its path."""
    class_name, config = entry_parts(entry, path)
    stored = config.get("name") or entry.get("name")
    name = safe_name(stored, path, changes)
    layer = _join(path, name)
    if name != stored:
        changes.named[layer] = str(stored)
        if class_name in (*MODELS, "InputLayer"):
            changes.note(layer, "a / in its name became _")
    if is_operation(entry):  # Keras 3.6 gave some no name of their own
        return entry, name, layer
    return {**entry, "config": {**config, "name": stored}}, name, layer


def _split_activation(layer: Config, entry: Config, where: str) -> tuple[Config, Config] | None:
    """Split a layer whose activation is another layer in two; None where it is not so."""
    activation = entry["config"].get("activation")
    if not isinstance(activation, dict) or name_of(activation) is not None:
        return None
    if activation.get("class_name") not in _ACTIVATION_LAYERS or layer["class_name"] in MODELS:
        return None
    inner = {**(activation.get("config") or {}), "name": f"{layer['config']['name']}_activation"}
    return layer, {**activation, "config": inner}


def _rewrite_with_activation(
    entry: Config, path: str, origin: Origin, changes: Changes
) -> tuple[Config, Config | None]:
    """Return a layer and, where its activation was a layer, that one."""
    split = _split_activation({"class_name": entry["class_name"], "config": entry["config"]}, entry, path)
    if split is None:
        return _rewrite_one(entry, path, origin, changes), None
    plain = {**entry, "config": {**entry["config"], "activation": "linear"}}
    after_path = f"{path}_activation"
    changes.note(path, f"its activation, the layer {split[1]['class_name']}, follows it now")
    after = rewrite_layer(split[1], after_path, origin, changes, rewrite_model)
    return _rewrite_one(plain, path, origin, changes), after


def _rewrite_sequential(config: Config, path: str, origin: Origin, changes: Changes) -> Config:
    layers: list[Config] = []
    for position, entry in enumerate(config["layers"]):
        entry, name, where = _named(entry, path, changes)
        class_name, inner = entry["class_name"], entry["config"]
        first_shape = next((inner[key] for key in _SHAPES[:2] if inner.get(key) is not None), None)
        if position == 0 and class_name != "InputLayer" and class_name not in MODELS and first_shape is not None:
            layers.append(_first_input(inner, f"{name}_input", changes))
        layer, after = _rewrite_with_activation(entry, where, origin, changes)
        layers.extend([layer] if after is None else [layer, after])
    if layers and layers[0]["class_name"] != "InputLayer" and isinstance(config.get("build_input_shape"), list):
        layers.insert(0, _first_input({"batch_shape": config["build_input_shape"]}, "input_layer", changes))
    kept = {"name": safe_name(config.get("name") or "sequential", path, changes), "layers": layers}
    return serialized("keras", "Sequential", {**kept, "trainable": bool(config.get("trainable", True))})


def _first_input(config: Config, name: str, changes: Changes) -> Config:
    """Return the input that the first layer of a Sequential describes; of an embedding these are whole numbers."""
    chosen = {"name": name, "dtype": config.get("input_dtype") or config.get("dtype")}
    return _rewrite_input({**chosen, **{key: config[key] for key in _SHAPES[:2] if key in config}}, name, changes)


def _rewrite_functional(config: Config, path: str, origin: Origin, changes: Changes) -> Config:
    layers: list[Config] = []
    nested: dict[str, str] = {}
    following: dict[str, Config] = {}
    for entry in config["layers"]:
        entry, name, where = _named(entry, path, changes)
        if entry["class_name"] in TF_OPERATIONS:
            layers.append(rewrite_tf_operation(entry, name, where, changes))
            continue
        layer, after = _rewrite_with_activation(entry, where, origin, changes)
        class_name = layer["class_name"]
        if class_name in MODELS:
            nested[name] = class_name
        nodes = entry.get("inbound_nodes") or []
        rewritten = [rewrite_node(node, class_name, where) for node in nodes]
        _move_causal(entry, rewritten)
        layers.append({**layer, "name": name, "inbound_nodes": rewritten})
        if after is not None:
            following[name] = {**after, "name": after["config"]["name"], "inbound_nodes": []}
    ends = {key: _ends(config.get(key), path) for key in ("input_layers", "output_layers")}
    everything = [[layer["inbound_nodes"] for layer in layers], ends]
    _rename(everything)
    if origin.keras < 3:
        _count_from_zero(everything, layers, nested)
    _follow(everything, layers, following)
    if origin.keras < 3:
        _keep_masks(layers, path, changes)
    if origin.keras < 3:
        for reference in references(ends["output_layers"]):
            if nested.get(reference[0]) == "Functional":
                reference[1] += 1  # Keras 3 counts the calls of an inner Functional from 1 here, elsewhere from 0.
    kept = {"name": safe_name(config.get("name") or "functional", path, changes), "layers": layers, **ends}
    return serialized(
        "keras.src.models.functional", "Functional", {**kept, "trainable": bool(config.get("trainable", True))}
    )


def _ends(value: Any, path: str) -> Any:
    """Return inputs or outputs, a single one not in a list, as copies that may be changed."""
    if isinstance(value, list) and len(value) == 1 and is_reference(value[0]):
        value = value[0]
    if is_reference(value):
        return list(value[:3])
    if isinstance(value, list) and value:
        return [_ends(one, path) for one in value]
    if isinstance(value, dict) and value:
        return {key: _ends(one, path) for key, one in value.items()}
    raise Refused("config_invalid", "The model does not say what its inputs and outputs are.", path)


def _rename(everything: list[Any]) -> None:
    for reference in references(everything):
        reference[0] = reference[0].replace("/", "_")


def _count_from_zero(everything: list[Any], layers: list[Config], nested: dict[str, str]) -> None:
    """Number the calls of inner models from 0: earlier versions counted the making of such a model as its call 0."""
    calls = {layer["name"]: len(layer["inbound_nodes"]) for layer in layers}
    highest: dict[str, int] = {}
    for reference in references(everything):
        highest[reference[0]] = max(reference[1], highest.get(reference[0], 0))
    shifted = {name for name in nested if highest.get(name, 0) >= calls[name]}
    for reference in references(everything):
        if reference[0] in shifted:
            reference[1] -= 1


def _follow(everything: list[Any], layers: list[Config], following: dict[str, Config]) -> None:
    """Put layers that were activations behind those that they activated."""
    for reference in references(everything):
        if reference[0] in following:
            reference[0] = following[reference[0]]["name"]
    for layer in [layer for layer in layers if layer["name"] in following]:
        after = following[layer["name"]]
        calls = range(len(layer["inbound_nodes"]))
        after["inbound_nodes"] = [{"args": [tensor(layer["name"], call, 0)], "kwargs": {}} for call in calls]
        layers.insert(layers.index(layer) + 1, after)


def _keep_masks(layers: list[Config], path: str, changes: Changes) -> None:
    """Hand the mask to recurrent layers that are given a state: Keras 3 does so only where a call has one tensor."""
    text = json.dumps(layers)
    if '"mask_zero": true' not in text and '"class_name": "Masking"' not in text:
        return
    for layer in list(layers):
        calls = [node for node in layer["inbound_nodes"] if "initial_state" in node["kwargs"]]
        calls = [node for node in calls if "mask" not in node["kwargs"]]
        if layer["class_name"] not in RECURRENT or not calls:
            continue
        name = f"{layer['name']}_mask"
        mask = serialized("trainyard", SEQUENCE_MASK, {"name": name}, f"trainyard>{SEQUENCE_MASK}")
        nodes = [{"args": list(node["args"]), "kwargs": {}} for node in calls]
        layers.insert(layers.index(layer), {**mask, "name": name, "inbound_nodes": nodes})
        for number, node in enumerate(calls):
            node["kwargs"]["mask"] = tensor(name, number, 0)
        changes.note(_join(path, layer["name"]), "the mask of its sequence is handed to it as a tensor")


def _move_causal(entry: Config, nodes: list[Config]) -> None:
    """Attention of Keras 2 was causal by an argument of the layer; today it is one of the call."""
    if entry["config"].get("causal") and todays_class(entry["class_name"], entry, "") in (
        "Attention",
        "AdditiveAttention",
    ):
        for node in nodes:
            node["kwargs"]["use_causal_mask"] = True
