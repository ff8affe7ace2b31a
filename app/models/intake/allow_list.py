"""The layers that a stranger's model may have, each with its fields and what they may hold. All else is refused.

Fields are those of Keras 3.15; a field that Keras writes and that changes nothing has the check `anything_small`.
"""

from typing import Any

from app.models.intake import shapes
from app.models.intake import shapes_of_einsum as einsum
from app.models.intake import shapes_of_sequences as sequences
from app.models.intake import shapes_of_windows as windows
from app.models.intake.layer_rules import (
    ATTENTION,
    AXIS,
    BATCH,
    CENTER_SCALE,
    COMMON,
    DATA_FORMAT,
    FACTOR,
    IMAGE_SIZE,
    MAGNITUDE,
    PROJECTED,
    RATE,
    SEED,
    SIZE,
    UNITS,
    Fields,
    Rule,
    augmentation,
    convolutional_recurrent,
    depthwise,
    dropout,
    global_pooling,
    plain_convolution,
    pooling,
    recurrent,
    resized,
    rule,
    separable,
    transposed,
    upsampling,
    weights,
)
from app.models.intake.values import (
    MAX_EXTENT,
    activation,
    anything_small,
    choice,
    constraint,
    initializer,
    layer_name,
    listed,
    number,
    regularizer,
    truth,
    whole,
)

LAYERS: dict[str, Rule] = {
    "Dense": rule(shapes.dense, {"units": UNITS, "activation": activation, **weights("kernel")}, "units"),
    "EinsumDense": rule(
        einsum.einsum_dense,
        {
            "equation": einsum.equation,
            "output_shape": listed(whole(1, nullable=True), 8, single=True),
            "bias_axes": einsum.bias_axes,
            "activation": activation,
            **weights("kernel"),
        },
        "equation",
        "output_shape",
    ),
    "Embedding": rule(
        shapes.embedding,
        {
            "input_dim": UNITS,
            "output_dim": UNITS,
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
    "Masking": rule(shapes.same, {"mask_value": MAGNITUDE}),
    "Identity": rule(shapes.same),
    "Activation": rule(shapes.same, {"activation": activation}, "activation"),
    "ReLU": rule(shapes.same, {"max_value": MAGNITUDE, "negative_slope": MAGNITUDE, "threshold": MAGNITUDE}),
    "LeakyReLU": rule(shapes.same, {"negative_slope": MAGNITUDE}),
    "ELU": rule(shapes.same, {"alpha": MAGNITUDE}),
    "Softmax": rule(shapes.same, {"axis": AXIS}),
    "PReLU": rule(
        shapes.prelu,
        {
            "alpha_initializer": initializer,
            "alpha_regularizer": regularizer,
            "alpha_constraint": constraint,
            "shared_axes": AXIS,
        },
    ),
    "Flatten": rule(shapes.flatten, DATA_FORMAT),
    "Reshape": rule(shapes.reshape, {"target_shape": listed(whole(-1), 8)}, "target_shape"),
    "Permute": rule(shapes.permute, {"dims": listed(whole(1, 8), 8, least=1)}, "dims"),
    "RepeatVector": rule(shapes.repeat_vector, {"n": SIZE}, "n"),
    "Dropout": dropout(),
    "AlphaDropout": dropout(),
    "GaussianDropout": dropout(),
    "GaussianNoise": dropout("stddev", MAGNITUDE),
    **{f"SpatialDropout{axes}D": dropout() for axes in (1, 2, 3)},
    "ActivityRegularization": rule(shapes.same, {"l1": MAGNITUDE, "l2": MAGNITUDE}),
    **{f"Conv{axes}D": plain_convolution(axes) for axes in (1, 2, 3)},
    **{f"DepthwiseConv{axes}D": depthwise(axes) for axes in (1, 2)},
    **{f"SeparableConv{axes}D": separable(axes) for axes in (1, 2)},
    **{f"Conv{axes}DTranspose": transposed(axes) for axes in (1, 2, 3)},
    **{f"{kind}Pooling{axes}D": pooling(axes) for axes in (1, 2, 3) for kind in ("Max", "Average")},
    **{f"Global{kind}Pooling{axes}D": global_pooling(axes) for axes in (1, 2, 3) for kind in ("Max", "Average")},
    **{f"Cropping{axes}D": resized(axes, "cropping", -1) for axes in (1, 2, 3)},
    **{f"ZeroPadding{axes}D": resized(axes, "padding", 1) for axes in (1, 2, 3)},
    **{f"UpSampling{axes}D": upsampling(axes) for axes in (1, 2, 3)},
    "BatchNormalization": rule(shapes.normalization(2, "center", "scale"), BATCH),
    "LayerNormalization": rule(
        shapes.normalization(0, "center", "scale"), {**CENTER_SCALE, "rms_scaling": choice(False, None)}
    ),
    "GroupNormalization": rule(
        shapes.normalization(0, "center", "scale"), {**CENTER_SCALE, "groups": whole(-1, MAX_EXTENT)}
    ),
    "RMSNormalization": rule(shapes.normalization(1), {"axis": AXIS, "epsilon": number(0, 1, nullable=True)}),
    "UnitNormalization": rule(shapes.same, {"axis": AXIS}),
    "Normalization": rule(
        shapes.adapted_normalization, {"axis": AXIS, "invert": truth, "mean": FACTOR, "variance": FACTOR}
    ),
    "Rescaling": rule(shapes.same, {"scale": FACTOR, "offset": FACTOR}, "scale"),
    "Resizing": augmentation(
        windows.fixed_size,
        {
            **IMAGE_SIZE,
            "crop_to_aspect_ratio": truth,
            "pad_to_aspect_ratio": truth,
            "antialias": truth,
        },
        "height",
        "width",
    ),
    "CenterCrop": augmentation(windows.fixed_size, IMAGE_SIZE, "height", "width"),
    "RandomCrop": augmentation(windows.fixed_size, {**IMAGE_SIZE, "name": layer_name}, "height", "width"),
    "RandomFlip": augmentation(
        shapes.same, {"mode": choice("horizontal", "vertical", "horizontal_and_vertical")}
    ),
    "RandomRotation": augmentation(shapes.same, {"factor": FACTOR}, "factor"),
    "RandomZoom": augmentation(shapes.same, {"height_factor": FACTOR, "width_factor": FACTOR}, "height_factor"),
    "RandomTranslation": augmentation(
        shapes.same, {"height_factor": FACTOR, "width_factor": FACTOR}, "height_factor", "width_factor"
    ),
    "RandomContrast": augmentation(shapes.same, {"factor": FACTOR}, "factor"),
    "RandomBrightness": augmentation(shapes.same, {"factor": FACTOR}, "factor"),
    **{kind: recurrent(kind) for kind in sequences.GATES},
    **{f"ConvLSTM{axes}D": convolutional_recurrent(axes) for axes in (1, 2, 3)},
    "MultiHeadAttention": rule(
        sequences.multi_head_attention,
        {**PROJECTED, "num_heads": SIZE, "key_dim": SIZE, "value_dim": whole(1, nullable=True), "use_gate": choice(
            False, None)},
        "num_heads",
        "key_dim",
    ),
    "GroupQueryAttention": rule(
        sequences.grouped_query_attention,
        {**ATTENTION, "head_dim": SIZE, "num_query_heads": SIZE, "num_key_value_heads": SIZE, "use_gate": choice(
            False, None)},
        "head_dim",
        "num_query_heads",
        "num_key_value_heads",
    ),
    "Attention": rule(
        sequences.dot_attention,
        {"use_scale": truth, "score_mode": choice("dot", "concat"), "dropout": RATE, "seed": SEED},
    ),
    "AdditiveAttention": rule(sequences.dot_attention, {"use_scale": truth, "dropout": RATE, "seed": SEED}),
    **{kind: rule(sequences.merging) for kind in (
        "Add", "Subtract", "Multiply", "Average", "Maximum", "Minimum")},
    "Concatenate": rule(sequences.concatenate, {"axis": whole(-8, 8)}),
    "SequenceMask": rule(sequences.steps_of),
    "Dot": rule(sequences.dot, {"axes": AXIS, "normalize": truth}, "axes"),
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
