# ruff: noqa: N803, N806 — names end in their shape (see the key below)
"""Texts to vectors: tokens, the network's vectors of them, and of these one for each text.

The same bounds and batches as predictions have; a batch of texts goes through the network in pieces of like length.

Shapes: N texts, T tokens, D width.
"""

from typing import Any, Literal

import numpy as np
import orjson

from app.core.errors import Unprocessable
from app.inference.predictor import Predictor
from app.inference.rows import Rows, Texts
from app.inference.runtime import ModelUnusable
from app.inference.work import Work
from app.preprocessing.text import Encoded, TextPreprocessing

# Padded tokens of one run: attention's memory grows with the square of the length, and a run of more gains nothing.
RUN_TOKENS = 4096
_LEAST_NORM = 1e-12
_NO_TOKENS = 1e-9


class Embedder:
    """The texts' vectors of one model version. Its methods may be called from several threads."""

    decodes = False

    def __init__(self, predictor: Predictor, preprocessing: TextPreprocessing, facts: dict[str, Any]) -> None:
        """`facts`: the manifest's `embedding`: the graph's output, the pooling, and whether to scale to length 1."""
        self.preprocessing = preprocessing
        self._model = predictor.model
        self._names = [spec.name for spec in predictor.model.inputs]
        self._pooling: Literal["mean", "first", "max"] = facts["pooling"]
        self._normalize: bool = facts["normalize"]
        outputs = [spec.name for spec in predictor.model.outputs]
        if facts["output"] not in outputs or self._pooling not in ("mean", "first", "max"):
            raise ModelUnusable("the manifest's embedding is not of the model")
        self._output = outputs.index(facts["output"])
        self.dim = predictor.model.outputs[self._output].shape[-1]
        if self.dim < 1:
            raise ModelUnusable("the model's vectors have no width")

    @classmethod
    def of(cls, predictor: Predictor) -> "Embedder | None":
        """Return the embedder of a bundle; None where its model embeds no text."""
        facts = predictor.manifest["embedding"]
        preprocessing = predictor.preprocessing
        if facts is None or not isinstance(preprocessing, TextPreprocessing):
            return None
        return cls(predictor, preprocessing, facts)

    def check(self, texts: list[Any]) -> Texts:
        """Return `texts` when each is one; Unprocessable names the one that is not."""
        for index, text in enumerate(texts):
            if not isinstance(text, str):
                shown = repr(text)[:60]
                raise Unprocessable(f"input[{index}]: expected a string, got {shown}", param=f"input[{index}]")
        return texts

    def prepare_rows(self, parts: list[Rows]) -> list[Encoded]:
        """Return the tokens of the texts of all `parts`, in order."""
        return self.preprocessing.encode([text for part in parts for text in part])  # type: ignore[misc]

    def run(self, encoded: list[Encoded]) -> np.ndarray:
        """Return the vectors, (N, D) float32; ModelUnusable when the graph fails."""
        vectors_ND = np.empty((len(encoded), self.dim), np.float32)
        for piece in pieces([len(one.ids) for one in encoded]):
            vectors_ND[piece] = self._run_piece([encoded[index] for index in piece])
        return vectors_ND

    def _run_piece(self, encoded: list[Encoded]) -> np.ndarray:
        arrays = self.preprocessing.pad(encoded)
        hidden_NTD = self._model.run({name: arrays[name] for name in self._names})[self._output]
        vectors_ND = pool(hidden_NTD, arrays["padding_mask"], self._pooling)
        if self._normalize:
            lengths_N1 = np.linalg.norm(vectors_ND, axis=1, keepdims=True)
            vectors_ND = vectors_ND / np.maximum(lengths_N1, _LEAST_NORM)
        return vectors_ND


def pool(hidden_NTD: np.ndarray, mask_NT: np.ndarray, pooling: Literal["mean", "first", "max"]) -> np.ndarray:
    """Return one vector for each text, (N, D): the mean or maximum over its tokens, or the first token's.

    Reimers and Gurevych, "Sentence-BERT" (2019), section 3, has all three. A text without a token is the zero vector.
    """
    if pooling == "first":
        return np.where(mask_NT[:, :1] > 0, hidden_NTD[:, 0], 0.0)
    if pooling == "max":
        masked_NTD = np.where(mask_NT[:, :, None] > 0, hidden_NTD, -np.inf)
        has_token_N1 = mask_NT.max(axis=1, keepdims=True) > 0
        return np.where(has_token_N1, masked_NTD.max(axis=1), 0.0)
    weights_NT = mask_NT.astype(hidden_NTD.dtype)
    sums_ND = np.einsum("ntd,nt->nd", hidden_NTD, weights_NT)
    return np.asarray(sums_ND / np.maximum(weights_NT.sum(axis=1, keepdims=True), _NO_TOKENS))


def pieces(lengths: list[int]) -> list[list[int]]:
    """Return which texts go through the network together: like lengths, and at most `RUN_TOKENS` with the padding."""
    order = sorted(range(len(lengths)), key=lengths.__getitem__, reverse=True)
    found: list[list[int]] = []
    for index in order:
        # The first of a piece is its longest.
        if found and (len(found[-1]) + 1) * max(1, lengths[found[-1][0]]) <= RUN_TOKENS:
            found[-1].append(index)
        else:
            found.append([index])
    return found


class EmbedEncoder:
    """Writes `{"embeddings": [[…]], "dim": 384, "model": {…}}` (API.md §6)."""

    def __init__(self, dim: int, name: str, version: int) -> None:
        self._tail = b',"dim":%d,"model":' % dim + orjson.dumps({"name": name, "version": version}) + b"}"

    def empty(self, _form: object) -> bytes:
        """Return the body for a request without texts."""
        return b'{"embeddings":[]' + self._tail

    def encode(self, batch: list[Work], vectors_ND: np.ndarray) -> list[bytes]:
        """Return the body of each work of a batch from all their vectors, in order."""
        bodies = []
        start = 0
        for work in batch:
            part = np.ascontiguousarray(vectors_ND[start : start + work.size])
            bodies.append(b'{"embeddings":' + orjson.dumps(part, option=orjson.OPT_SERIALIZE_NUMPY) + self._tail)
            start += work.size
        return bodies
