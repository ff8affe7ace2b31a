"""What a Keras 3 layer gives and how many numbers it learns, by arithmetic: known before anything is built.

A shape is that of one row, without the batch axis; None is a length that the config leaves free. Configs have passed
their checks: a field is there with a sound value, or is missing and has Keras' default.
"""

from collections.abc import Callable, Mapping
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
