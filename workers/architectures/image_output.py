"""The end of a network for images: the mean over all places, one output a class."""

from typing import Any, Literal

import keras

from workers.recipes.built import Built

Task = Literal["classification", "multilabel", "regression"]


def finish_image_model(image: Any, x: Any, dropout: float, outputs: int, task: Task, name: str) -> Built:
    """Return the models from the input `image` and the last feature maps `x`, (B, H, W, C)."""
    x = keras.layers.GlobalAveragePooling2D(name="mean_of_places")(x)
    if dropout:
        x = keras.layers.Dropout(dropout, name="dropout")(x)
    logits = keras.layers.Dense(outputs, name="output")(x)
    # Losses and probabilities are taken in float32 also where the network computes in half precision.
    logits = keras.layers.Activation("linear", dtype="float32", name="logits")(logits)
    chances = keras.layers.Activation(
        "softmax" if task == "classification" else "sigmoid", dtype="float32", name="probabilities"
    )(logits)
    return Built(
        training_model=keras.Model({"x": image}, logits, name=f"{name}_training"),
        serving_model=keras.Model({"x": image}, chances, name=name),
        from_logits=True,
    )
