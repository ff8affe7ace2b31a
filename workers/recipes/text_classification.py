"""Recipe `text-classification`: built as the architecture says, one output a class or label."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import tensorflow as tf

from app.preprocessing.ngrams import NgramPreprocessing
from app.preprocessing.prepare import Prepared
from app.preprocessing.text import MASK, TOKENS, TextPreprocessing
from workers.architectures.ngrams import Task, build_ngrams
from workers.architectures.text_cnn import build_text_cnn
from workers.recipes.built import Built, Tensors


def build(resolved: Mapping[str, Any], prepared: Prepared) -> Built:
    """Build the network of `resolved` for the texts of `prepared`."""
    preprocessing = prepared.preprocessing
    architecture, regularization = resolved["params"]["architecture"], resolved["training"]["regularization"]
    task: Task = "multilabel" if preprocessing.multilabel else "classification"
    if isinstance(preprocessing, NgramPreprocessing):
        assert preprocessing.ratios is not None  # noqa: S101 — what a fit on all training rows leaves
        l2, dropout = float(regularization["l2"]), float(architecture["dropout"])
        return replace(build_ngrams(architecture, preprocessing.ratios, task, l2, dropout), enter=pad)
    assert isinstance(preprocessing, TextPreprocessing)  # noqa: S101 — the other kind that its family fits
    tokenizer = preprocessing.tokenizer
    built = build_text_cnn(architecture, tokenizer.largest_id + 1, preprocessing.outputs, task)
    fill = tokenizer.special.pad or 0

    def enter(kept: Tensors) -> Tensors:
        padded = kept[TOKENS].to_tensor(fill)
        # One token at least, as in predictions.
        padded = tf.pad(padded, [[0, 0], [0, tf.maximum(1 - tf.shape(padded)[1], 0)]], constant_values=fill)
        return {TOKENS: padded, MASK: tf.sequence_mask(kept[TOKENS].row_lengths(), tf.shape(padded)[1], tf.int32)}

    return replace(built, enter=enter)


def pad(kept: Tensors) -> Tensors:
    """Fill the rows of a batch up with zeros to the longest."""
    return {name: rows.to_tensor() for name, rows in kept.items()}
