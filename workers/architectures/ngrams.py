"""Weighted sums of embedded n-grams: the scores of the classes, or a vector with the classes on top.

Without a width this is the linear model of sparse features of Wang and Manning, "Baselines and Bigrams" (2012): what is
learned of an n-gram and a class is multiplied with their log-count ratio, so that what tells nothing stays near 0. With
a width it is that of Joulin et al., "Bag of Tricks for Efficient Text Classification" (2016), with a weighted mean.

Shapes: B batch, T n-grams of a text, V ids, D width, C classes.
"""

from collections.abc import Mapping
from typing import Any, Literal

import keras
import numpy as np
from numpy.typing import NDArray

from app.preprocessing.ngrams import IDS, WEIGHTS
from workers.architectures.custom_text import AddBias, WeightedSum
from workers.recipes.built import Built

Task = Literal["classification", "multilabel"]
_TABLE, _RATIOS = "ngrams", "ratios"


def build_ngrams(
    architecture: Mapping[str, Any], ratios: NDArray[np.float32], task: Task, l2: float, dropout: float
) -> Built:
    """Build the network that `architecture` describes (every field set) for log-count ratios (V, C).

    `l2`: what the squares of the table's numbers cost; of dense layers the trainer sees to it.
    """
    size, outputs = ratios.shape
    width = architecture["width"]
    if width is not None:
        ratios = np.abs(ratios).max(axis=1, keepdims=True)
    training, serving = _build(width, ratios, outputs, task, l2, dropout)

    def export() -> Any:
        folded = _build(width, None, outputs, task, 0.0, 0.0, size)[1]
        weights = {layer.name: layer.get_weights() for layer in training.layers}
        weights[_TABLE] = [weights[_TABLE][0] * weights[_RATIOS][0]]
        for layer in folded.layers:
            layer.set_weights(weights[layer.name] if layer.weights else [])
        return folded

    return Built(training_model=training, serving_model=serving, from_logits=True, export=export)


def _build(
    width: int | None,
    ratios: NDArray[np.float32] | None,
    outputs: int,
    task: Task,
    l2: float,
    dropout: float,
    size: int = 0,
) -> tuple[Any, Any]:
    """The model up to its logits, and up to its chances; without `ratios` these are in the table already."""
    ids = keras.Input((None,), dtype="int32", name=IDS)
    weights = keras.Input((None,), dtype="float32", name=WEIGHTS)
    # From 0 on all classes are equally likely, and nothing but what is learned tells them apart.
    initial = "zeros" if width is None else keras.initializers.RandomUniform(-1.0 / width, 1.0 / width)
    penalty = keras.regularizers.L2(l2) if l2 else None
    size = size if ratios is None else len(ratios)
    x = keras.layers.Embedding(size, width or outputs, initial, penalty, name=_TABLE)(ids)
    if ratios is not None:
        fixed = keras.layers.Embedding(size, ratios.shape[1], "zeros", trainable=False, name=_RATIOS)
        x = keras.layers.Multiply(name="scaled")([x, fixed(ids)])
        fixed.set_weights([ratios])
    kept = keras.layers.Dropout(dropout, name="dropout")(weights) if dropout else weights
    x = WeightedSum(name="sum")([x, kept])
    logits = AddBias(name="output")(x) if width is None else keras.layers.Dense(outputs, name="output")(x)
    logits = keras.layers.Activation("linear", dtype="float32", name="logits")(logits)
    chances = keras.layers.Activation(
        "softmax" if task == "classification" else "sigmoid", dtype="float32", name="probabilities"
    )(logits)
    inputs = {IDS: ids, WEIGHTS: weights}
    return keras.Model(inputs, logits, name="ngrams_training"), keras.Model(inputs, chances, name="ngrams")
