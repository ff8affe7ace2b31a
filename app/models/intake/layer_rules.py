"""Fields that layers share, and the rules of layers that come in several kinds: see `allow_list`."""

from dataclasses import dataclass

from app.models.intake import shapes
from app.models.intake import shapes_of_sequences as sequences
from app.models.intake import shapes_of_windows as windows
from app.models.intake.values import (
    Check,
    activation,
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

UNITS = whole(1)
SEED = whole(-(2**63), 2**63 - 1, nullable=True)
RATE = number(0, 1, nullable=True)
MAGNITUDE = number(-1e30, 1e30, nullable=True)
AXIS = listed(whole(-8, 8), 8, nullable=True, single=True)
SIZE = whole(1, 65_536)
LENGTHS = listed(whole(-1), 8, nullable=True)
FACTOR = listed(number(-1e9, 1e9, nullable=True), 64, nullable=True, single=True)

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


def weights(*kernels: str) -> Fields:
    """Fields of what a layer learns."""
    fields: Fields = {"use_bias": truth}
    for kernel in (*kernels, "bias"):
        fields |= {f"{kernel}_initializer": initializer, f"{kernel}_regularizer": regularizer}
        fields[f"{kernel}_constraint"] = constraint
    return fields


def rule(infer: shapes.Infer, fields: Fields | None = None, *required: str) -> Rule:
    """Return the rule of a layer that has `fields` beside those of every layer."""
    return Rule({**COMMON, **(fields or {})}, required, infer)


DATA_FORMAT: Fields = {"data_format": choice("channels_last", "channels_first", None)}


def sizes(axes: int, *, least: int = 1, nullable: bool = True) -> Check:
    """A number for each of `axes`, or one for all."""
    return listed(whole(least, 65_536), axes, least=axes, nullable=nullable, single=True)


def convolution(axes: int) -> Fields:
    """Fields of a convolution over `axes`."""
    paddings = ("valid", "same", "causal", None) if axes == 1 else ("valid", "same", None)
    return {
        "filters": UNITS,
        "kernel_size": sizes(axes, nullable=False),
        "strides": sizes(axes),
        "dilation_rate": sizes(axes),
        "padding": choice(*paddings),
        "groups": whole(1, nullable=True),
        "activation": activation,
        **DATA_FORMAT,
        **weights("kernel"),
    }


def plain_convolution(axes: int) -> Rule:
    """Conv1D, Conv2D or Conv3D."""
    return rule(windows.convolution(axes), convolution(axes), "filters", "kernel_size")


def depthwise(axes: int) -> Rule:
    """DepthwiseConv1D or DepthwiseConv2D."""
    fields = {**convolution(axes), "depth_multiplier": SIZE, **weights("depthwise", "kernel")}
    return rule(windows.depthwise(axes), fields, "kernel_size")


def separable(axes: int) -> Rule:
    """SeparableConv1D or SeparableConv2D."""
    fields = {**convolution(axes), "depth_multiplier": SIZE, **weights("depthwise", "pointwise", "kernel")}
    return rule(windows.depthwise(axes, pointwise=True), fields, "filters", "kernel_size")


def transposed(axes: int) -> Rule:
    """Conv1DTranspose, Conv2DTranspose or Conv3DTranspose."""
    fields = {**convolution(axes), "output_padding": sizes(axes, least=0)}
    return rule(windows.transposed(axes), fields, "filters", "kernel_size")


def pooling(axes: int) -> Rule:
    """MaxPooling or AveragePooling."""
    fields = {"pool_size": sizes(axes), "strides": sizes(axes), "padding": choice("valid", "same", None)}
    return rule(windows.pooling(axes), {**fields, **DATA_FORMAT})


def global_pooling(axes: int) -> Rule:
    """GlobalMaxPooling or GlobalAveragePooling."""
    return rule(windows.global_pooling(axes), {**DATA_FORMAT, "keepdims": truth})


def resized(axes: int, field: str, sign: int) -> Rule:
    """Cropping or ZeroPadding, by the field that says how much."""
    amount = whole(0, 65_536)
    amounts = listed(either(amount, listed(amount, 2, least=1)), 3, least=1, single=True)
    return rule(windows.resized(axes, field, sign), {field: amounts, **DATA_FORMAT}, field)


def upsampling(axes: int) -> Rule:
    """UpSampling."""
    methods = choice("nearest", "bilinear", "bicubic", "lanczos3", "lanczos5", None)
    return rule(windows.upsampling(axes), {"size": sizes(axes), "interpolation": methods, **DATA_FORMAT})


CELL: Fields = {
    **COMMON,
    "units": UNITS,
    "activation": activation,
    "recurrent_activation": activation,
    **weights("kernel", "recurrent"),
    "unit_forget_bias": truth,
    "reset_after": truth,
    "dropout": RATE,
    "recurrent_dropout": RATE,
    "seed": SEED,
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


def recurrent(kind: str) -> Rule:
    """SimpleRNN, GRU or LSTM."""
    return rule(sequences.recurrent(kind), {**CELL, **SWEEP}, "units")


def convolutional_recurrent(axes: int) -> Rule:
    """ConvLSTM."""
    fields = {**CELL, **SWEEP, **convolution(axes), **weights("kernel", "recurrent")}
    del fields["units"]
    return rule(sequences.convolutional_recurrent(axes), fields, "filters", "kernel_size")


CENTER_SCALE: Fields = {
    "axis": AXIS,
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
BATCH: Fields = {
    **CENTER_SCALE,
    "momentum": RATE,
    "moving_mean_initializer": initializer,
    "moving_variance_initializer": initializer,
    "synchronized": choice(False, None),
    "renorm": choice(False, None),
}


def dropout(field: str = "rate", check: Check = RATE) -> Rule:
    """Noise in training alone, by the field that says how much."""
    shape = listed(whole(-1, nullable=True), 8, nullable=True)
    fields: Fields = {field: check, "seed": SEED, "noise_shape": shape, **DATA_FORMAT}
    return rule(shapes.same, fields, field)


def augmentation(infer: shapes.Infer, fields: Fields, *required: str) -> Rule:
    """A layer that varies, cuts or resizes images."""
    fill: Fields = {
        "fill_mode": choice("constant", "nearest", "reflect", "wrap"),
        "fill_value": MAGNITUDE,
        "interpolation": choice("nearest", "bilinear", "bicubic", "lanczos3", "lanczos5"),
        "value_range": listed(number(-1e9, 1e9), 2, least=2),
        "seed": SEED,
    }
    return rule(infer, {**fill, **DATA_FORMAT, **fields}, *required)


IMAGE_SIZE: Fields = {"height": SIZE, "width": SIZE}
ATTENTION: Fields = {
    "dropout": RATE,
    "seed": SEED,
    "flash_attention": choice(None, False, True),
    "sliding_window": whole(1, nullable=True),
    **weights("kernel"),
}
PROJECTED = {**ATTENTION, "attention_axes": AXIS, "output_shape": listed(SIZE, 4, nullable=True, single=True)}
