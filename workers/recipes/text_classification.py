"""Recipe `text-classification`: built as the architecture says, one output a class or label."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import tensorflow as tf

from app.preprocessing.ngrams import NgramPreprocessing
from app.preprocessing.prepare import Prepared
from workers.architectures.ngrams import Task, build_ngrams
from workers.recipes.built import Built, Tensors


def build(resolved: Mapping[str, Any], prepared: Prepared) -> Built:
    """Build the network of `resolved` for the texts of `prepared`."""
    preprocessing = prepared.preprocessing
    assert isinstance(preprocessing, NgramPreprocessing)  # noqa: S101 — what its family fits
    task: Task = "multilabel" if preprocessing.multilabel else "classification"
    assert preprocessing.ratios is not None  # noqa: S101 — what a fit on all training rows leaves
    architecture, regularization = resolved["params"]["architecture"], resolved["training"]["regularization"]
    l2, dropout = float(regularization["l2"]), float(architecture["dropout"])
    built = build_ngrams(architecture, preprocessing.ratios, task, l2, dropout)
    return replace(built, enter=pad)


def pad(kept: Tensors) -> Tensors:
    """Fill the rows of a batch up with zeros to the longest."""
    return {name: rows.to_tensor() if isinstance(rows, tf.RaggedTensor) else rows for name, rows in kept.items()}
