"""The layers that a stranger's model may have, each with its fields and what they may hold. All else is refused.

Fields are those of Keras 3.15; a field that Keras writes and that changes nothing has the check `anything_small`.
"""

from dataclasses import dataclass
from typing import Any

from app.models.intake import shapes
from app.models.intake import shapes_of_sequences as sequences
from app.models.intake.values import (
    MAX_EXTENT,
    Check,
    activation,
    anything_small,
    choice,
    constraint,
    dtype,
    either,
    initializer,
    layer_name,
    listed,
    number,
    regularizer,
    truth,
    whole,
)

_UNITS = whole(1)
_SEED = whole(-(2**63), 2**63 - 1, nullable=True)
_RATE = number(0, 1, nullable=True)
_MAGNITUDE = number(-1e30, 1e30, nullable=True)
_AXIS = listed(whole(-8, 8), 8, nullable=True, single=True)
_SIZE = whole(1, 65_536)
_LENGTHS = listed(whole(-1), 8, nullable=True)
_FACTOR = listed(number(-1e9, 1e9, nullable=True), 64, nullable=True, single=True)

Fields = dict[str, Check]
COMMON: Fields = {
    "name": layer_name,
    "trainable": truth,
    "dtype": dtype,
    "batch_shape": listed(whole(1, nullable=True), 9, nullable=True),
    "activity_regularizer": regularizer,
    # Keras writes it as null; a quantized layer reads other variables than are counted here.
    "quantization_config": choice(None),
    "lora_rank": choice(None),
}


@dataclass(frozen=True)
class Rule:
    """One layer: its fields, those that must be there, and what it makes of shapes."""

    fields: Fields
    required: tuple[str, ...]
    infer: shapes.Infer


def _weights(*kernels: str) -> Fields:
    fields: Fields = {"use_bias": truth}
    for kernel in (*kernels, "bias"):
        fields |= {f"{kernel}_initializer": initializer, f"{kernel}_regularizer": regularizer}
        fields[f"{kernel}_constraint"] = constraint
    return fields


def _rule(infer: shapes.Infer, fields: Fields | None = None, *required: str) -> Rule:
    return Rule({**COMMON, **(fields or {})}, required, infer)


_DATA_FORMAT: Fields = {"data_format": choice("channels_last", "channels_first", None)}


def _sizes(axes: int, *, least: int = 1, nullable: bool = True) -> Check:
    return listed(whole(least, 65_536), axes, least=axes, nullable=nullable, single=True)


def _convolution(axes: int) -> Fields:
    paddings = ("valid", "same", "causal", None) if axes == 1 else ("valid", "same", None)
    return {
        "filters": _UNITS,
        "kernel_size": _sizes(axes, nullable=False),
        "strides": _sizes(axes),
        "dilation_rate": _sizes(axes),
        "padding": choice(*paddings),
        "groups": whole(1, nullable=True),
        "activation": activation,
        **_DATA_FORMAT,
        **_weights("kernel"),
    }


def _plain_convolution(axes: int) -> Rule:
    return _rule(shapes.convolution(axes), _convolution(axes), "filters", "kernel_size")


def _depthwise(axes: int) -> Rule:
    fields = {**_convolution(axes), "depth_multiplier": _SIZE, **_weights("depthwise", "kernel")}
    return _rule(shapes.depthwise(axes), fields, "kernel_size")


def _separable(axes: int) -> Rule:
    fields = {**_convolution(axes), "depth_multiplier": _SIZE, **_weights("depthwise", "pointwise", "kernel")}
    return _rule(shapes.depthwise(axes, pointwise=True), fields, "filters", "kernel_size")


def _transposed(axes: int) -> Rule:
    fields = {**_convolution(axes), "output_padding": _sizes(axes, least=0)}
    return _rule(shapes.transposed(axes), fields, "filters", "kernel_size")


def _pooling(axes: int) -> Rule:
    fields = {"pool_size": _sizes(axes), "strides": _sizes(axes), "padding": choice("valid", "same", None)}
    return _rule(shapes.pooling(axes), {**fields, **_DATA_FORMAT})


def _global_pooling(axes: int) -> Rule:
    return _rule(shapes.global_pooling(axes), {**_DATA_FORMAT, "keepdims": truth})


def _resized(axes: int, field: str, sign: int) -> Rule:
    amount = whole(0, 65_536)
    amounts = listed(either(amount, listed(amount, 2, least=1)), 3, least=1, single=True)
    return _rule(shapes.resized(axes, field, sign), {field: amounts, **_DATA_FORMAT}, field)


def _upsampling(axes: int) -> Rule:
    methods = choice("nearest", "bilinear", "bicubic", "lanczos3", "lanczos5", None)
    return _rule(shapes.upsampling(axes), {"size": _sizes(axes), "interpolation": methods, **_DATA_FORMAT})


CELL: Fields = {
    **COMMON,
    "units": _UNITS,
    "activation": activation,
    "recurrent_activation": activation,
    **_weights("kernel", "recurrent"),
    "unit_forget_bias": truth,
    "reset_after": truth,
    "dropout": _RATE,
    "recurrent_dropout": _RATE,
    "seed": _SEED,
    "implementation": whole(0, 2, nullable=True),
}
SWEEP: Fields = {
    "return_sequences": truth,
    "return_state": truth,
    "go_backwards": truth,
    # State kept between calls would make a prediction depend on the one before.
    "stateful": choice(False, None),
    # An unrolled loop of a long sequence is thousands of operations.
    "unroll": choice(False, None),
    "zero_output_for_mask": truth,
    "use_cudnn": either(truth, choice("auto")),
}


def _recurrent(kind: str) -> Rule:
    return _rule(sequences.recurrent(kind), {**CELL, **SWEEP}, "units")


def _convolutional_recurrent(axes: int) -> Rule:
    fields = {**CELL, **SWEEP, **_convolution(axes), **_weights("kernel", "recurrent")}
    del fields["units"]
    return _rule(sequences.convolutional_recurrent(axes), fields, "filters", "kernel_size")


_CENTER_SCALE: Fields = {
    "axis": _AXIS,
    "epsilon": number(0, 1, nullable=True),
    "center": truth,
    "scale": truth,
    **{
        f"{weight}_{kind}": check
        for weight in ("beta", "gamma")
        for kind, check in (
            ("initializer", initializer), ("regularizer", regularizer), ("constraint", constraint),
        )
    },
}  # fmt: skip
_BATCH: Fields = {
    **_CENTER_SCALE,
    "momentum": _RATE,
    "moving_mean_initializer": initializer,
    "moving_variance_initializer": initializer,
    "synchronized": choice(False, None),
    "renorm": choice(False, None),
}


def _dropout(field: str = "rate", check: Check = _RATE) -> Rule:
    shape = listed(whole(-1, nullable=True), 8, nullable=True)
    fields: Fields = {field: check, "seed": _SEED, "noise_shape": shape, **_DATA_FORMAT}
    return _rule(shapes.same, fields, field)


def _augmentation(infer: shapes.Infer, fields: Fields, *required: str) -> Rule:
    fill: Fields = {
        "fill_mode": choice("constant", "nearest", "reflect", "wrap"),
        "fill_value": _MAGNITUDE,
        "interpolation": choice("nearest", "bilinear", "bicubic", "lanczos3", "lanczos5"),
        "value_range": listed(number(-1e9, 1e9), 2, least=2),
        "seed": _SEED,
    }
    return _rule(infer, {**fill, **_DATA_FORMAT, **fields}, *required)


_IMAGE_SIZE: Fields = {"height": _SIZE, "width": _SIZE}
_ATTENTION: Fields = {
    "dropout": _RATE,
    "seed": _SEED,
    "flash_attention": choice(None, False, True),
    "sliding_window": whole(1, nullable=True),
    **_weights("kernel"),
}
_PROJECTED = {**_ATTENTION, "attention_axes": _AXIS, "output_shape": listed(_SIZE, 4, nullable=True, single=True)}

LAYERS: dict[str, Rule] = {
    "Dense": _rule(shapes.dense, {"units": _UNITS, "activation": activation, **_weights("kernel")}, "units"),
    "Embedding": _rule(
        shapes.embedding,
        {
            "input_dim": _UNITS,
            "output_dim": _UNITS,
            "mask_zero": truth,
            "input_length": anything_small,
            "embeddings_initializer": initializer,
            "embeddings_regularizer": regularizer,
            "embeddings_constraint": constraint,
            "weights": choice(None),
        },
        "input_dim",
        "output_dim",
    ),
    "Masking": _rule(shapes.same, {"mask_value": _MAGNITUDE}),
    "Identity": _rule(shapes.same),
    "Activation": _rule(shapes.same, {"activation": activation}, "activation"),
    "ReLU": _rule(shapes.same, {"max_value": _MAGNITUDE, "negative_slope": _MAGNITUDE, "threshold": _MAGNITUDE}),
    "LeakyReLU": _rule(shapes.same, {"negative_slope": _MAGNITUDE}),
    "ELU": _rule(shapes.same, {"alpha": _MAGNITUDE}),
    "Softmax": _rule(shapes.same, {"axis": _AXIS}),
    "PReLU": _rule(
        shapes.prelu,
        {
            "alpha_initializer": initializer,
            "alpha_regularizer": regularizer,
            "alpha_constraint": constraint,
            "shared_axes": _AXIS,
        },
    ),
    "Flatten": _rule(shapes.flatten, _DATA_FORMAT),
    "Reshape": _rule(shapes.reshape, {"target_shape": listed(whole(-1), 8)}, "target_shape"),
    "Permute": _rule(shapes.permute, {"dims": listed(whole(1, 8), 8, least=1)}, "dims"),
    "RepeatVector": _rule(shapes.repeat_vector, {"n": _SIZE}, "n"),
    "Dropout": _dropout(),
    "AlphaDropout": _dropout(),
    "GaussianDropout": _dropout(),
    "GaussianNoise": _dropout("stddev", _MAGNITUDE),
    **{f"SpatialDropout{axes}D": _dropout() for axes in (1, 2, 3)},
    "ActivityRegularization": _rule(shapes.same, {"l1": _MAGNITUDE, "l2": _MAGNITUDE}),
    **{f"Conv{axes}D": _plain_convolution(axes) for axes in (1, 2, 3)},
    **{f"DepthwiseConv{axes}D": _depthwise(axes) for axes in (1, 2)},
    **{f"SeparableConv{axes}D": _separable(axes) for axes in (1, 2)},
    **{f"Conv{axes}DTranspose": _transposed(axes) for axes in (1, 2, 3)},
    **{f"{kind}Pooling{axes}D": _pooling(axes) for axes in (1, 2, 3) for kind in ("Max", "Average")},
    **{f"Global{kind}Pooling{axes}D": _global_pooling(axes) for axes in (1, 2, 3) for kind in ("Max", "Average")},
    **{f"Cropping{axes}D": _resized(axes, "cropping", -1) for axes in (1, 2, 3)},
    **{f"ZeroPadding{axes}D": _resized(axes, "padding", 1) for axes in (1, 2, 3)},
    **{f"UpSampling{axes}D": _upsampling(axes) for axes in (1, 2, 3)},
    "BatchNormalization": _rule(shapes.normalization(2, "center", "scale"), _BATCH),
    "LayerNormalization": _rule(
        shapes.normalization(0, "center", "scale"), {**_CENTER_SCALE, "rms_scaling": choice(False, None)}
    ),
    "GroupNormalization": _rule(
        shapes.normalization(0, "center", "scale"), {**_CENTER_SCALE, "groups": whole(-1, MAX_EXTENT)}
    ),
    "RMSNormalization": _rule(shapes.normalization(1), {"axis": _AXIS, "epsilon": number(0, 1, nullable=True)}),
    "UnitNormalization": _rule(shapes.same, {"axis": _AXIS}),
    "Normalization": _rule(
        shapes.adapted_normalization, {"axis": _AXIS, "invert": truth, "mean": _FACTOR, "variance": _FACTOR}
    ),
    "Rescaling": _rule(shapes.same, {"scale": _FACTOR, "offset": _FACTOR}, "scale"),
    "Resizing": _augmentation(
        shapes.fixed_size,
        {
            **_IMAGE_SIZE,
            "crop_to_aspect_ratio": truth,
            "pad_to_aspect_ratio": truth,
            "antialias": truth,
        },
        "height",
        "width",
    ),
    "CenterCrop": _augmentation(shapes.fixed_size, _IMAGE_SIZE, "height", "width"),
    "RandomCrop": _augmentation(shapes.fixed_size, {**_IMAGE_SIZE, "name": layer_name}, "height", "width"),
    "RandomFlip": _augmentation(
        shapes.same, {"mode": choice("horizontal", "vertical", "horizontal_and_vertical")}
    ),
    "RandomRotation": _augmentation(shapes.same, {"factor": _FACTOR}, "factor"),
    "RandomZoom": _augmentation(shapes.same, {"height_factor": _FACTOR, "width_factor": _FACTOR}, "height_factor"),
    "RandomTranslation": _augmentation(
        shapes.same, {"height_factor": _FACTOR, "width_factor": _FACTOR}, "height_factor", "width_factor"
    ),
    "RandomContrast": _augmentation(shapes.same, {"factor": _FACTOR}, "factor"),
    "RandomBrightness": _augmentation(shapes.same, {"factor": _FACTOR}, "factor"),
    **{kind: _recurrent(kind) for kind in sequences.GATES},
    **{f"ConvLSTM{axes}D": _convolutional_recurrent(axes) for axes in (1, 2, 3)},
    "MultiHeadAttention": _rule(
        sequences.multi_head_attention,
        {**_PROJECTED, "num_heads": _SIZE, "key_dim": _SIZE, "value_dim": whole(1, nullable=True), "use_gate": choice(
            False, None)},
        "num_heads",
        "key_dim",
    ),
    "GroupQueryAttention": _rule(
        sequences.grouped_query_attention,
        {**_ATTENTION, "head_dim": _SIZE, "num_query_heads": _SIZE, "num_key_value_heads": _SIZE, "use_gate": choice(
            False, None)},
        "head_dim",
        "num_query_heads",
        "num_key_value_heads",
    ),
    "Attention": _rule(
        sequences.dot_attention,
        {"use_scale": truth, "score_mode": choice("dot", "concat"), "dropout": _RATE, "seed": _SEED},
    ),
    "AdditiveAttention": _rule(sequences.dot_attention, {"use_scale": truth, "dropout": _RATE, "seed": _SEED}),
    **{kind: _rule(sequences.merging) for kind in (
        "Add", "Subtract", "Multiply", "Average", "Maximum", "Minimum")},
    "Concatenate": _rule(sequences.concatenate, {"axis": whole(-8, 8)}),
    "SequenceMask": _rule(sequences.steps_of),
    "Dot": _rule(sequences.dot, {"axes": _AXIS, "normalize": truth}, "axes"),
}  # fmt: skip
CELLS = ("SimpleRNNCell", "GRUCell", "LSTMCell")
INPUT: Fields = {
    **COMMON,
    "batch_shape": listed(whole(1, nullable=True), 9, least=1),
    "sparse": choice(False, None),
    "ragged": choice(False, None),
    "optional": choice(False, None),
}


def check_fields(config: dict[str, Any], fields: Fields, required: tuple[str, ...]) -> list[str]:
    """Return what is wrong with a layer's config, field by field."""
    wrong = [f"{key} is missing" for key in required if config.get(key) is None]
    for key, value in config.items():
        check = fields.get(key)
        if check is None:
            wrong.append(f"the field {key[:60]!r} is not one of this layer's")
        elif said := check(value):
            wrong.append(f"{key} {said}")
    return wrong
