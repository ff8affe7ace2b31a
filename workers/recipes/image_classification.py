"""Recipe `image-classification`: built as the architecture says, one output a class or label."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import tensorflow as tf

from app.preprocessing.images import INPUT, ImagePreprocessing
from app.preprocessing.prepare import Prepared
from workers.architectures.cnn import build_cnn
from workers.architectures.image_output import Task
from workers.architectures.layers import build_layers
from workers.architectures.mlp import TabularInputs
from workers.architectures.resnet import build_resnet
from workers.recipes.built import Built, Tensors
from workers.recipes.image_variation import make_variation


def build(resolved: Mapping[str, Any], prepared: Prepared) -> Built:
    """Build the network of `resolved` for the images of `prepared`; ValueError where a layer does not fit."""
    preprocessing = prepared.preprocessing
    assert isinstance(preprocessing, ImagePreprocessing)  # noqa: S101 — what its family fits
    task: Task = "multilabel" if preprocessing.multilabel else "classification"
    architecture, shape = resolved["params"]["architecture"], preprocessing.frame.shape
    if architecture["type"] == "layers":
        built = build_layers(architecture["layers"], TabularInputs(array=shape), preprocessing.outputs, task)
    elif architecture["type"] == "resnet":
        built = build_resnet(architecture, shape, preprocessing.outputs, task)
    else:
        built = build_cnn(architecture, shape, preprocessing.outputs, task)
    return with_images(built, resolved, preprocessing)


def with_images(built: Built, resolved: Mapping[str, Any], preprocessing: ImagePreprocessing) -> Built:
    """Return the models with what brings kept pixels to their scale, and varies them."""
    scale = preprocessing.scale

    def enter(kept: Tensors) -> Tensors:
        return {INPUT: tf.cast(kept[INPUT], tf.float32) * scale.multiply + scale.add}

    fields = resolved["params"]["augmentation"]
    return replace(built, enter=enter, vary=make_variation(fields, preprocessing.mirrors, scale))
