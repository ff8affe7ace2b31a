"""What a dense layer over any axes gives, by its equation: "abc,cd->abd", "...x,xy->...y"."""

import re
from math import prod

from app.models.intake.shapes import Config, Cost, Length, Misfit, Shape, known, one

_EQUATION = re.compile(r"(\.\.\.)?([a-zA-Z]+),([a-zA-Z]+)->(\.\.\.)?([a-zA-Z]+)")


def equation(value: object) -> str:
    """An equation of two operands, batch axis or dots first."""
    if isinstance(value, str) and len(value) <= 64 and _EQUATION.fullmatch(value):
        return ""
    return "is not an equation such as 'abc,cd->abd'"


def bias_axes(value: object) -> str:
    """The letters of the output that have a bias."""
    return (
        "" if value is None or (isinstance(value, str) and re.fullmatch("[a-zA-Z]{0,16}", value)) else "is not letters"
    )


@one
def einsum_dense(shape: Shape, config: Config) -> Cost:
    """EinsumDense: its kernel's axes are lengths of the input or, where they are new, of the output."""
    matched = _EQUATION.fullmatch(config["equation"])
    if matched is None:
        raise Misfit("has an equation that is not taken in")
    dots, given, kernel, dots_after, gives = matched.groups()
    if (dots is None) != (dots_after is None):
        raise Misfit("has an equation with dots on one side alone")
    sizes = config["output_shape"]
    named: list[Length] = list(sizes) if isinstance(sizes, list) else [sizes]
    if dots is None:
        given, gives = given[1:], gives[1:]  # The first letter is the batch.
    if len(shape) < len(given) or (dots is None and len(shape) != len(given)) or len(named) != len(gives):
        raise Misfit("has an equation that does not fit its input or its output_shape")
    elided = shape[: len(shape) - len(given)]
    lengths: dict[str, Length] = dict(zip(given, shape[len(elided) :], strict=True))
    for letter, length in zip(gives, named, strict=True):
        lengths[letter] = length if length is not None else lengths.get(letter)
    learnt = prod(known(lengths.get(letter), "every axis of its kernel") for letter in kernel)
    axes = config.get("bias_axes") or ""
    biased = prod(known(lengths[letter], "every axis of its bias") for letter in gives if letter in axes) if axes else 0
    return Cost(((*elided, *(lengths[letter] for letter in gives)),), learnt + biased)
