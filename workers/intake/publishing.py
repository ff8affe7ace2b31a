"""A loaded model, written anew: our own `model.keras`, its ONNX twin where it says the same, and the manifest."""

from pathlib import Path
from typing import Any

import keras
import numpy as np
import orjson

from app.inference.explain.gradient_graph import FILE
from app.models.bundle import write_bundle
from app.models.intake.arithmetic import ModelFacts
from app.models.intake.findings import plain
from app.models.intake.rewrite.refused import Refused
from app.preprocessing.fitted import TensorSpec
from workers.architectures.graph import describe_layers
from workers.intake.load_keras import load_model
from workers.intake.onnx_twin import Ask
from workers.intake.twins import FAILURES, ROWS, ask_keras, write_twin
from workers.trainer.explain_graph import write_gradients
from workers.trainer.onnx_export import large_weights

_SEED = 20
_FREE_LENGTH = 8


def publish(
    path: Path, architecture: Path | None, folder: Path, facts: ModelFacts, order: dict[str, Any]
) -> dict[str, Any]:
    """Load the upload, write its bundle into `folder`, and return what the report says of it. Refused."""
    folder.mkdir()
    try:
        loaded = load_model(path, architecture)
    except FAILURES as error:
        # Keras' own messages hold paths and parts of the file.
        raise Refused("unreadable", f"Keras cannot build this model from its file ({type(error).__name__}).") from error
    model = loaded.model
    check_finite(model)
    signature = signature_of(model, facts)
    ask = as_function(model)
    inputs = sample(model, facts)
    expected = _answer(ask, inputs)
    model.save(folder / "model.keras")
    runtime, onnx = write_twin(ask, folder / "model.onnx", signature, inputs, expected)
    parameters = int(model.count_params())
    if runtime == "onnx":
        _write_gradients(model, ask, folder / FILE, signature)
    _write(folder, signature, runtime, parameters, describe_layers(model), order)
    return {
        "accepted": True,
        "format": loaded.facts.format,
        "keras_version": loaded.facts.keras_version,
        "rewritten": loaded.facts.rewritten,
        "parameters": parameters,
        "runtime": runtime,
        "onnx": onnx,
    }


def _write_gradients(model: Any, ask: Ask, path: Path, signature: dict[str, Any]) -> None:
    """Write the graph of gradients of a model with one output of some numbers a row."""
    outputs = signature["outputs"]
    if len(outputs) != 1 or len(outputs[0]["shape"]) != 2 or outputs[0]["shape"][1] < 1:
        return
    inputs = [TensorSpec(one["name"], one["dtype"], tuple(one["shape"][1:])) for one in signature["inputs"]]
    parameters = int(model.count_params())
    write_gradients(lambda given: ask(given)[0], path, inputs, outputs[0]["shape"][1], parameters, large_weights(model))


def check_finite(model: Any) -> None:
    """Refuse a model that has a weight which is no finite number."""
    for variable in model.variables:
        values = np.asarray(variable)
        if values.dtype.kind == "f" and not np.isfinite(values).all():
            raise Refused("non_finite_weights", "A weight is NaN or infinite.", plain(str(variable.path)))


def signature_of(model: Any, facts: ModelFacts) -> dict[str, Any]:
    """Return the signature: names of the config, dtypes and shapes of the built model, −1 for a free length."""
    sides = {"inputs": (facts.inputs, model.inputs), "outputs": (facts.outputs, model.outputs)}
    if any(len(stated) != len(tensors) for stated, tensors in sides.values()):
        raise Refused("unreadable", "The built model has other inputs or outputs than its config says.")
    return {
        side: [
            {"name": fact["name"], "dtype": str(tensor.dtype), "shape": [-1, *(n or -1 for n in tensor.shape[1:])]}
            for fact, tensor in zip(stated, tensors, strict=True)
        ]
        for side, (stated, tensors) in sides.items()
    }


def as_function(model: Any) -> Ask:
    """Return the model as a function of its inputs in order."""

    def ask(tensors: list[Any]) -> list[Any]:
        return list(keras.tree.flatten(model(tensors[0] if len(tensors) == 1 else tensors, training=False)))

    return ask


def sample(model: Any, facts: ModelFacts) -> list[np.ndarray]:
    """Return rows to compare on: normal numbers; ids within the vocabulary where an embedding reads them."""
    rng = np.random.default_rng(_SEED)
    found = []
    for fact, tensor in zip(facts.inputs, model.inputs, strict=True):
        shape = (ROWS, *(length or _FREE_LENGTH for length in tensor.shape[1:]))
        rows, dtype = facts.vocabulary.get(fact["name"]), str(tensor.dtype)
        if rows is not None or "int" in dtype or dtype == "bool":
            found.append(rng.integers(0, rows or 2, shape).astype(dtype))
        else:
            found.append(rng.standard_normal(shape).astype(dtype))
    return found


def _answer(ask: Ask, inputs: list[np.ndarray]) -> list[np.ndarray]:
    try:
        return ask_keras(ask, inputs)
    except FAILURES as error:
        message = f"The model cannot be run on inputs of its own signature ({type(error).__name__})."
        raise Refused("unusable", message) from error


def _write(
    folder: Path,
    signature: dict[str, Any],
    runtime: str,
    parameters: int,
    layers: list[dict[str, Any]],
    order: dict[str, Any],
) -> None:
    scale = order["input_scale"]
    fitted = {"kind": "tensors", "format": 1, **signature, "input_scale": scale, "labels": order["labels"]}
    fitted["channel_order"] = order.get("channel_order")
    (folder / "preprocessing.json").write_bytes(orjson.dumps(fitted))
    write_bundle(
        folder,
        {
            "signature": {**signature, **({"input_scale": scale} if scale else {})},
            "instance": {
                "columns": [{"name": spec["name"], "type": "array"} for spec in signature["inputs"]],
                "bare": len(signature["inputs"]) == 1,
            },
            "labels": order["labels"],
            "parameters": parameters,
            "layers": layers,
            "runtime": runtime,
            "fingerprint": {"keras": keras.__version__},
        },
    )
