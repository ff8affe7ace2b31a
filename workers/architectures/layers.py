"""`architecture.type: "layers"`: a network from the user's own list of Keras layer configs.

The allow-list is in `app.recipes.layers`. The order was checked against it when it was submitted, and is again here: a
class that is not on it (`Lambda`, `TFSMLayer`) must never be built, wherever an order came from.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import keras

from app.recipes.layers import check_configs
from workers.architectures import custom
from workers.architectures.mlp import TabularInputs, Task
from workers.recipes.built import Built


def build_layers(configs: Sequence[Mapping[str, Any]], inputs: TabularInputs, outputs: int, task: Task) -> Built:
    """Build the network; one model for training and for serving, with the user's last activation.

    An array column enters as it is; the columns of a table enter side by side, categories as one-hot codes. A single
    unit with a sigmoid may stand for two classes. Raises ValueError where the last layer does not give `outputs` values
    a row, or a layer does not fit the one before; the message names the layer. Raises Unprocessable for a config that
    is not allowed.
    """
    tensors, x = _read(inputs)
    for index, config in enumerate(check_configs(configs, "params.architecture.layers")):
        if config["class_name"] == "InputLayer":
            continue
        layer_config = {"name": f"layer_{index}", **config["config"]}
        try:
            layer = getattr(keras.layers, str(config["class_name"])).from_config(layer_config)
            x = layer(x)
        except (TypeError, ValueError) as error:
            raise ValueError(f"layers[{index}] ({config['class_name']}): {error}") from error
    x = _finish(x, outputs, task)
    model = keras.Model(tensors, x, name="layers")
    return Built(training_model=model, serving_model=model, from_logits=False, members=1)


def _read(inputs: TabularInputs) -> tuple[dict[str, Any], Any]:
    """The input tensors by name, and what the first layer sees."""
    if inputs.array is not None:
        x = keras.Input(inputs.array, dtype="float32", name="x")
        return {"x": x}, x
    tensors: dict[str, Any] = {}
    parts = []
    if inputs.numbers:
        tensors["numbers"] = keras.Input((inputs.numbers,), dtype="float32", name="numbers")
        parts.append(tensors["numbers"])
    if inputs.cardinalities:
        tensors["categories"] = keras.Input((len(inputs.cardinalities),), dtype="int32", name="categories")
        codes = custom.OneHotColumns(list(inputs.cardinalities), name="category_codes")
        parts.append(codes(tensors["categories"]))
    return tensors, parts[0] if len(parts) == 1 else keras.layers.Concatenate(name="features")(parts)


def _finish(x: Any, outputs: int, task: Task) -> Any:
    """Check what the last layer gives, and give it the shape of the answer."""
    if task == "classification" and outputs == 2 and tuple(x.shape[1:]) == (1,):
        x = custom.BothClasses(name="both_classes")(x)
    if tuple(x.shape[1:]) != (outputs,):
        what = "value" if task == "regression" else "class"
        raise ValueError(
            f"the last layer must give {outputs} number{'s' if outputs > 1 else ''} a row, one for each {what}; "
            f"it gives the shape {tuple(x.shape[1:])}"
        )
    return keras.layers.Activation("linear", dtype="float32", name="answer")(x)
