"""Shapes and parameters of layers that move a window over space or time, or cut, pad and stretch it: see `shapes`."""

from collections.abc import Sequence
from math import prod
from typing import Any

from app.models.intake.shapes import (
    Config,
    Cost,
    Infer,
    Length,
    Misfit,
    Shape,
    bias,
    demand_rank,
    elements,
    ints,
    known,
    one,
)


def split_channels(shape: Shape, config: Config, axes: int) -> tuple[list[Length], Length]:
    """Return the lengths of space or time, and the number of channels."""
    demand_rank(shape, axes + 1)
    if config.get("data_format") == "channels_first":
        return list(shape[1:]), shape[0]
    return list(shape[:-1]), shape[-1]


def join_channels(space: Sequence[Length], channels: Length, config: Config) -> Shape:
    """Return the shape of the two."""
    return (channels, *space) if config.get("data_format") == "channels_first" else (*space, channels)


def windows(space: Sequence[Length], sizes: list[int], strides: list[int], steps: list[int], padding: str) -> Shape:
    """Return the lengths after a window is moved over each axis."""
    found: list[Length] = []
    for length, size, stride, step in zip(space, sizes, strides, steps, strict=True):
        if length is None:
            found.append(None)
        elif padding in ("same", "causal"):
            found.append(-(-length // stride))
        else:
            reach = (size - 1) * step + 1
            if reach > length:
                raise Misfit(f"has a window of {reach}, which does not fit an axis of {length}")
            found.append((length - reach) // stride + 1)
    return tuple(found)


def _moved(space: Sequence[Length], config: Config, axes: int) -> tuple[Shape, list[int]]:
    kernel = ints(config["kernel_size"], axes, 1)
    strides, steps = ints(config.get("strides"), axes, 1), ints(config.get("dilation_rate"), axes, 1)
    return windows(space, kernel, strides, steps, config.get("padding") or "valid"), kernel


def convolution(axes: int) -> Infer:
    """Conv1D, Conv2D or Conv3D."""

    @one
    def infer(shape: Shape, config: Config) -> Cost:
        space, channels = split_channels(shape, config, axes)
        out, kernel = _moved(space, config, axes)
        filters, groups = int(config["filters"]), int(config.get("groups") or 1)
        if known(channels, "channels") % groups or filters % groups:
            raise Misfit(f"has {groups} groups, which do not divide {channels} channels and {filters} filters")
        weights = prod(kernel) * (known(channels, "channels") // groups) * filters
        return Cost((join_channels(out, filters, config),), weights + bias(config, filters))

    return infer


def depthwise(axes: int, *, pointwise: bool = False) -> Infer:
    """DepthwiseConv, or SeparableConv where a `pointwise` convolution follows."""

    @one
    def infer(shape: Shape, config: Config) -> Cost:
        space, channels = split_channels(shape, config, axes)
        out, kernel = _moved(space, config, axes)
        middle = known(channels, "channels") * int(config.get("depth_multiplier") or 1)
        weights = prod(kernel) * middle
        filters = int(config["filters"]) if pointwise else middle
        weights += middle * filters if pointwise else 0
        return Cost((join_channels(out, filters, config),), weights + bias(config, filters), elements((*out, middle)))

    return infer


def transposed(axes: int) -> Infer:
    """Conv1DTranspose, Conv2DTranspose or Conv3DTranspose."""

    @one
    def infer(shape: Shape, config: Config) -> Cost:
        space, channels = split_channels(shape, config, axes)
        kernel, strides = ints(config["kernel_size"], axes, 1), ints(config.get("strides"), axes, 1)
        steps = ints(config.get("dilation_rate"), axes, 1)
        extra = ints(config["output_padding"], axes, 0) if config.get("output_padding") is not None else None
        out: list[Length] = []
        for at, length in enumerate(space):
            reach = (kernel[at] - 1) * steps[at] + 1
            if length is None:
                out.append(None)
            elif extra is None:
                out.append(length * strides[at] + (max(reach - strides[at], 0) if _valid(config) else 0))
            else:
                pad = 0 if _valid(config) else reach // 2
                out.append((length - 1) * strides[at] + reach - 2 * pad + extra[at])
        filters = int(config["filters"])
        weights = prod(kernel) * known(channels, "channels") * filters
        return Cost((join_channels(out, filters, config),), weights + bias(config, filters))

    return infer


def _valid(config: Config) -> bool:
    return (config.get("padding") or "valid") == "valid"


def pooling(axes: int) -> Infer:
    """MaxPooling or AveragePooling."""

    @one
    def infer(shape: Shape, config: Config) -> Cost:
        space, channels = split_channels(shape, config, axes)
        size = ints(config.get("pool_size"), axes, 2)
        strides = size if config.get("strides") is None else ints(config["strides"], axes, 1)
        out = windows(space, size, strides, [1] * axes, config.get("padding") or "valid")
        return Cost((join_channels(out, channels, config),))

    return infer


def global_pooling(axes: int) -> Infer:
    """GlobalMaxPooling or GlobalAveragePooling."""

    @one
    def infer(shape: Shape, config: Config) -> Cost:
        _, channels = split_channels(shape, config, axes)
        return Cost((join_channels([1] * axes, channels, config) if config.get("keepdims") else (channels,),))

    return infer


def resized(axes: int, field: str, sign: int) -> Infer:
    """Cropping (`sign` −1) or ZeroPadding (+1): `field` is a number, or one or two for each axis."""

    @one
    def infer(shape: Shape, config: Config) -> Cost:
        space, channels = split_channels(shape, config, axes)
        pairs = _pairs(config[field], axes)
        out = [
            None if length is None else length + sign * (before + after)
            for length, (before, after) in zip(space, pairs, strict=True)
        ]
        if any(length is not None and length <= 0 for length in out):
            raise Misfit("crops away a whole axis")
        return Cost((join_channels(out, channels, config),))

    return infer


def _pairs(value: Any, axes: int) -> list[tuple[int, int]]:
    if not isinstance(value, list):
        return [(int(value), int(value))] * axes
    if axes == 1 and len(value) == 2 and not any(isinstance(item, list) for item in value):
        return [(int(value[0]), int(value[1]))]
    if len(value) != axes:
        raise Misfit(f"needs {axes} values where {len(value)} are")
    return [(int(item[0]), int(item[-1])) if isinstance(item, list) else (int(item), int(item)) for item in value]


def upsampling(axes: int) -> Infer:
    """UpSampling."""

    @one
    def infer(shape: Shape, config: Config) -> Cost:
        space, channels = split_channels(shape, config, axes)
        sizes = ints(config.get("size"), axes, 2)
        out = [None if length is None else length * size for length, size in zip(space, sizes, strict=True)]
        return Cost((join_channels(out, channels, config),))

    return infer


@one
def fixed_size(shape: Shape, config: Config) -> Cost:
    """Resizing, CenterCrop or RandomCrop: images of a given height and width."""
    _, channels = split_channels(shape, config, 2)
    return Cost((join_channels([int(config["height"]), int(config["width"])], channels, config),))
