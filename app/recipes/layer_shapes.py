"""Shapes, parameters and operations of Keras layers by arithmetic: known before anything is built.

A shape is that of one row, without the batch axis. The rules are those of Keras 3 with channels last.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

Shape = tuple[int, ...]
Config = Mapping[str, Any]


class Misfit(Exception):
    """A layer that does not fit what comes in; `field` is the field of its config that is wrong, or None."""

    def __init__(self, message: str, field: str | None = None) -> None:
        super().__init__(message)
        self.field = field


@dataclass(frozen=True)
class Cost:
    """What a layer gives, how many parameters it has (trained or not) and multiplications of one row."""

    shape: Shape
    parameters: int = 0
    operations: int = 0


def same(shape: Shape, config: Config) -> Cost:
    """A layer that changes values only."""
    del config
    return Cost(shape)


def demand_rank(shape: Shape, ranks: Sequence[int], what: str) -> None:
    """Raise Misfit unless a row has one of `ranks` axes."""
    if len(shape) not in ranks:
        axes = " or ".join(map(str, ranks))
        hint = " A Reshape layer can give it one." if len(shape) < min(ranks) else " A Flatten layer can come before."
        raise Misfit(f"needs rows of {axes} axes ({what}), but rows of the shape {list(shape)} come in.{hint}")


def dense(shape: Shape, config: Config) -> Cost:
    """Dense: on the last axis."""
    units = config["units"]
    weights = shape[-1] * units
    return Cost((*shape[:-1], units), weights + units * config["use_bias"], prod(shape[:-1]) * weights)


def axis_of(shape: Shape, config: Config) -> int:
    """The length of the axis that a normalisation is over; Keras counts the batch as axis 0."""
    axis: int = config["axis"]
    index = axis - 1 if axis > 0 else len(shape) + axis
    if axis == 0 or not 0 <= index < len(shape):
        raise Misfit(f"axis {axis} is none of rows of the shape {list(shape)}.", "axis")
    return shape[index]


def batch_normalization(shape: Shape, config: Config) -> Cost:
    """BatchNormalization: scale and shift as configured, moving mean and variance always."""
    length = axis_of(shape, config)
    return Cost(shape, length * (2 + config["center"] + config["scale"]), prod(shape))


def layer_normalization(shape: Shape, config: Config) -> Cost:
    """LayerNormalization over one axis."""
    length = axis_of(shape, config)
    return Cost(shape, length * (config["center"] + config["scale"]), prod(shape))


def group_normalization(shape: Shape, config: Config) -> Cost:
    """GroupNormalization."""
    length = axis_of(shape, config)
    groups = length if config["groups"] == -1 else config["groups"]
    if groups < 1 or length % groups:
        raise Misfit(f"{config['groups']} groups do not divide {length} channels.", "groups")
    return Cost(shape, length * (config["center"] + config["scale"]), prod(shape))


def prelu(shape: Shape, config: Config) -> Cost:
    """PReLU: a slope for each element, but for shared axes."""
    slopes = list(shape)
    for index, axis in enumerate(config["shared_axes"] or []):
        if axis > len(shape):
            raise Misfit(f"axis {axis} is none of rows of the shape {list(shape)}.", f"shared_axes[{index}]")
        slopes[axis - 1] = 1
    return Cost(shape, prod(slopes))


def softmax(shape: Shape, config: Config) -> Cost:
    """Softmax over one axis."""
    axis_of(shape, config)
    return Cost(shape)


def flatten(shape: Shape, config: Config) -> Cost:
    """Flatten."""
    del config
    return Cost((prod(shape),))


def reshape(shape: Shape, config: Config) -> Cost:
    """Reshape; one length may be −1."""
    target = config["target_shape"]
    size, known = prod(shape), prod(length for length in target if length != -1)
    if target.count(-1) > 1 or 0 in target:
        raise Misfit("may have one −1, and no 0.", "target_shape")
    if -1 in target:
        if size % known:
            raise Misfit(f"{size} values of a row do not fit {list(target)}.", "target_shape")
        return Cost(tuple(size // known if length == -1 else length for length in target))
    if known != size:
        raise Misfit(f"{size} values of a row do not fit {list(target)}, which is {known}.", "target_shape")
    return Cost(tuple(target))


def permute(shape: Shape, config: Config) -> Cost:
    """Permute; axes are counted from 1."""
    if sorted(config["dims"]) != list(range(1, len(shape) + 1)):
        raise Misfit(f"must name each axis 1…{len(shape)} once.", "dims")
    return Cost(tuple(shape[axis - 1] for axis in config["dims"]))


def repeat_vector(shape: Shape, config: Config) -> Cost:
    """RepeatVector."""
    demand_rank(shape, [1], "features")
    return Cost((config["n"], *shape))


def _windows(
    lengths: Shape, kernel: Sequence[int], strides: Sequence[int], padding: str, dilation: Sequence[int], field: str
) -> Shape:
    found = []
    for length, size, stride, step in zip(lengths, kernel, strides, dilation, strict=True):
        if padding in ("same", "causal"):
            found.append(-(-length // stride))
            continue
        reach = (size - 1) * step + 1
        if reach > length:
            raise Misfit(f"a window of {reach} does not fit an axis of {length}; padding 'same' would.", field)
        found.append((length - reach) // stride + 1)
    return tuple(found)


def _demand_one_step(config: Config) -> None:
    # TensorFlow has no kernel for both at once.
    if max(config["strides"]) > 1 and max(config["dilation_rate"]) > 1:
        raise Misfit("strides and dilation_rate above 1 exclude each other.", "dilation_rate")


def convolution(axes: int) -> Any:
    """Conv1D or Conv2D."""

    def infer(shape: Shape, config: Config) -> Cost:
        demand_rank(shape, [axes + 1], f"{axes} of space or time, then channels")
        _demand_one_step(config)
        channels, filters, groups = shape[-1], config["filters"], config["groups"]
        if channels % groups or filters % groups:
            raise Misfit(f"{groups} groups do not divide {channels} channels and {filters} filters.", "groups")
        kernel = config["kernel_size"]
        out = _windows(shape[:-1], kernel, config["strides"], config["padding"], config["dilation_rate"], "kernel_size")
        weights = prod(kernel) * (channels // groups) * filters
        return Cost((*out, filters), weights + filters * config["use_bias"], prod(out) * weights)

    return infer


def depthwise_convolution(axes: int) -> Any:
    """DepthwiseConv1D or DepthwiseConv2D."""

    def infer(shape: Shape, config: Config) -> Cost:
        demand_rank(shape, [axes + 1], f"{axes} of space or time, then channels")
        _demand_one_step(config)
        filters = shape[-1] * config["depth_multiplier"]
        kernel = config["kernel_size"]
        out = _windows(shape[:-1], kernel, config["strides"], config["padding"], config["dilation_rate"], "kernel_size")
        weights = prod(kernel) * filters
        return Cost((*out, filters), weights + filters * config["use_bias"], prod(out) * weights)

    return infer


def separable_convolution(axes: int) -> Any:
    """SeparableConv1D or SeparableConv2D."""

    def infer(shape: Shape, config: Config) -> Cost:
        depthwise = depthwise_convolution(axes)(shape, {**config, "use_bias": False})
        pointwise = depthwise.shape[-1] * config["filters"]
        return Cost(
            (*depthwise.shape[:-1], config["filters"]),
            depthwise.parameters + pointwise + config["filters"] * config["use_bias"],
            depthwise.operations + prod(depthwise.shape[:-1]) * pointwise,
        )

    return infer


def pooling(axes: int) -> Any:
    """MaxPooling or AveragePooling of one or two axes."""

    def infer(shape: Shape, config: Config) -> Cost:
        demand_rank(shape, [axes + 1], f"{axes} of space or time, then channels")
        strides = config["strides"] or config["pool_size"]
        out = _windows(shape[:-1], config["pool_size"], strides, config["padding"], [1] * axes, "pool_size")
        return Cost((*out, shape[-1]))

    return infer


def global_pooling(axes: int) -> Any:
    """GlobalMaxPooling or GlobalAveragePooling of one or two axes."""

    def infer(shape: Shape, config: Config) -> Cost:
        demand_rank(shape, [axes + 1], f"{axes} of space or time, then channels")
        return Cost((*([1] * axes if config["keepdims"] else []), shape[-1]))

    return infer


def spatial_dropout(axes: int) -> Any:
    """SpatialDropout of one or two axes."""

    def infer(shape: Shape, config: Config) -> Cost:
        demand_rank(shape, [axes + 1], f"{axes} of space or time, then channels")
        return same(shape, config)

    return infer


def recurrent(gates: int) -> Any:
    """SimpleRNN (1 gate), GRU (3) or LSTM (4)."""

    def infer(shape: Shape, config: Config) -> Cost:
        demand_rank(shape, [2], "time, then features")
        units = config["units"]
        weights = gates * units * (shape[-1] + units)
        biases = gates * units * config["use_bias"] * (2 if config.get("reset_after") else 1)
        out = (shape[0], units) if config["return_sequences"] else (units,)
        return Cost(out, weights + biases, shape[0] * weights)

    return infer
