"""What operations of `keras.ops` make of shapes that have the batch axis in front, as None: see `operations`.

Each takes the arguments of a call, tensors as `Operand`, and the operation's config. Misfit for one that mixes rows, or
would give another number of them: a prediction depends on its own row alone.
"""

from dataclasses import dataclass
from typing import Any

from app.models.intake.shapes import Length, Misfit, Shape, elements
from app.models.intake.shapes_of_sequences import broadcast


@dataclass(frozen=True)
class Operand:
    """A tensor among the arguments, by its shape with the batch axis; what else is there is plain."""

    shape: Shape


def _tensor(args: list[Any], at: int = 0) -> Shape:
    if at < len(args) and isinstance(args[at], Operand):
        return tuple(args[at].shape)
    raise Misfit("needs a tensor")


def _tensors(args: list[Any]) -> list[Shape]:
    listed_args = args[0] if args and isinstance(args[0], list) else args
    if not listed_args or not all(isinstance(arg, Operand) for arg in listed_args):
        raise Misfit("needs tensors")
    return [tuple(arg.shape) for arg in listed_args]


def _index(axis: int, rank: int) -> int:
    """Return an axis counted from 0; Misfit for the batch axis and for one that is not there."""
    at = axis if axis >= 0 else rank + axis
    if not 0 < at < rank:
        raise Misfit(f"has axis {axis}, which is that of rows or none of {rank}")
    return at


def unary(args: list[Any], config: dict[str, Any]) -> list[Shape]:
    """One tensor, value by value."""
    del config
    return [_tensor(args)]


def elementwise(args: list[Any], config: dict[str, Any]) -> list[Shape]:
    """Tensors and numbers, value by value, broadcast."""
    del config
    shape: Shape | None = None
    for arg in args:
        if isinstance(arg, Operand):
            shape = tuple(arg.shape) if shape is None else broadcast(shape, tuple(arg.shape))
        elif isinstance(arg, list | dict | str):
            raise Misfit("has an argument that is neither a tensor nor a number")
    if shape is None:
        raise Misfit("needs a tensor")
    return [shape]


def reduce(args: list[Any], config: dict[str, Any]) -> list[Shape]:
    """Over axes of a row."""
    shape, axis = _tensor(args), config.get("axis")
    if axis is None:
        raise Misfit("reduces over rows")
    gone = {_index(int(one), len(shape)) for one in (axis if isinstance(axis, list) else [axis])}
    if config.get("keepdims"):
        return [tuple(1 if at in gone else length for at, length in enumerate(shape))]
    return [tuple(length for at, length in enumerate(shape) if at not in gone)]


def flip(args: list[Any], config: dict[str, Any]) -> list[Shape]:
    """Along axes of a row."""
    reduce(args, config)  # of the axes
    return [_tensor(args)]


def reshape(args: list[Any], config: dict[str, Any]) -> list[Shape]:
    """Reshape that keeps the rows."""
    shape, target = _tensor(args), [int(length) for length in config["newshape"]]
    if not target or target[0] != -1 or -1 in target[1:]:
        raise Misfit("does not keep the rows as they are: newshape must begin with its only -1")
    rest: Shape = tuple(target[1:])
    if None in shape[1:] or elements(rest) != elements(shape[1:]):
        raise Misfit(f"cannot give rows of the shape {list(shape[1:])} the shape {list(rest)}")
    return [(None, *rest)]


def transpose(args: list[Any], config: dict[str, Any]) -> list[Shape]:
    """Transpose that keeps the rows."""
    shape, axes = _tensor(args), config.get("axes")
    if not isinstance(axes, list) or sorted(axes) != list(range(len(shape))) or axes[0] != 0:
        raise Misfit("does not keep the rows in place")
    return [tuple(shape[int(axis)] for axis in axes)]


def concatenate(args: list[Any], config: dict[str, Any]) -> list[Shape]:
    """Tensors joined along an axis of a row."""
    shapes = _tensors(args)
    at = _index(int(config.get("axis", -1)), len(shapes[0]))
    if any(len(shape) != len(shapes[0]) for shape in shapes):
        raise Misfit("joins tensors of different ranks")
    lengths = [shape[at] for shape in shapes]
    joined = None if None in lengths else sum(length or 0 for length in lengths)
    return [(*shapes[0][:at], joined, *shapes[0][at + 1 :])]


def stack(args: list[Any], config: dict[str, Any]) -> list[Shape]:
    """Tensors joined along a new axis."""
    shapes = _tensors(args)
    at = _index(int(config.get("axis", 0)), len(shapes[0]) + 1)
    return [(*shapes[0][:at], len(shapes), *shapes[0][at:])]


def expand(args: list[Any], config: dict[str, Any]) -> list[Shape]:
    """A new axis of length 1."""
    shape, axis = _tensor(args), config["axis"]
    if isinstance(axis, list):
        raise Misfit("adds more than one axis")
    at = _index(int(axis), len(shape) + 1)
    return [(*shape[:at], 1, *shape[at:])]


def squeeze(args: list[Any], config: dict[str, Any]) -> list[Shape]:
    """Without axes of length 1."""
    shape, axis = _tensor(args), config.get("axis")
    if axis is None:
        raise Misfit("needs an axis")
    gone = {_index(int(one), len(shape)) for one in (axis if isinstance(axis, list) else [axis])}
    return [tuple(length for at, length in enumerate(shape) if at not in gone)]


def split(args: list[Any], config: dict[str, Any]) -> list[Shape]:
    """Cut along an axis of a row: several outputs."""
    shape, parts = _tensor(args), config["indices_or_sections"]
    at = _index(int(config.get("axis", 0)), len(shape))
    length = shape[at]
    if isinstance(parts, list):
        if length is None:
            raise Misfit("cuts an axis of free length")
        ends = [min(max(int(end), 0), length) for end in parts]
        pairs = zip([0, *ends], [*ends, length], strict=True)
        lengths: list[Length] = [max(stop - start, 0) for start, stop in pairs]
    else:
        if length is None or length % int(parts):
            raise Misfit(f"cannot cut an axis of {length} in {parts} equal parts")
        lengths = [length // int(parts)] * int(parts)
    return [(*shape[:at], one, *shape[at + 1 :]) for one in lengths]


def repeat(args: list[Any], config: dict[str, Any]) -> list[Shape]:
    """Each value of an axis several times."""
    shape, axis = _tensor(args), config.get("axis")
    if axis is None:
        raise Misfit("needs an axis")
    at, length = _index(int(axis), len(shape)), shape[_index(int(axis), len(shape))]
    return [(*shape[:at], None if length is None else length * int(config["repeats"]), *shape[at + 1 :])]


def tile(args: list[Any], config: dict[str, Any]) -> list[Shape]:
    """A row several times along its axes."""
    shape, repeats = _tensor(args), config["repeats"]
    if not isinstance(repeats, list) or len(repeats) != len(shape) or repeats[0] != 1:
        raise Misfit("does not keep the rows as they are")
    return [tuple(None if n is None else n * int(times) for n, times in zip(shape, repeats, strict=True))]


def pad(args: list[Any], config: dict[str, Any]) -> list[Shape]:
    """Zeros around a row."""
    shape, widths = _tensor(args), config["pad_width"]
    if not isinstance(widths, list) or len(widths) != len(shape) or widths[0] not in ([0, 0], 0):
        raise Misfit("does not keep the rows as they are")
    pairs = [width if isinstance(width, list) and len(width) == 2 else [width, width] for width in widths]
    return [tuple(None if n is None else n + int(a) + int(b) for n, (a, b) in zip(shape, pairs, strict=True))]


def matmul(args: list[Any], config: dict[str, Any]) -> list[Shape]:
    """Matrices of each row multiplied."""
    del config
    left, right = _tensor(args), _tensor(args, 1)
    if len(left) < 3 or len(left) != len(right):
        raise Misfit("multiplies other than matrices of rows")
    return [(*broadcast(left[:-2], right[:-2]), left[-2], right[-1])]


def swap(args: list[Any], config: dict[str, Any]) -> list[Shape]:
    """Two axes of a row exchanged."""
    shape = list(_tensor(args))
    first, second = (_index(int(config[key]), len(shape)) for key in ("axis1", "axis2"))
    shape[first], shape[second] = shape[second], shape[first]
    return [tuple(shape)]


def one_hot(args: list[Any], config: dict[str, Any]) -> list[Shape]:
    """Whole numbers as truths over classes."""
    if int(config.get("axis", -1)) != -1:
        raise Misfit("has its classes elsewhere than on the last axis")
    return [(*_tensor(args), int(config["num_classes"]))]


def top(args: list[Any], config: dict[str, Any]) -> list[Shape]:
    """The largest values of the last axis, and where they are."""
    shape = _tensor(args)
    if len(shape) < 2:
        raise Misfit("needs values in each row")
    return [(*shape[:-1], int(config["k"]))] * 2


def get_item(args: list[Any], config: dict[str, Any]) -> list[Shape]:
    """x[:, 1:3, ..., 0], None: numbers and slices on axes of a row."""
    del config
    shape = _tensor(args)
    key = args[1] if len(args) > 1 else None
    keys = list(key) if isinstance(key, list) else [key]
    ellipses = [at for at, one in enumerate(keys) if _kind(one) == "__ellipsis__"]
    used = sum(one is not None and _kind(one) != "__ellipsis__" for one in keys)
    if len(ellipses) > 1 or used > len(shape):
        raise Misfit("picks from more axes than there are")
    everything: dict[str, Any] = {"class_name": "__slice__", "config": {}}
    at = ellipses[0] if ellipses else len(keys)
    keys = [*keys[:at], *[everything] * (len(shape) - used), *keys[at + 1 :]]
    if (
        not isinstance(keys[0], dict)
        or _kind(keys[0]) != "__slice__"
        or any(value is not None for value in keys[0]["config"].values())
    ):
        raise Misfit("picks among rows")
    lengths, out = list(shape), list[Length]()
    for one in keys:
        if one is None:
            out.append(1)
        elif isinstance(one, int) and not isinstance(one, bool):
            length = lengths.pop(0)
            if length is not None and not -length <= one < length:
                raise Misfit(f"picks number {one} of {length}")
        elif isinstance(one, dict) and _kind(one) == "__slice__":
            out.append(_sliced(lengths.pop(0), one["config"]))
        else:
            raise Misfit("picks by something other than numbers and slices")
    return [tuple(out)]


def _kind(key: Any) -> str:
    return str(key.get("class_name")) if isinstance(key, dict) else ""


def _sliced(length: Length, config: dict[str, Any]) -> Length:
    parts = [config.get(name) for name in ("start", "stop", "step")]
    if parts == [None, None, None]:
        return length
    if parts[2] == 0:
        raise Misfit("has a slice of step 0")
    return None if length is None else len(range(*slice(*parts).indices(length)))
