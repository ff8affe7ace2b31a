"""What Keras 3 knows: the layers that can be taken in with their arguments, and today's names of old classes.

`ARGUMENTS` holds the constructor arguments of Keras 3.15; a test compares it with the Keras that is installed.
"""

from typing import Final


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


_KERNEL = "kernel_initializer kernel_regularizer kernel_constraint"
_BIAS = "use_bias bias_initializer bias_regularizer bias_constraint"
_DENSE = f"{_KERNEL} {_BIAS} activation activity_regularizer"
_WINDOW = "kernel_size strides padding data_format dilation_rate"
_CONV = f"{_DENSE} {_WINDOW} filters groups"
_TRANSPOSED = f"{_DENSE} {_WINDOW} filters output_padding"
_DEPTHWISE_WEIGHTS = "depthwise_initializer depthwise_regularizer depthwise_constraint depth_multiplier"
_DEPTHWISE = f"{_DEPTHWISE_WEIGHTS} {_BIAS} {_WINDOW} activation activity_regularizer"
_SEPARABLE = f"{_DEPTHWISE} filters pointwise_initializer pointwise_regularizer pointwise_constraint"
_RECURRENT_KERNEL = "recurrent_initializer recurrent_regularizer recurrent_constraint"
_CELL = f"{_KERNEL} {_RECURRENT_KERNEL} {_BIAS} units activation dropout recurrent_dropout seed"
_OVER_TIME = "return_sequences return_state go_backwards stateful unroll"
_RECURRENT = f"{_CELL} {_OVER_TIME} activity_regularizer"
_CONV_LSTM = (
    f"{_DENSE} {_WINDOW} {_RECURRENT_KERNEL} filters recurrent_activation unit_forget_bias dropout recurrent_dropout "
    "return_sequences return_state go_backwards stateful seed"
)
_POOLING = "pool_size strides padding data_format"
_CENTRE_SCALE = (
    "axis epsilon center scale beta_initializer beta_regularizer beta_constraint gamma_initializer gamma_regularizer "
    "gamma_constraint"
)
_EMBEDDING = "input_dim output_dim embeddings_initializer embeddings_regularizer embeddings_constraint mask_zero"
_FILL = "fill_mode fill_value interpolation data_format seed"

_ARGUMENTS: dict[str, str] = {
    "Activation": "activation",
    "ActivityRegularization": "l1 l2",
    "Add": "",
    "AdditiveAttention": "dropout use_scale",
    "AlphaDropout": "rate noise_shape seed",
    "Attention": "dropout score_mode seed use_scale",
    "Average": "",
    "BatchNormalization": f"{_CENTRE_SCALE} momentum moving_mean_initializer moving_variance_initializer synchronized "
    "renorm renorm_clipping renorm_momentum",
    "Bidirectional": "layer backward_layer merge_mode",
    "CategoryEncoding": "num_tokens output_mode sparse",
    "CenterCrop": "height width data_format",
    "Concatenate": "axis",
    "Cropping1D": "cropping",
    "Dense": f"{_DENSE} units",
    "Discretization": "bin_boundaries epsilon num_bins output_mode sparse",
    "Dot": "axes normalize",
    "Dropout": "rate noise_shape seed",
    "EinsumDense": f"{_KERNEL} bias_initializer bias_regularizer bias_constraint activation equation output_shape "
    "bias_axes",
    "ELU": "alpha",
    "Embedding": _EMBEDDING,
    "Flatten": "data_format",
    "GaussianDropout": "rate seed",
    "GaussianNoise": "stddev seed",
    "GroupNormalization": f"{_CENTRE_SCALE} groups",
    "GroupQueryAttention": f"{_KERNEL} {_BIAS} activity_regularizer head_dim num_query_heads "
    "num_key_value_heads dropout flash_attention seed "
    "use_gate",
    "GRU": f"{_RECURRENT} recurrent_activation reset_after use_cudnn",
    "GRUCell": f"{_CELL} recurrent_activation reset_after",
    "Identity": "",
    "LayerNormalization": _CENTRE_SCALE,
    "LeakyReLU": "negative_slope",
    "LSTM": f"{_RECURRENT} recurrent_activation unit_forget_bias use_cudnn",
    "LSTMCell": f"{_CELL} recurrent_activation unit_forget_bias",
    "Masking": "mask_value",
    "Maximum": "",
    "Minimum": "",
    "MultiHeadAttention": f"{_KERNEL} {_BIAS} activity_regularizer num_heads key_dim value_dim dropout output_shape "
    "attention_axes flash_attention seed sliding_window use_gate",
    "Multiply": "",
    "Normalization": "axis mean variance invert",
    "Permute": "dims",
    "PReLU": "alpha_initializer alpha_regularizer alpha_constraint shared_axes",
    "RandomBrightness": "factor value_range seed",
    "RandomContrast": "factor value_range seed",
    "RandomCrop": "height width data_format seed",
    "RandomFlip": "mode data_format seed",
    "RandomRotation": f"factor {_FILL}",
    "RandomTranslation": f"height_factor width_factor {_FILL}",
    "RandomZoom": f"height_factor width_factor {_FILL}",
    "ReLU": "max_value negative_slope threshold",
    "RepeatVector": "n",
    "Rescaling": "scale offset",
    "Reshape": "target_shape",
    "Resizing": "height width interpolation crop_to_aspect_ratio pad_to_aspect_ratio fill_mode fill_value data_format "
    "antialias",
    "RMSNormalization": "axis epsilon",
    "RNN": f"{_OVER_TIME} cell zero_output_for_mask",
    "SimpleRNN": _RECURRENT,
    "SimpleRNNCell": _CELL,
    "Softmax": "axis",
    "SpatialDropout1D": "rate seed",
    "SpectralNormalization": "layer power_iterations",
    "StackedRNNCells": "cells",
    "Subtract": "",
    "TimeDistributed": "layer",
    "UnitNormalization": "axis",
    "UpSampling1D": "size",
    "UpSampling2D": "size data_format interpolation",
    "UpSampling3D": "size data_format",
    "ZeroPadding1D": "padding data_format",
}
for _rank in ("1D", "2D", "3D"):
    _ARGUMENTS[f"Conv{_rank}"] = _CONV
    _ARGUMENTS[f"Conv{_rank}Transpose"] = _TRANSPOSED
    _ARGUMENTS[f"ConvLSTM{_rank}"] = _CONV_LSTM
    for _kind in ("Max", "Average"):
        _ARGUMENTS[f"{_kind}Pooling{_rank}"] = _POOLING
        _ARGUMENTS[f"Global{_kind}Pooling{_rank}"] = "data_format keepdims"
        _ARGUMENTS[f"Adaptive{_kind}Pooling{_rank}"] = "output_size data_format"
for _rank in ("1D", "2D"):
    _ARGUMENTS[f"DepthwiseConv{_rank}"] = _DEPTHWISE
    _ARGUMENTS[f"SeparableConv{_rank}"] = _SEPARABLE
for _rank in ("2D", "3D"):
    _ARGUMENTS[f"SpatialDropout{_rank}"] = "rate data_format seed"
    _ARGUMENTS[f"Cropping{_rank}"] = "cropping data_format"
    _ARGUMENTS[f"ZeroPadding{_rank}"] = "padding data_format"

ARGUMENTS: Final[dict[str, frozenset[str]]] = {name: frozenset(keys.split()) for name, keys in _ARGUMENTS.items()}

# Layers whose constructor takes none of trainable, activity_regularizer and the like.
STRICT: Final = frozenset({"SpatialDropout1D", "SpatialDropout2D", "SpatialDropout3D", "Discretization"})

MODELS: Final = frozenset({"Sequential", "Functional", "Model"})

RECURRENT: Final = frozenset(
    {"LSTM", "GRU", "SimpleRNN", "RNN", "Bidirectional", "ConvLSTM1D", "ConvLSTM2D", "ConvLSTM3D"}
)

# Names that earlier Keras versions wrote, and what the class is called today.
RENAMED: Final[dict[str, str]] = {
    "AtrousConvolution1D": "Conv1D",
    "AtrousConvolution2D": "Conv2D",
    "AvgPool1D": "AveragePooling1D",
    "AvgPool2D": "AveragePooling2D",
    "AvgPool3D": "AveragePooling3D",
    "BatchNormalizationV1": "BatchNormalization",
    "BatchNormalizationV2": "BatchNormalization",
    "Convolution1D": "Conv1D",
    "Convolution2D": "Conv2D",
    "Convolution2DTranspose": "Conv2DTranspose",
    "Convolution3D": "Conv3D",
    "Convolution3DTranspose": "Conv3DTranspose",
    "CuDNNGRU": "GRU",
    "CuDNNLSTM": "LSTM",
    "Deconvolution2D": "Conv2DTranspose",
    "Deconvolution3D": "Conv3DTranspose",
    "DenseV2": "Dense",
    "GlobalAvgPool1D": "GlobalAveragePooling1D",
    "GlobalAvgPool2D": "GlobalAveragePooling2D",
    "GlobalAvgPool3D": "GlobalAveragePooling3D",
    "GlobalMaxPool1D": "GlobalMaxPooling1D",
    "GlobalMaxPool2D": "GlobalMaxPooling2D",
    "GlobalMaxPool3D": "GlobalMaxPooling3D",
    "GRUV2": "GRU",
    "GroupedQueryAttention": "GroupQueryAttention",
    "LSTMV2": "LSTM",
    "MaxPool1D": "MaxPooling1D",
    "MaxPool2D": "MaxPooling2D",
    "MaxPool3D": "MaxPooling3D",
    "SeparableConvolution1D": "SeparableConv1D",
    "SeparableConvolution2D": "SeparableConv2D",
    "SyncBatchNormalization": "BatchNormalization",
    "ThresholdedReLU": "ReLU",
    "UnifiedGRU": "GRU",
    "UnifiedLSTM": "LSTM",
}

INITIALIZERS: Final[dict[str, frozenset[str]]] = {
    "Zeros": frozenset(),
    "Ones": frozenset(),
    "Constant": frozenset({"value"}),
    "RandomNormal": frozenset({"mean", "stddev"}),
    "RandomUniform": frozenset({"minval", "maxval"}),
    "TruncatedNormal": frozenset({"mean", "stddev"}),
    "VarianceScaling": frozenset({"scale", "mode", "distribution"}),
    "Orthogonal": frozenset({"gain"}),
    "Identity": frozenset({"gain"}),
    "GlorotNormal": frozenset(),
    "GlorotUniform": frozenset(),
    "HeNormal": frozenset(),
    "HeUniform": frozenset(),
    "LecunNormal": frozenset(),
    "LecunUniform": frozenset(),
}

REGULARIZERS: Final[dict[str, frozenset[str]]] = {
    "L1": frozenset({"l1"}),
    "L2": frozenset({"l2"}),
    "L1L2": frozenset({"l1", "l2"}),
    "OrthogonalRegularizer": frozenset({"factor", "mode"}),
}

CONSTRAINTS: Final[dict[str, frozenset[str]]] = {
    "MaxNorm": frozenset({"max_value", "axis"}),
    "MinMaxNorm": frozenset({"min_value", "max_value", "rate", "axis"}),
    "NonNeg": frozenset(),
    "UnitNorm": frozenset({"axis"}),
}

ACTIVATIONS: Final = _names(
    "celu elu exponential gelu glu hard_shrink hard_sigmoid hard_silu hard_tanh leaky_relu linear log_sigmoid "
    "log_softmax mish relu relu6 selu sigmoid silu softmax softplus soft_shrink softsign sparse_plus sparsemax "
    "sparse_sigmoid squareplus tanh tanh_shrink threshold"
)

# What earlier versions, or tf.nn, called them.
ACTIVATION_NAMES: Final[dict[str, str]] = {
    "hard_swish": "hard_silu",
    "log_softmax_v2": "log_softmax",
    "softmax_v2": "softmax",
    "swish": "silu",
    "swish_v2": "silu",
}
