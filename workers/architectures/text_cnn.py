"""Convolutions over words (Kim, "Convolutional Neural Networks for Sentence Classification", 2014).

Filters of several widths over the embedded tokens, of each its largest value over the text, dropout, one layer.
Shapes: B batch, T tokens, D width, F filters, C classes.
"""

from collections.abc import Mapping
from typing import Any

import keras

from app.preprocessing.text import MASK, TOKENS
from workers.architectures.custom_text import KeepTokens
from workers.architectures.ngrams import Task
from workers.recipes.built import Built


def build_text_cnn(architecture: Mapping[str, Any], vocabulary: int, outputs: int, task: Task) -> Built:
    """Build the network that `architecture` describes (every field set).

    What pads is zero before every convolution and before the maximum, as what lies beyond the ends of a text is: a text
    alone and the same text in a batch of longer ones give the same answer.
    """
    tokens = keras.Input((None,), dtype="int32", name=TOKENS)
    mask = keras.Input((None,), dtype="int32", name=MASK)
    width = int(architecture["embedding_width"])
    # Kim, section 3.1: vectors of words that are not known are drawn from U[−0.25, 0.25].
    initial = keras.initializers.RandomUniform(-0.25, 0.25)
    x = keras.layers.Embedding(vocabulary, width, initial, name="embedding")(tokens)
    x = KeepTokens(name="embedded")([x, mask])
    found = []
    for size in architecture["filter_widths"]:
        y = keras.layers.Conv1D(
            int(architecture["filters"]), int(size), padding="same", activation="relu", name=f"conv_{size}"
        )(x)
        # After ReLU no value is below 0, so that zeros never win over a place of the text.
        y = KeepTokens(name=f"within_{size}")([y, mask])
        found.append(keras.layers.GlobalMaxPooling1D(name=f"largest_{size}")(y))
    x = found[0] if len(found) == 1 else keras.layers.Concatenate(name="found")(found)
    if architecture["dropout"]:
        x = keras.layers.Dropout(float(architecture["dropout"]), name="dropout")(x)
    logits = keras.layers.Dense(outputs, name="output")(x)
    logits = keras.layers.Activation("linear", dtype="float32", name="logits")(logits)
    chances = keras.layers.Activation(
        "softmax" if task == "classification" else "sigmoid", dtype="float32", name="probabilities"
    )(logits)
    inputs = {TOKENS: tokens, MASK: mask}
    return Built(
        training_model=keras.Model(inputs, logits, name="text_cnn_training"),
        serving_model=keras.Model(inputs, chances, name="text_cnn"),
        from_logits=True,
    )
