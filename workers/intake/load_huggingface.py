"""A checkpoint in the Hugging Face layout as a Keras model of ours, with its tokenizer."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from app.models.intake.findings import Findings
from app.models.intake.huggingface.archive import WEIGHTS
from app.models.intake.huggingface.header import Tensor, read_header
from app.models.intake.huggingface.inspect import Inspection
from app.models.intake.huggingface.owed import Owed
from app.models.intake.huggingface.settings import Embedding, Settings
from app.models.intake.rewrite.refused import Refused
from app.preprocessing.text import TextPreprocessing
from workers.architectures.bert import build_bert
from workers.architectures.electra import build_electra
from workers.architectures.gpt2 import build_gpt2
from workers.intake.load_tokenizer import load_preprocessing
from workers.intake.loaded import Facts, Loaded

_BUILDERS = {
    "bert": build_bert,
    "distilbert": build_bert,
    "roberta": build_bert,
    "electra": build_electra,
    "gpt2": build_gpt2,
}
_SKIP_BYTES = 1 << 20


@dataclass(frozen=True)
class LoadedCheckpoint:
    """A checkpoint taken in.

    `loaded.model` has the output `hidden` (B, T, D) and one for each head; `preprocessing` makes its inputs of texts;
    `embedding` says how a text's vectors become one.
    """

    loaded: Loaded
    preprocessing: TextPreprocessing
    embedding: Embedding


def load_checkpoint(inspection: Inspection) -> LoadedCheckpoint:
    """Build the network that was inspected and give it the weights of the file.

    Raises Refused or RefusedUpload for weights that are not finite or cut short, for a head that is not tied to the
    embeddings as config.json says, and for a tokenizer that does not fit.
    """
    preprocessing = load_preprocessing(inspection)
    config = inspection.settings.config
    model = _BUILDERS[config.family](config, inspection.plan.heads)
    _assign(inspection, model)
    facts = Facts(
        format="huggingface",
        keras_version="",
        layers=[{"name": layer.name, "class": type(layer).__name__} for layer in model.layers],
        parameters=int(model.count_params()),
        rewritten=[
            *({"layer": head, "what": "head of a task, left out"} for head in inspection.plan.left_out),
            *({"layer": name[:200], "what": "file not read"} for name in inspection.checkpoint.ignored),
        ],
    )
    return LoadedCheckpoint(Loaded(model, facts), preprocessing, inspection.embedding)


def _assign(inspection: Inspection, model: Any) -> None:
    """Read the weights in the order in which they lie: one tensor at a time is in memory."""
    plan = inspection.plan
    weights = _Weights(model, inspection.settings)
    findings = Findings()
    tokens: NDArray[np.float32] | None = None
    copies: dict[str, NDArray[np.float32]] = {}
    with inspection.checkpoint.open_weights() as source:
        # The file is read for a second time; it must say what it said.
        if read_header(source, inspection.checkpoint.weights_bytes) != inspection.tensors:
            raise Refused("not_a_model", "The file changed while it was read.", WEIGHTS)
        for tensor in inspection.tensors:
            owed = plan.read.get(tensor.name)
            if owed is None and tensor.name not in plan.copies:
                _skip(source, tensor.stop - tensor.start)
                continue
            values = _read(source, tensor)
            if not np.isfinite(values).all():
                findings.add("non_finite_weights", "It has NaN or infinite values.", tensor.name)
            if owed is None:
                copies[tensor.name] = values
                continue
            weights.put(owed, values)
            if owed.targets[0].layer == "token_embedding":
                tokens = values
    for name, copy in copies.items():
        if tokens is None or not np.array_equal(copy, tokens):
            message = "It differs from the embeddings of tokens; a head of its own is not supported."
            findings.add("untied_head", message, name)
    findings.stop()
    weights.check_all_set()


class _Weights:
    """The variables of a model by layer and name, and which of them have been set."""

    def __init__(self, model: Any, settings: Settings) -> None:
        self._model = model
        self._skipped = {"position_embedding": settings.skipped_positions}
        self._folded = settings.folded_types > 0
        self._parts: dict[tuple[str, str], set[tuple[int, int]]] = {}

    def put(self, owed: Owed, values: NDArray[np.float32]) -> None:
        """Set the weights that a tensor is."""
        values = values.T if owed.transposed else values
        for target in owed.targets:
            variable = self._variable(target.layer, target.weight)
            number, parts = target.part
            part = np.split(values, parts, axis=-1)[number]
            key = (target.layer, target.weight)
            if owed.name == "embeddings.token_type_embeddings.weight" and self._folded:
                # The one segment's vector is added to every token alike; so is a position's.
                variable.assign(
                    variable.numpy() + part if key in self._parts else np.broadcast_to(part, variable.shape)
                )
            elif target.layer == "position_embedding":
                part = part[self._skipped[target.layer] :]
                variable.assign(variable.numpy() + part if key in self._parts else part)
            else:
                variable.assign(part)
            self._parts.setdefault(key, set()).add(target.part)

    def check_all_set(self) -> None:
        """Raise RuntimeError when a weight was left as it was drawn: a defect of `owed`, not of the file."""
        names = {(layer.name, variable.name) for layer in self._model.layers for variable in layer.weights}
        # A dropout's random state is none of the file's.
        unset = {name for name in names if name not in self._parts and "seed" not in name[1]}
        if unset:
            raise RuntimeError(f"weights that no tensor sets: {sorted(unset)}")

    def _variable(self, layer: str, weight: str) -> Any:
        return next(one for one in self._model.get_layer(layer).weights if one.name == weight)


def _read(source: IO[bytes], tensor: Tensor) -> NDArray[np.float32]:
    size = tensor.stop - tensor.start
    content = source.read(size)
    if len(content) != size:
        raise Refused("not_a_model", "The weights end within a tensor.", tensor.name)
    return to_float32(content, tensor.dtype).reshape(tensor.shape)


def to_float32(content: bytes, dtype: str) -> NDArray[np.float32]:
    """Return the numbers of a tensor of type F32, F16 or BF16, which is the upper half of a float32."""
    if dtype == "BF16":
        halves = np.frombuffer(content, "<u2").astype(np.uint32)
        return (halves << np.uint32(16)).view(np.float32)
    types: Mapping[str, str] = {"F32": "<f4", "F16": "<f2"}
    return np.frombuffer(content, types[dtype]).astype(np.float32)


def _skip(source: IO[bytes], size: int) -> None:
    while size:
        read = len(source.read(min(size, _SKIP_BYTES)))
        if not read:
            raise Refused("not_a_model", "The weights are cut off.", WEIGHTS)
        size -= read
