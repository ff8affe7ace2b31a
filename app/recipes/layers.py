"""`architecture.type: "layers"`: a list of Keras layer configs, checked without Keras.

Two steps: `check_configs` looks at every field and knows nothing of the data; `fit_layers` follows the shape of a row
through the layers, bounds what would be built, and demands that the last layer gives what the task needs.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any, Literal

from app.recipes.layer_rules import LAYERS, RECURRENT, REQUIRED, SPECIAL, Rule
from app.recipes.layer_shapes import Cost, Misfit, Shape, demand_rank
from app.recipes.layer_values import activation, choice, layer_name, precision, refuse, sizes, truth

LAYERS_PATH = "params.architecture.layers"
MAX_PARAMETERS = 200_000_000
# Values that one row may become on its way through; a batch of 32 such rows is 2 GB.
MAX_ROW_VALUES = 16_000_000
MAX_ROW_OPERATIONS = 20_000_000_000

LayersTask = Literal["classification", "multilabel", "regression"]
_BESIDE_CONFIG = ("module", "registered_name", "build_config")
# Fields that Keras writes into a config and that say nothing where they are null or false.
_IDLE_FIELDS = frozenset(
    {"noise_shape", "quantization_config", "zero_output_for_mask", "renorm", "renorm_clipping", "rms_scaling"}
)
# Layers after which values are still what the activation before made of them.
_TRANSPARENT = ("Flatten", "Reshape", "Dropout", "Permute", "GaussianNoise", "GaussianDropout", "AlphaDropout")


@dataclass(frozen=True)
class LayerTotals:
    """What a checked list of layers gives and costs, for one row."""

    shape: Shape
    parameters: int
    operations: int
    row_values: int


def check_configs(layers: Sequence[Mapping[str, Any]], path: str) -> list[dict[str, Any]]:
    """Return the layers with every field set, as `{"class_name", "config"}`. Raises Unprocessable below `path`."""
    checked: list[dict[str, Any]] = []
    names: dict[str, int] = {}
    for index, layer in enumerate(layers):
        where = f"{path}[{index}]"
        one = _check_layer(layer, where)
        if one["class_name"] == "InputLayer" and index:
            raise refuse(where, "InputLayer can only be the first layer.")
        name = one["config"].get("name")
        if name is not None:
            if name in names:
                raise refuse(f"{where}.config.name", f"layers[{names[name]}] is also called '{name}'.")
            names[name] = index
        checked.append(one)
    return checked


def _check_layer(layer: Mapping[str, Any], where: str) -> dict[str, Any]:
    class_name, config = layer.get("class_name"), layer.get("config")
    if not isinstance(class_name, str) or (class_name not in LAYERS and class_name not in SPECIAL):
        choices = ", ".join(sorted([*LAYERS, *SPECIAL]))
        raise refuse(f"{where}.class_name", f"there is no layer {class_name!r}. Choose from {choices}.")
    for key in layer:
        if key not in ("class_name", "config", *_BESIDE_CONFIG):
            raise refuse(f"{where}.{key}", "there is no such field; a layer has class_name and config.")
    config = config if config is not None else {}
    if not isinstance(config, Mapping):
        raise refuse(f"{where}.config", "must be an object.")
    if class_name == "InputLayer":
        return {"class_name": class_name, "config": _check_input(config, f"{where}.config")}
    if class_name == "Bidirectional":
        return {"class_name": class_name, "config": _check_bidirectional(config, f"{where}.config")}
    return {
        "class_name": class_name,
        "config": _check_config(class_name, LAYERS[class_name], config, f"{where}.config"),
    }


def _check_config(class_name: str, rule: Rule, config: Mapping[str, Any], where: str) -> dict[str, Any]:
    checked: dict[str, Any] = {}
    for key, value in config.items():
        if key in rule.fields:
            check = rule.fields[key][0]
            checked[key] = check(value, f"{where}.{key}")
        elif not _common(key, value, f"{where}.{key}", checked):
            known = ", ".join(["name", "trainable", *rule.fields])
            raise refuse(f"{where}.{key}", f"there is no such field; {class_name} has {known}.")
    for key, (check, default) in rule.fields.items():
        if key not in checked:
            if default is REQUIRED:
                raise refuse(f"{where}.{key}", f"is needed: {class_name} has no default for it.")
            checked[key] = check(default, f"{where}.{key}")
    return checked


def _common(key: str, value: Any, where: str, checked: dict[str, Any]) -> bool:
    """Check a field that every layer has; False when it is none of them."""
    if key == "name":
        if value is not None:
            checked[key] = layer_name(value, where)
    elif key == "trainable":
        checked[key] = truth(value, where)
    elif key == "dtype":
        precision(value, where)
    else:
        # renorm_momentum has a number also where renorm is off.
        return key == "renorm_momentum" or (key in _IDLE_FIELDS and (value is None or value is False))
    return True


def _check_input(config: Mapping[str, Any], where: str) -> dict[str, Any]:
    checked: dict[str, Any] = {}
    for key, value in config.items():
        if key in ("shape", "batch_shape", "batch_input_shape"):
            shape = list(value) if isinstance(value, list | tuple) else None
            if shape is not None and key != "shape":
                shape = shape[1:] if shape[:1] == [None] else None
            if not shape:
                raise refuse(
                    f"{where}.{key}", "must be the shape of the data" + (", the batch null." if key != "shape" else ".")
                )
            checked["shape"] = sizes(len(shape), 1, 10_000_000)(shape, f"{where}.{key}")
        elif key in ("sparse", "ragged", "optional"):
            choice(False, None)(value, f"{where}.{key}")
        elif not _common(key, value, f"{where}.{key}", checked):
            raise refuse(f"{where}.{key}", "there is no such field; InputLayer has shape, batch_shape and name.")
    return checked


def _check_bidirectional(config: Mapping[str, Any], where: str) -> dict[str, Any]:
    checked: dict[str, Any] = {"merge_mode": "concat"}
    inner = config.get("layer")
    if not isinstance(inner, Mapping) or inner.get("class_name") not in RECURRENT:
        raise refuse(f"{where}.layer", f"must be a layer: one of {', '.join(RECURRENT)}.")
    checked["layer"] = {"module": "keras.layers", **_check_layer(inner, f"{where}.layer")}
    for key, value in config.items():
        if key == "merge_mode":
            checked[key] = choice("concat", "sum", "mul", "ave")(value, f"{where}.{key}")
        elif key not in ("layer", "backward_layer") and not _common(key, value, f"{where}.{key}", checked):
            raise refuse(f"{where}.{key}", "there is no such field; Bidirectional has layer, merge_mode and name.")
    if config.get("backward_layer") is not None:
        raise refuse(f"{where}.backward_layer", "is the same layer the other way round; leave it out.")
    return checked


def fit_layers(
    layers: Sequence[Mapping[str, Any]], row: Shape, outputs: int, task: LayersTask, path: str
) -> LayerTotals:
    """Follow a row of shape `row` through checked `layers`. Raises Unprocessable: no fit, or too large."""
    shape, parameters, operations, row_values = row, 0, 0, prod(row)
    for index, layer in enumerate(layers):
        where = f"{path}[{index}]"
        cost = _infer(layer, shape, where)
        shape = cost.shape
        parameters += cost.parameters
        operations += cost.operations
        row_values += prod(shape)
        _bound(parameters, MAX_PARAMETERS, "parameters", where)
        _bound(row_values, MAX_ROW_VALUES, "values of a row", where)
        _bound(operations, MAX_ROW_OPERATIONS, "multiplications of a row", where)
    _check_output(layers, shape, outputs, task, path)
    return LayerTotals(shape, parameters, operations, row_values)


def _infer(layer: Mapping[str, Any], shape: Shape, where: str) -> Cost:
    class_name, config = layer["class_name"], layer["config"]
    try:
        if class_name == "InputLayer":
            return _input(config, shape)
        if class_name == "Bidirectional":
            return _bidirectional(config, shape)
        return LAYERS[class_name].infer(shape, config)
    except Misfit as misfit:
        param = where if misfit.field is None else f"{where}.config.{misfit.field}"
        raise refuse(param, f"{class_name if misfit.field is None else ''} {misfit}".strip()) from misfit


def _input(config: Mapping[str, Any], shape: Shape) -> Cost:
    if config.get("shape") not in (None, list(shape)):
        raise Misfit(f"is {config['shape']}, but a row of the data has the shape {list(shape)}.", "shape")
    return Cost(shape)


def _bidirectional(config: Mapping[str, Any], shape: Shape) -> Cost:
    demand_rank(shape, [2], "time, then features")
    inner = config["layer"]
    cost = RECURRENT[inner["class_name"]].infer(shape, inner["config"])
    width = cost.shape[-1] * (2 if config["merge_mode"] == "concat" else 1)
    return Cost((*cost.shape[:-1], width), 2 * cost.parameters, 2 * cost.operations)


def _bound(value: int, most: int, what: str, where: str) -> None:
    if value > most:
        raise refuse(where, f"with this layer the network has {value:,} {what}; at most {most:,} are allowed.")


def _check_output(layers: Sequence[Mapping[str, Any]], shape: Shape, outputs: int, task: LayersTask, path: str) -> None:
    wanted = {"classification": "softmax", "multilabel": "sigmoid", "regression": "linear"}[task]
    width, shaping = outputs, _last(layers, ("units", "filters"))
    if task == "classification" and outputs == 2 and shape == (1,):
        width, wanted = 1, "sigmoid"  # one probability tells both
    if shape != (width,):
        what = {"classification": "class", "multilabel": "label", "regression": "value"}[task]
        one = f"1 number a row, the {what}" if outputs == 1 else f"{outputs} numbers a row, one for each {what}"
        last = layers[-1]["class_name"]
        field = ".config.units" if last == "Dense" and len(shape) == 1 else ""
        index = shaping if field and shaping is not None else len(layers) - 1
        raise refuse(
            f"{path}[{index}]{field}",
            f"the last layer must give {one}: it gives the shape {list(shape)}, not {[width]}. "
            f'End with Dense of {outputs} unit{"s" if outputs > 1 else ""}, activation "{wanted}".',
        )
    index, found = _last_activation(layers)
    if found != wanted:
        field = ".config.activation" if "activation" in layers[index]["config"] else ""
        why = {
            "softmax": "so that the scores of a row add up to 1",
            "sigmoid": "so that each score is a probability",
            "linear": "because the target is standardised: about half of its values are below 0",
        }[wanted]
        raise refuse(f"{path}[{index}]{field}", f'the network must end with "{wanted}", {why}; it ends with "{found}".')


def _last(layers: Sequence[Mapping[str, Any]], fields: tuple[str, ...]) -> int | None:
    found = [index for index, layer in enumerate(layers) if any(field in layer["config"] for field in fields)]
    return found[-1] if found else None


def _last_activation(layers: Sequence[Mapping[str, Any]]) -> tuple[int, str]:
    """The layer that decides in which range the answers lie, and its activation."""
    for index in range(len(layers) - 1, -1, -1):
        class_name, config = layers[index]["class_name"], layers[index]["config"]
        if class_name == "Softmax":
            return index, "softmax"
        if class_name in _TRANSPARENT or (class_name == "Activation" and config["activation"] == "linear"):
            continue
        if "activation" in config and class_name not in RECURRENT:
            return index, str(activation(config["activation"], ""))
        return index, class_name
    return 0, "linear"
