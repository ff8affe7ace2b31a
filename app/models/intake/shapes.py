"""What a Keras 3 layer gives and how many numbers it learns, by arithmetic: known before anything is built.

A shape is that of one row, without the batch axis; None is a length that the config leaves free. Configs have passed
their checks: a field is there with a sound value, or is missing and has Keras' default.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

Length = int | None
Shape = tuple[Length, ...]
Config = Mapping[str, Any]


class Misfit(Exception):
    """A layer that does not fit what comes in."""


@dataclass(frozen=True)
class Cost:
    """What a layer gives (one shape an output), how many parameters it has, trained or not, and its inner peak.

    `inner` counts values of one row that exist only within the layer, such as attention scores.
    """

    outputs: tuple[Shape, ...]
    parameters: int = 0
    inner: int = 0


Infer = Callable[[list[Shape], Config], Cost]


def elements(shape: Shape) -> int:
    """Return how many numbers a row has; a free length counts once."""
    return prod(1 if length is None else length for length in shape)


def known(length: Length, what: str) -> int:
    """Return a length that a layer's parameters depend on; Misfit where it is left free."""
    if length is None:
        raise Misfit(f"needs {what} of a known length")
    return length


def one(infer: Callable[[Shape, Config], Cost]) -> Infer:
    """A layer with one input."""

    def wrapped(shapes: list[Shape], config: Config) -> Cost:
        if not shapes:
            raise Misfit("has no input")
        return infer(shapes[0], config)

    return wrapped


def demand_rank(shape: Shape, rank: int) -> None:
    """Raise Misfit unless a row has `rank` axes."""
    if len(shape) != rank:
        raise Misfit(f"needs rows of {rank} axes, but rows of the shape {list(shape)} come in")


def ints(value: Any, axes: int, default: int) -> list[int]:
    """Return `axes` whole numbers from one, a list, or nothing."""
    if value is None:
        return [default] * axes
    if isinstance(value, list):
        if len(value) != axes:
            raise Misfit(f"needs {axes} values where {len(value)} are")
        return [int(item) for item in value]
    return [int(value)] * axes


def bias(config: Config, length: int) -> int:
    """Return the parameters of the bias."""
    return length if config.get("use_bias") in (True, None) else 0


@one
def same(shape: Shape, config: Config) -> Cost:
    """A layer that changes values only."""
    del config
    return Cost((shape,))


@one
def dense(shape: Shape, config: Config) -> Cost:
    """Dense: on the last axis."""
    if not shape:
        raise Misfit("needs rows of at least one axis")
    units = int(config["units"])
    return Cost(((*shape[:-1], units),), known(shape[-1], "a last axis") * units + bias(config, units))


@one
def embedding(shape: Shape, config: Config) -> Cost:
    """Embedding."""
    rows, width = int(config["input_dim"]), int(config["output_dim"])
    return Cost(((*shape, width),), rows * width)


def axis_lengths(shape: Shape, config: Config) -> list[int]:
    """Return the lengths of the axes that a normalisation is over; Keras counts the batch as axis 0."""
    axis = config.get("axis", -1)
    found = []
    for one_axis in axis if isinstance(axis, list) else [axis]:
        index = one_axis - 1 if one_axis > 0 else len(shape) + one_axis
        if one_axis == 0 or not 0 <= index < len(shape):
            raise Misfit(f"has axis {one_axis}, which rows of the shape {list(shape)} have not")
        found.append(known(shape[index], "an axis"))
    return found


def normalization(always: int, *switches: str) -> Infer:
    """A normalisation: `always` numbers for each place of its axes, and one for each switch that is on."""

    @one
    def infer(shape: Shape, config: Config) -> Cost:
        each = always + sum(config.get(switch) in (True, None) for switch in switches)
        return Cost((shape,), prod(axis_lengths(shape, config)) * each)

    return infer


@one
def adapted_normalization(shape: Shape, config: Config) -> Cost:
    """Normalization: mean and variance of its axes and a count, unless the config gives them."""
    if config.get("mean") is not None or config.get("axis", -1) is None:
        return Cost((shape,), 0 if config.get("mean") is not None else 3)
    return Cost((shape,), 2 * prod(axis_lengths(shape, config)) + 1)


@one
def prelu(shape: Shape, config: Config) -> Cost:
    """PReLU: a slope for each element, but for shared axes."""
    axes = config.get("shared_axes") or []
    shared = {int(axis) for axis in (axes if isinstance(axes, list) else [axes])}
    lengths = [1 if at + 1 in shared else known(length, "every axis") for at, length in enumerate(shape)]
    return Cost((shape,), prod(lengths))


@one
def flatten(shape: Shape, config: Config) -> Cost:
    """Flatten."""
    del config
    return Cost(((None if None in shape else prod(shape),),))  # type: ignore[arg-type]


@one
def reshape(shape: Shape, config: Config) -> Cost:
    """Reshape; one length may be −1."""
    target: list[int] = [int(length) for length in config["target_shape"]]
    if target.count(-1) > 1:
        raise Misfit("has a target_shape with more than one -1")
    fixed = prod(length for length in target if length != -1)
    if None in shape:
        return Cost((tuple(None if length == -1 else length for length in target),))
    size = elements(shape)
    if fixed == 0 or size % fixed or (-1 not in target and fixed != size):
        raise Misfit(f"cannot give {size} values the shape {target}")
    return Cost((tuple(size // fixed if length == -1 else length for length in target),))


@one
def permute(shape: Shape, config: Config) -> Cost:
    """Permute; axes are counted from 1."""
    dims = [int(axis) for axis in config["dims"]]
    if sorted(dims) != list(range(1, len(shape) + 1)):
        raise Misfit(f"has dims that do not name each axis of {list(shape)} once")
    return Cost((tuple(shape[axis - 1] for axis in dims),))


@one
def repeat_vector(shape: Shape, config: Config) -> Cost:
    """RepeatVector."""
    demand_rank(shape, 1)
    return Cost(((int(config["n"]), *shape),))


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
