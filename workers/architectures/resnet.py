"""Residual networks for small images: He et al., "Identity Mappings in Deep Residual Networks" (2016), figure 1b.

The layers are Keras' own; `app.recipes.image_counts` counts what is built here. Shapes: (B, H, W, C) in, (B, O) out.
"""

from collections.abc import Mapping
from typing import Any

import keras

from workers.architectures.image_output import Task, finish_image_model
from workers.recipes.built import Built


def build_resnet(architecture: Mapping[str, Any], shape: tuple[int, int, int], outputs: int, task: Task) -> Built:
    """Build the network that `architecture` describes (every field set) for images of `shape`.

    Draws its first weights from Keras' global seed.
    """
    image = keras.Input(shape, dtype="float32", name="x")
    activation = str(architecture["activation"])
    filters = [int(count) for count in architecture["filters"]]
    x = _convolution(filters[0], "stem")(image)
    for stage, count in enumerate(filters):
        for index in range(int(architecture["blocks"])):
            x = _block(x, count, 2 if stage and not index else 1, activation, f"{stage}_{index}")
    x = _activate(x, activation, "last")
    return finish_image_model(image, x, float(architecture["dropout"]), outputs, task, "resnet")


def _block(x: Any, filters: int, stride: int, activation: str, name: str) -> Any:
    """Normalise, activate, convolve, twice; beside it what came in, projected where its shape is another."""
    activated = _activate(x, activation, f"{name}a")
    beside = x
    if stride > 1 or x.shape[-1] != filters:
        beside = _convolution(filters, f"{name}_beside", size=1, stride=stride)(activated)
    y = _convolution(filters, f"{name}a", stride=stride)(activated)
    y = _convolution(filters, f"{name}b")(_activate(y, activation, f"{name}b"))
    return keras.layers.Add(name=f"add_{name}")([beside, y])


def _activate(x: Any, activation: str, name: str) -> Any:
    x = keras.layers.BatchNormalization(momentum=0.9, epsilon=1e-5, name=f"norm_{name}")(x)
    return keras.layers.Activation(activation, name=f"activation_{name}")(x)


def _convolution(filters: int, name: str, size: int = 3, stride: int = 1) -> Any:
    return keras.layers.Conv2D(
        filters,
        size,
        strides=stride,
        padding="same",
        use_bias=False,
        kernel_initializer="he_normal",
        name=f"conv_{name}",
    )
