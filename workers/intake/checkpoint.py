# ruff: noqa: N803, N806 — names end in their shape: N texts, T tokens, D width
"""A checkpoint in the Hugging Face layout, written anew as a bundle of ours with its tokenizer."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import orjson

from app.models.bundle import write_bundle
from app.models.intake.huggingface.inspect import inspect_checkpoint
from app.models.intake.inspect_zip import read_directory
from app.models.intake.limits import IntakeLimits
from app.models.intake.rewrite.refused import Refused
from workers.architectures.graph import describe_layers
from workers.intake.load_huggingface import load_checkpoint
from workers.intake.twins import FAILURES, Compare, ask_keras, write_twin
from workers.trainer.onnx_export import large_weights

_HIDDEN = "hidden"
_LEAST_LENGTH = 1e-6
# Of several lengths, so that the padding counts.
_TEXTS = ["A short text.", "Another one, which is a little longer than the first.", "Three.", "What is 17 and 25?"]


def publish_checkpoint(path: Path, folder: Path, order: dict[str, Any], limits: IntakeLimits) -> dict[str, Any]:
    """Build the checkpoint, write its bundle into `folder`, and return what the report says. Refused, RefusedUpload."""
    with path.open("rb") as source:
        members = read_directory(source, path.stat().st_size)
    taken = load_checkpoint(inspect_checkpoint(path, members, limits.max_upload_bytes, limits.max_parameters))
    model, facts, preprocessing = taken.loaded.model, taken.loaded.facts, taken.preprocessing
    folder.mkdir()
    arrays = preprocessing.pad(preprocessing.encode(_TEXTS))
    names = list(arrays)
    # Only what embeds: a head over the vocabulary would be computed with it, for every text.
    outputs = [_HIDDEN]

    def ask(tensors: list[Any]) -> list[Any]:
        given = model(dict(zip(names, tensors, strict=True)), training=False)
        return [given[name] for name in outputs]

    inputs = [arrays[name] for name in names]
    try:
        expected = ask_keras(ask, inputs)
    except FAILURES as error:
        raise Refused("unusable", f"The model cannot be run on a text ({type(error).__name__}).") from error
    signature = _signature(preprocessing.inputs, {name: model.output[name] for name in outputs})
    model.save(folder / "model.keras")
    runtime, onnx = write_twin(
        ask, folder / "model.onnx", signature, inputs, expected, large_weights(model), _compare(arrays["padding_mask"])
    )
    embedding = {"pooling": taken.embedding.pooling, "normalize": taken.embedding.normalize}
    (folder / "preprocessing.json").write_bytes(orjson.dumps(preprocessing.to_json()))
    (folder / "tokenizer.json").write_bytes(preprocessing.tokenizer.content)
    write_bundle(
        folder,
        {
            "signature": signature,
            "instance": {"columns": preprocessing.instance_columns, "bare": preprocessing.bare},
            "labels": order["labels"],
            "parameters": facts.parameters,
            "layers": describe_layers(model),
            "runtime": runtime,
            "embedding": {"output": _HIDDEN, **embedding},
            "fingerprint": {"keras": keras.__version__},
        },
    )
    return {
        "accepted": True,
        "format": facts.format,
        "layers": facts.layers,
        "parameters": facts.parameters,
        "rewritten": facts.rewritten,
        "runtime": runtime,
        "onnx": onnx,
        "embedding": embedding,
    }


def _signature(inputs: Sequence[Any], outputs: Mapping[str, Any]) -> dict[str, Any]:
    """Return names, types and shapes, −1 for an axis of any length; `outputs`: symbolic tensors by name."""
    return {
        "inputs": [{"name": spec.name, "dtype": spec.dtype, "shape": [-1, *spec.shape]} for spec in inputs],
        "outputs": [
            {"name": name, "dtype": str(tensor.dtype), "shape": [-1, *(length or -1 for length in tensor.shape[1:])]}
            for name, tensor in outputs.items()
        ],
    }


def _compare(mask_NT: np.ndarray) -> Compare:
    """Return how far vectors of tokens are apart, relative to their length; those of padding are none.

    A number of a vector says nothing alone: some are a thousandth of the others, with the others' rounding.
    """

    def compare(together: list[np.ndarray], alone: list[np.ndarray], expected: list[np.ndarray]) -> float:
        (wanted_NTD,) = expected
        worst = 0.0
        for (given_NTD,) in (together, alone):
            if given_NTD.shape != wanted_NTD.shape or not np.isfinite(wanted_NTD).all():
                return float("inf")
            lengths_NT = np.maximum(np.linalg.norm(wanted_NTD, axis=-1), _LEAST_LENGTH)
            apart_NT = np.linalg.norm(given_NTD - wanted_NTD, axis=-1) / lengths_NT
            worst = max(worst, float(apart_NT[mask_NT == 1].max()))
        return worst

    return compare
