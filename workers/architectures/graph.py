"""A Keras model as the graph that it is: every operation called anew on given tensors, and what each one is.

Sequential and Functional models alike; a model within a model counts as one operation.
"""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import keras

# Layers whose kernel is multiplied with what comes in: an adapter of low rank can be laid beside it.
ADAPTABLE = (keras.layers.Dense, keras.layers.EinsumDense)


@dataclass(frozen=True)
class Step:
    """One operation of a traced model: what it read and gave, as symbolic tensors."""

    operation: Any
    inputs: list[Any]
    outputs: list[Any]


def trace(model: Any, tensors: Sequence[Any]) -> list[Step]:
    """Call every operation of `model`, itself and not a copy, on symbolic `tensors`, which stand for its inputs.

    In an order in which each follows on what it reads. ValueError where a layer does not take them.
    """
    steps: list[Step] = []

    def call(operation: Any, *args: Any, **kwargs: Any) -> Any:
        given = operation(*args, **kwargs)
        read = [one for one in keras.tree.flatten((args, kwargs)) if isinstance(one, keras.KerasTensor)]
        steps.append(Step(operation, read, list(keras.tree.flatten(given))))
        return given

    if isinstance(model, keras.Sequential):
        passed = tensors[0]
        for layer in model.layers:
            passed = call(layer, passed)
        return steps
    structure = keras.tree.pack_sequence_as(model.input, list(tensors))
    with warnings.catch_warnings():
        # That the tensors have other names than the model's own inputs.
        warnings.simplefilter("ignore", UserWarning)
        keras.models.clone_model(model, input_tensors=structure, clone_function=_itself, call_function=call)
    return steps


def _itself(layer: Any) -> Any:
    return layer


def describe_layers(model: Any) -> list[dict[str, Any]]:
    """Return what the manifest of a bundle says of each layer (`layers`), inputs first, then in calling order.

    `shape` is of a row, −1 for a free length; None where a layer is called more than once or gives several tensors, so
    that its name names no single output. `operations`: multiplications of a row, roughly. `kernels`: shapes of the
    kernels that adapters fit beside.
    """
    tensors = [keras.Input(batch_shape=one.shape, dtype=one.dtype, name=one.name) for one in model.inputs]
    steps = trace(model, tensors)
    known = [_entry(one.name, "InputLayer", [], [one]) for one in tensors]
    by_name: dict[str, dict[str, Any]] = {}
    for step in steps:
        name = step.operation.name
        read = [tensor._keras_history.operation.name for tensor in step.inputs]
        if name in by_name:
            by_name[name]["shape"] = None
            by_name[name]["inputs"] = list(dict.fromkeys([*by_name[name]["inputs"], *read]))
            continue
        by_name[name] = _entry(name, type(step.operation).__name__, read, step.outputs) | _weights(step)
    return [*known, *by_name.values()]


def _entry(name: str, class_name: str, inputs: list[str], outputs: list[Any]) -> dict[str, Any]:
    shape = [-1 if length is None else int(length) for length in outputs[0].shape[1:]] if len(outputs) == 1 else None
    return {
        "name": name, "class": class_name, "inputs": list(dict.fromkeys(inputs)), "shape": shape, "activation": None,
        "parameters": 0, "trainable": 0, "operations": 0, "kernels": [],
    }  # fmt: skip


def _weights(step: Step) -> dict[str, Any]:
    layer = step.operation
    if not isinstance(layer, keras.Layer):
        return {}
    activation = getattr(layer, "activation", None)
    every = layer._flatten_layers()
    # A weight is used at every place of a row where its layer is: time steps, pixels.
    places = max([1, *(prod(n or 1 for n in one.shape[1:-1]) for one in [*step.inputs, *step.outputs])])
    parameters = int(layer.count_params())
    return {
        "activation": getattr(activation, "__name__", None),
        "parameters": parameters,
        # Whatever is frozen at the moment: what a layer learns by itself.
        "trainable": sum(
            prod(v.shape) for one in every for v in one._trainable_variables if not v.name.startswith("lora_")
        ),
        "operations": parameters * places,
        "kernels": [list(one.kernel.shape) for one in every if isinstance(one, ADAPTABLE)],
    }
