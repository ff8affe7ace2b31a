"""Shapes and parameters of recurrent, attention and merging layers: see `shapes`."""

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
    known,
    one,
)
from app.models.intake.shapes_of_windows import convolution

GATES = {"SimpleRNN": 1, "GRU": 3, "LSTM": 4}
_STATES = {"SimpleRNN": 1, "GRU": 1, "LSTM": 2}


def recurrent_parameters(kind: str, width: int, config: Config) -> int:
    """Return the parameters of a cell of `kind` that reads `width` features."""
    units, gates = int(config["units"]), GATES[kind]
    biases = bias(config, gates * units)
    if kind == "GRU" and config.get("reset_after") in (True, None):
        biases *= 2
    return gates * units * (width + units) + biases


def recurrent(kind: str) -> Infer:
    """SimpleRNN, GRU or LSTM."""

    def infer(shapes: list[Shape], config: Config) -> Cost:
        if not shapes:
            raise Misfit("has no input")
        demand_rank(shapes[0], 2)
        steps, width = shapes[0]
        units = int(config["units"])
        outputs: list[Shape] = [(steps, units) if config.get("return_sequences") else (units,)]
        if config.get("return_state"):
            outputs += [(units,)] * _STATES[kind]
        parameters = recurrent_parameters(kind, known(width, "features"), config)
        return Cost(tuple(outputs), parameters, elements((steps, 2 * GATES[kind] * units)))

    return infer


def convolutional_recurrent(axes: int) -> Infer:
    """ConvLSTM1D, ConvLSTM2D or ConvLSTM3D: of four gates, each a convolution of the input and one of the state."""

    @one
    def infer(shape: Shape, config: Config) -> Cost:
        demand_rank(shape, axes + 2)
        filters = int(config["filters"])
        gated = {**config, "filters": 4 * filters, "groups": 1}
        of_input = convolution(axes)([shape[1:]], gated)
        first = config.get("data_format") == "channels_first"
        space = of_input.outputs[0][1:] if first else of_input.outputs[0][:-1]
        state: Shape = (filters, *space) if first else (*space, filters)
        inner = {**gated, "padding": "same", "strides": 1, "use_bias": False}
        of_state = convolution(axes)([state], inner)
        outputs: list[Shape] = [(shape[0], *state) if config.get("return_sequences") else state]
        if config.get("return_state"):
            outputs += [state, state]
        return Cost(tuple(outputs), of_input.parameters + of_state.parameters, 8 * elements(state))

    return infer


def multi_head_attention(shapes: list[Shape], config: Config) -> Cost:
    """MultiHeadAttention: query, value and, where it is given, key."""
    if len(shapes) < 2:
        raise Misfit("needs a query and a value")
    query, value = shapes[0], shapes[1]
    key = shapes[2] if len(shapes) > 2 else value
    heads, key_width = int(config["num_heads"]), int(config["key_dim"])
    value_width = int(config.get("value_dim") or key_width)
    out_shape = config.get("output_shape")
    if out_shape is None:
        out: list[Any] = [known(query[-1], "features")]
    else:
        out = out_shape if isinstance(out_shape, list) else [out_shape]
    out = [int(length) for length in out]
    inner = heads * key_width
    parameters = known(query[-1], "features") * inner + bias(config, inner)
    parameters += known(key[-1], "features") * inner + bias(config, inner)
    parameters += known(value[-1], "features") * heads * value_width + bias(config, heads * value_width)
    parameters += heads * value_width * prod(out) + bias(config, prod(out))
    outputs: list[Shape] = [(*query[:-1], *out)]
    scores: Shape = (heads, *query[:-1], *key[:-1])
    return Cost(tuple(outputs), parameters, elements(scores))


def grouped_query_attention(shapes: list[Shape], config: Config) -> Cost:
    """GroupQueryAttention: fewer heads for key and value than for the query."""
    if len(shapes) < 2:
        raise Misfit("needs a query and a value")
    query, value = shapes[0], shapes[1]
    key = shapes[2] if len(shapes) > 2 else value
    heads, groups = int(config["num_query_heads"]), int(config["num_key_value_heads"])
    width, features = int(config["head_dim"]), known(query[-1], "features")
    parameters = features * heads * width + bias(config, heads * width)
    for given in (key, value):
        parameters += known(given[-1], "features") * groups * width + bias(config, groups * width)
    parameters += heads * width * features + bias(config, features)
    return Cost(((*query[:-1], features),), parameters, elements((heads, *query[:-1], *key[:-1])))


def dot_attention(shapes: list[Shape], config: Config) -> Cost:
    """Attention and AdditiveAttention: query (T, D), value (S, D); a scale for each feature, or one."""
    if len(shapes) < 2:
        raise Misfit("needs a query and a value")
    query, value = shapes[0], shapes[1]
    demand_rank(query, 2)
    demand_rank(value, 2)
    parameters = 0
    if config.get("use_scale"):
        # Attention has one scale, AdditiveAttention (score_mode is not among its fields) one for each feature.
        parameters = 1 if "score_mode" in config else known(query[-1], "features")
    if config.get("score_mode") == "concat":
        parameters += 1
    return Cost(((query[0], value[1]),), parameters, elements((query[0], value[0])))


def merging(shapes: list[Shape], config: Config) -> Cost:
    """Add, Subtract, Multiply, Average, Maximum, Minimum: shapes are broadcast."""
    del config
    if not shapes:
        raise Misfit("has no input")
    merged: Shape = shapes[0]
    for shape in shapes[1:]:
        merged = broadcast(merged, shape)
    return Cost((merged,))


def broadcast(left: Shape, right: Shape) -> Shape:
    """Return the shape of two rows that are combined value by value."""
    longer, shorter = (left, right) if len(left) >= len(right) else (right, left)
    padded = (1,) * (len(longer) - len(shorter)) + tuple(shorter)
    out: list[Length] = []
    for a, b in zip(longer, padded, strict=True):
        if a is None or b is None:
            out.append(None if 1 in (a, b) or a == b else (a or b))
        elif a != b and 1 not in (a, b):
            raise Misfit(f"cannot combine the shapes {list(left)} and {list(right)}")
        else:
            out.append(max(a, b))
    return tuple(out)


def concatenate(shapes: list[Shape], config: Config) -> Cost:
    """Concatenate along one axis; Keras counts the batch as axis 0."""
    if not shapes:
        raise Misfit("has no input")
    axis = int(config.get("axis", -1))
    first = shapes[0]
    at = axis - 1 if axis > 0 else len(first) + axis
    if axis == 0 or not 0 <= at < len(first) or any(len(shape) != len(first) for shape in shapes):
        raise Misfit(f"cannot join rows of the shapes {', '.join(str(list(s)) for s in shapes[:4])} along axis {axis}")
    lengths = [shape[at] for shape in shapes]
    joined = None if None in lengths else sum(length for length in lengths if length is not None)
    return Cost(((*first[:at], joined, *first[at + 1 :]),))


def dot(shapes: list[Shape], config: Config) -> Cost:
    """Dot over one axis of each of two inputs."""
    if len(shapes) != 2:
        raise Misfit("needs two inputs")
    axes = config["axes"]
    pair = [int(axis) for axis in (axes if isinstance(axes, list) else [axes, axes])]
    left, right = (
        [length for at, length in enumerate(shape) if at != (axis - 1 if axis > 0 else len(shape) + axis)]
        for shape, axis in zip(shapes, pair, strict=True)
    )
    return Cost(((*left, *right) or (1,),))


@one
def time_of(shape: Shape, config: Config) -> Cost:
    """What TimeDistributed gives to its layer: one step."""
    del config
    if len(shape) < 2:
        raise Misfit("needs rows of steps")
    return Cost((shape[1:],))


@one
def steps_of(shape: Shape, config: Config) -> Cost:
    """SequenceMask: one truth a step."""
    del config
    if not shape:
        raise Misfit("needs rows of steps")
    return Cost((shape[:1],))
