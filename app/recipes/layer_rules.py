"""The allow-list of `architecture.type: "layers"`: each Keras layer, its fields with defaults, its arithmetic.

What is not here is refused. Fields and defaults are Keras 3.15's; `data_format` is channels last everywhere, since
TensorFlow computes nothing else on a CPU.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from app.recipes import layer_shapes as shapes
from app.recipes.layer_values import (
    Check,
    activation,
    choice,
    constraint,
    dimensions,
    initializer,
    number,
    regularizer,
    sizes,
    truth,
    whole,
)

MOST_UNITS = 65_536
MOST_FILTERS = 8_192
_RATE = number(0, 1, below=True)
_EPSILON = number(1e-12, 1)
Field = tuple[Check, Any]
REQUIRED = object()


@dataclass(frozen=True)
class Rule:
    """One layer: its fields (check, default) and what it makes of a shape."""

    fields: dict[str, Field]
    infer: Callable[[shapes.Shape, shapes.Config], shapes.Cost]


def _weights(*kernels: str) -> dict[str, Field]:
    """Fields of what a layer learns: initialisers, penalties and constraints."""
    fields: dict[str, Field] = {}
    for kernel in (*kernels, "bias"):
        default = "zeros" if kernel == "bias" else "orthogonal" if kernel == "recurrent" else "glorot_uniform"
        fields[f"{kernel}_initializer"] = (initializer, default)
        fields[f"{kernel}_regularizer"] = (regularizer, None)
        fields[f"{kernel}_constraint"] = (constraint, None)
    return {"use_bias": (truth, True), **fields, "activity_regularizer": (regularizer, None)}


_CHANNELS_LAST: dict[str, Field] = {"data_format": (choice("channels_last", None), "channels_last")}
_AXIS: dict[str, Field] = {"axis": (whole(-4, 4), -1)}
_CENTER_SCALE: dict[str, Field] = {
    "center": (truth, True),
    "scale": (truth, True),
    "beta_initializer": (initializer, "zeros"),
    "gamma_initializer": (initializer, "ones"),
    "beta_regularizer": (regularizer, None),
    "gamma_regularizer": (regularizer, None),
    "beta_constraint": (constraint, None),
    "gamma_constraint": (constraint, None),
}


def _dropout(field: str = "rate", check: Check = _RATE, default: Any = REQUIRED) -> dict[str, Field]:
    return {field: (check, default), "seed": (whole(0, 2**31 - 1, nullable=True), None)}


def _convolution(axes: int, *, causal: bool = False) -> dict[str, Field]:
    paddings = ("valid", "same", "causal") if causal else ("valid", "same")
    return {
        "kernel_size": (sizes(axes, 1, 1024), REQUIRED),
        "strides": (sizes(axes, 1, 1024), [1] * axes),
        "padding": (choice(*paddings), "valid"),
        "dilation_rate": (sizes(axes, 1, 1024), [1] * axes),
        "activation": (activation, "linear"),
        **_CHANNELS_LAST,
    }


def _plain_convolution(axes: int) -> Rule:
    fields: dict[str, Field] = {
        "filters": (whole(1, MOST_FILTERS), REQUIRED),
        **_convolution(axes, causal=axes == 1),
        "groups": (whole(1, MOST_FILTERS), 1),
        **_weights("kernel"),
    }
    return Rule(fields, shapes.convolution(axes))


def _depthwise_convolution(axes: int) -> Rule:
    fields: dict[str, Field] = {
        **_convolution(axes),
        "depth_multiplier": (whole(1, 1024), 1),
        **_weights("depthwise"),
    }
    return Rule(fields, shapes.depthwise_convolution(axes))


def _separable_convolution(axes: int) -> Rule:
    fields: dict[str, Field] = {
        "filters": (whole(1, MOST_FILTERS), REQUIRED),
        **_convolution(axes),
        "depth_multiplier": (whole(1, 1024), 1),
        **_weights("depthwise", "pointwise"),
    }
    return Rule(fields, shapes.separable_convolution(axes))


def _pooling(axes: int) -> Rule:
    fields: dict[str, Field] = {
        "pool_size": (sizes(axes, 1, 1024), [2] * axes),
        "strides": (sizes(axes, 1, 1024, nullable=True), None),
        "padding": (choice("valid", "same"), "valid"),
        **_CHANNELS_LAST,
    }
    return Rule(fields, shapes.pooling(axes))


def _global_pooling(axes: int) -> Rule:
    return Rule({**_CHANNELS_LAST, "keepdims": (truth, False)}, shapes.global_pooling(axes))


def _recurrent(gates: int, **more: Field) -> Rule:
    fields: dict[str, Field] = {
        "units": (whole(1, MOST_UNITS), REQUIRED),
        "activation": (activation, "tanh"),
        **_weights("kernel", "recurrent"),
        "dropout": (_RATE, 0.0),
        "recurrent_dropout": (_RATE, 0.0),
        "seed": (whole(0, 2**31 - 1, nullable=True), None),
        "return_sequences": (truth, False),
        "return_state": (choice(False), False),
        "go_backwards": (truth, False),
        "stateful": (choice(False), False),
        "unroll": (choice(False), False),
        **more,
    }
    return Rule(fields, shapes.recurrent(gates))


_GATES: dict[str, Field] = {"recurrent_activation": (activation, "sigmoid")}

RECURRENT: dict[str, Rule] = {
    "SimpleRNN": _recurrent(1),
    "GRU": _recurrent(3, reset_after=(truth, True), **_GATES),
    "LSTM": _recurrent(4, unit_forget_bias=(truth, True), **_GATES),
}

LAYERS: dict[str, Rule] = {
    "Dense": Rule(
        {"units": (whole(1, MOST_UNITS), REQUIRED), "activation": (activation, "linear"), **_weights("kernel")},
        shapes.dense,
    ),
    "Activation": Rule({"activation": (activation, REQUIRED)}, shapes.same),
    "ReLU": Rule(
        {
            "max_value": (number(0, 1e6, nullable=True), None),
            "negative_slope": (number(0, 1e6), 0.0),
            "threshold": (number(0, 1e6), 0.0),
        },
        shapes.same,
    ),
    "LeakyReLU": Rule({"negative_slope": (number(0, 1e6), 0.3)}, shapes.same),
    "PReLU": Rule(
        {
            "alpha_initializer": (initializer, "zeros"),
            "alpha_regularizer": (regularizer, None),
            "alpha_constraint": (constraint, None),
            "shared_axes": (lambda value, param: None if value is None else dimensions(1, 4)(value, param), None),
        },
        shapes.prelu,
    ),
    "ELU": Rule({"alpha": (number(0, 1e6), 1.0)}, shapes.same),
    "Softmax": Rule(_AXIS, shapes.softmax),
    "Dropout": Rule(_dropout(), shapes.same),
    "AlphaDropout": Rule(_dropout(), shapes.same),
    "GaussianDropout": Rule(_dropout(), shapes.same),
    "GaussianNoise": Rule(_dropout("stddev", number(0, 1e6)), shapes.same),
    "SpatialDropout1D": Rule(_dropout(), shapes.spatial_dropout(1)),
    "SpatialDropout2D": Rule({**_dropout(), **_CHANNELS_LAST}, shapes.spatial_dropout(2)),
    "BatchNormalization": Rule(
        {
            **_AXIS,
            "momentum": (_RATE, 0.99),
            "epsilon": (_EPSILON, 1e-3),
            **_CENTER_SCALE,
            "moving_mean_initializer": (initializer, "zeros"),
            "moving_variance_initializer": (initializer, "ones"),
            "synchronized": (choice(False), False),
        },
        shapes.batch_normalization,
    ),
    "LayerNormalization": Rule({**_AXIS, "epsilon": (_EPSILON, 1e-3), **_CENTER_SCALE}, shapes.layer_normalization),
    "GroupNormalization": Rule(
        {"groups": (whole(-1, MOST_FILTERS), 32), **_AXIS, "epsilon": (_EPSILON, 1e-3), **_CENTER_SCALE},
        shapes.group_normalization,
    ),
    "UnitNormalization": Rule(_AXIS, shapes.softmax),
    "Rescaling": Rule({"scale": (number(-1e9, 1e9), REQUIRED), "offset": (number(-1e9, 1e9), 0.0)}, shapes.same),
    "Flatten": Rule(_CHANNELS_LAST, shapes.flatten),
    "Reshape": Rule({"target_shape": (dimensions(-1, 4), REQUIRED)}, shapes.reshape),
    "Permute": Rule({"dims": (dimensions(1, 4), REQUIRED)}, shapes.permute),
    "RepeatVector": Rule({"n": (whole(1, 10_000), REQUIRED)}, shapes.repeat_vector),
    "Conv1D": _plain_convolution(1),
    "Conv2D": _plain_convolution(2),
    "SeparableConv1D": _separable_convolution(1),
    "SeparableConv2D": _separable_convolution(2),
    "DepthwiseConv1D": _depthwise_convolution(1),
    "DepthwiseConv2D": _depthwise_convolution(2),
    "MaxPooling1D": _pooling(1),
    "MaxPooling2D": _pooling(2),
    "AveragePooling1D": _pooling(1),
    "AveragePooling2D": _pooling(2),
    "GlobalMaxPooling1D": _global_pooling(1),
    "GlobalMaxPooling2D": _global_pooling(2),
    "GlobalAveragePooling1D": _global_pooling(1),
    "GlobalAveragePooling2D": _global_pooling(2),
    **RECURRENT,
}
# These two are not rules of their own: what comes in must be as said, and one layer inside another.
SPECIAL = ("InputLayer", "Bidirectional")
