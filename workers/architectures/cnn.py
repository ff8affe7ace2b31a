"""Convolutional networks for images: stages of convolutions, and the mean over all places at the end.

The layers are Keras' own; `app.recipes.image_counts` counts what is built here. Shapes: (B, H, W, C) in, (B, O) out.
"""

from collections.abc import Mapping
from typing import Any

import keras

from workers.architectures.image_output import Task, finish_image_model
from workers.recipes.built import Built


def build_cnn(architecture: Mapping[str, Any], shape: tuple[int, int, int], outputs: int, task: Task) -> Built:
    """Build the network that `architecture` describes (every field set) for images of `shape`.

    Draws its first weights from Keras' global seed.
    """
    image = keras.Input(shape, dtype="float32", name="x")
    x = image
    for stage, filters in enumerate(architecture["filters"]):
        if stage:
            x = keras.layers.MaxPooling2D(2, name=f"pool_{stage}")(x)
        for index in range(int(architecture["convolutions"])):
            x = _convolve(architecture, x, int(filters), f"{stage}_{index}")
    return finish_image_model(image, x, float(architecture["dropout"]), outputs, task, "cnn")


def _convolve(architecture: Mapping[str, Any], x: Any, filters: int, name: str) -> Any:
    has_norm = architecture["normalization"] == "batch"
    x = keras.layers.Conv2D(
        filters,
        int(architecture["kernel_size"]),
        padding="same",
        use_bias=not has_norm,
        kernel_initializer="he_normal",
        name=f"conv_{name}",
    )(x)
    if has_norm:
        x = keras.layers.BatchNormalization(momentum=0.9, epsilon=1e-5, name=f"norm_{name}")(x)
    return keras.layers.Activation(architecture["activation"], name=f"activation_{name}")(x)
