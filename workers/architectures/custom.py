# ruff: noqa: N803, N806 — names end in their shape (see the key below)
# mypy: disallow-subclassing-any=False
"""Keras layers of our own, registered under the package `trainyard`.

Importing this module (it imports nothing but Keras) is all that plain Keras needs to open a `model.keras` of ours.
Every layer is written with `keras.ops` alone: it runs on any backend, compiles with XLA and converts to ONNX.

Shapes: B batch, F number columns, C category columns, T bins of a column, D width, K members, U units.
"""

import itertools
import statistics
from typing import Any

import keras
from keras import ops

PACKAGE = "trainyard"


@keras.saving.register_keras_serializable(PACKAGE)
class PiecewiseLinearEmbedding(keras.layers.Layer):
    """A number as a vector that is a piecewise-linear function of it: (B, F) → (B, F, U).

    Column f gives p V[f] + e K[f] + b[f]. e is its piecewise-linear encoding: component t is
    clip((x − b[t−1]) / (b[t] − b[t−1]), 0, 1), that is 1 in bins below x, 0 above, linear within; Gorishniy et al., "On
    Embeddings for Numerical Features in Tabular Deep Learning" (2022), section 3.2, equation 1. p is the number itself,
    standardised by the edges.

    K starts at 0, so training starts from straight lines and bends them where the rows say so. With a random K the RMSE
    on four tables of 340 to 1,000 rows was 3 to 12 % larger in cross-validation, and on a fifth, whose target is a sum
    of columns, three times as large. Unlike in the paper all bins are bounded: an outlier in a request cannot drive the
    network where it never was.

    `edges`: for each column its increasing bin edges, at least two. Columns may have different numbers of bins.
    """

    def __init__(self, edges: list[list[float]], units: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        for column, row in enumerate(edges):
            if len(row) < 2 or any(right <= left for left, right in itertools.pairwise(row)):
                raise ValueError(f"edges[{column}] must be at least two increasing numbers")
        self.edges = [[float(edge) for edge in row] for row in edges]
        self.bins = max(len(row) - 1 for row in self.edges)
        self.units = units

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Lay the edges out as constants of shape (F, T), columns of fewer bins filled up; make the weights."""
        columns, bound = len(self.edges), self.units**-0.5
        if input_shape[-1] != columns:
            raise ValueError(f"edges are of {columns} columns, the input has {input_shape[-1]}")
        self._starts_FT, self._rates_FT = [], []
        for row in self.edges:
            empty = [0.0] * (self.bins - len(row) + 1)
            self._starts_FT.append(row[:-1] + empty)
            self._rates_FT.append([1.0 / (right - left) for left, right in itertools.pairwise(row)] + empty)
        uniform = keras.initializers.RandomUniform
        self.slope_FU = self.add_weight(
            shape=(columns, self.units), initializer=uniform(-bound, bound), name="slope_kernel"
        )
        self.kernel_FTU = self.add_weight(shape=(columns, self.bins, self.units), initializer="zeros", name="kernel")
        self.bias_FU = self.add_weight(shape=(columns, self.units), initializer=uniform(-bound, bound), name="bias")
        self.built = True

    def encode(self, numbers_BF: Any) -> Any:
        """Return where the numbers lie in the bins of their columns, (B, F, T)."""
        starts_FT = ops.convert_to_tensor(self._starts_FT, self.compute_dtype)
        rates_FT = ops.convert_to_tensor(self._rates_FT, self.compute_dtype)
        # Subtract first: x/w − b/w would lose digits where bins are narrow.
        return ops.clip((ops.expand_dims(numbers_BF, -1) - starts_FT) * rates_FT, 0.0, 1.0)

    def call(self, numbers_BF: Any) -> Any:
        bent_BFU = ops.einsum("bft,ftu->bfu", self.encode(numbers_BF), self.kernel_FTU)
        return ops.expand_dims(self._positions(numbers_BF), -1) * self.slope_FU + bent_BFU + self.bias_FU

    def _positions(self, numbers_BF: Any) -> Any:
        """The numbers, no further out than the outer edges, less the mean of the edges, over their deviation."""

        def constant(values: list[float]) -> Any:
            return ops.convert_to_tensor(values, self.compute_dtype)

        least, most = constant([row[0] for row in self.edges]), constant([row[-1] for row in self.edges])
        centers = constant([statistics.fmean(row) for row in self.edges])
        rates = constant([1.0 / statistics.pstdev(row) for row in self.edges])
        return (ops.minimum(ops.maximum(numbers_BF, least), most) - centers) * rates

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        return (*input_shape, self.units)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "edges": self.edges, "units": self.units}


@keras.saving.register_keras_serializable(PACKAGE)
class PeriodicEncoding(keras.layers.Layer):
    """Sines and cosines of a number at learned frequencies: (B, F) → (B, F, 2 · frequencies).

    concat[sin(2πcx), cos(2πcx)], c drawn from N(0, sigma²) and trained; Gorishniy et al. (2022), section 3.3,
    equation 4. `sigma` sets how fine a structure is seen at first.
    """

    def __init__(self, frequencies: int, sigma: float = 0.1, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.frequencies = frequencies
        self.sigma = sigma

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        self.coefficients_FD = self.add_weight(
            shape=(input_shape[-1], self.frequencies),
            initializer=keras.initializers.RandomNormal(stddev=self.sigma),
            name="coefficients",
        )
        self.built = True

    def call(self, numbers_BF: Any) -> Any:
        angles_BFD = 6.283185307179586 * self.coefficients_FD * ops.expand_dims(numbers_BF, -1)
        return ops.concatenate([ops.sin(angles_BFD), ops.cos(angles_BFD)], axis=-1)

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        return (*input_shape, 2 * self.frequencies)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "frequencies": self.frequencies, "sigma": self.sigma}


@keras.saving.register_keras_serializable(PACKAGE)
class ColumnwiseDense(keras.layers.Layer):
    """A dense layer of its own for every column: (B, F, T) → (B, F, U).

    The linear part of the number embeddings of Gorishniy et al. (2022), section 3.4.
    """

    def __init__(self, units: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.units = units

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """A (T, U) kernel and a bias for each column; small uniform values as in the paper's code."""
        columns, width = int(input_shape[-2] or 0), int(input_shape[-1] or 0)
        initial = keras.initializers.RandomUniform(-(width**-0.5), width**-0.5)
        self.kernel_FTU = self.add_weight(shape=(columns, width, self.units), initializer=initial, name="kernel")
        self.bias_FU = self.add_weight(shape=(columns, self.units), initializer=initial, name="bias")
        self.built = True

    def call(self, inputs_BFT: Any) -> Any:
        return ops.einsum("bft,ftu->bfu", inputs_BFT, self.kernel_FTU) + self.bias_FU

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        return (*input_shape[:-1], self.units)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "units": self.units}


@keras.saving.register_keras_serializable(PACKAGE)
class ColumnOffsets(keras.layers.Layer):
    """Give each category column its own range of ids, so that one embedding table serves all: (B, C) → (B, C).

    `cardinalities`: ids of each column, with 0 (missing) and 1 (unknown) counted.
    """

    def __init__(self, cardinalities: list[int], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.cardinalities = list(cardinalities)

    def call(self, categories_BC: Any) -> Any:
        offsets = [sum(self.cardinalities[:column]) for column in range(len(self.cardinalities))]
        return ops.cast(categories_BC, "int32") + ops.convert_to_tensor(offsets, "int32")

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        return input_shape

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "cardinalities": self.cardinalities}


@keras.saving.register_keras_serializable(PACKAGE)
class OneHotColumns(keras.layers.Layer):
    """One-hot codes of all category columns side by side: (B, C) → (B, sum of cardinalities)."""

    def __init__(self, cardinalities: list[int], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.cardinalities = list(cardinalities)

    def call(self, categories_BC: Any) -> Any:
        """Compare each id with every id of its column: two operations, however many columns."""
        column = [index for index, size in enumerate(self.cardinalities) for _ in range(size)]
        code = [value for size in self.cardinalities for value in range(size)]
        spread = ops.take(ops.cast(categories_BC, "int32"), ops.convert_to_tensor(column, "int32"), axis=1)
        return ops.cast(ops.equal(spread, ops.convert_to_tensor(code, "int32")), self.compute_dtype)

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        return (input_shape[0], sum(self.cardinalities))

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "cardinalities": self.cardinalities}


@keras.saving.register_keras_serializable(PACKAGE)
class RandomSigns(keras.initializers.Initializer):
    """+1 or −1 with equal chance: how the members of an ensemble are made to differ (Wen et al. 2020, section 3)."""

    def __init__(self, seed: int | None = None) -> None:
        self.seed = seed
        self._uniform = keras.initializers.RandomUniform(-1.0, 1.0, seed=seed)

    def __call__(self, shape: tuple[int, ...], dtype: Any = None) -> Any:
        return ops.where(self._uniform(shape, dtype=dtype) < 0.0, -1.0, 1.0)

    def get_config(self) -> dict[str, Any]:
        return {"seed": self.seed}


@keras.saving.register_keras_serializable(PACKAGE)
class EnsembleDense(keras.layers.Layer):
    """A dense layer shared by K members that differ by scales and biases: (B, D) or (B, K, D) → (B, K, U).

    Member k computes s[k] ⊙ ((r[k] ⊙ x) W) + b[k]: BatchEnsemble (Wen et al. 2020, equation 5), as TabM uses it for
    tables (Gorishniy et al. 2024, section 3.2). One product with W serves all members. Scales start at 1, but in the
    layer that makes the members differ at random signs: `signs` says in which of them.

    - `inner`, as in TabM: in r.
    - `outer`, for a wide first layer: in s, and there is no r, so that W is applied to (B, D) once and not K times. On
      the white wines and two other tables its RMSE was 1 to 4 % larger.
    - `none`: a later layer.
    """

    def __init__(self, units: int, members: int, signs: str = "none", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.units = units
        self.members = members
        self.signs = signs

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        width = int(input_shape[-1] or 0)
        bound = width**-0.5
        self.kernel_DU = self.add_weight(shape=(width, self.units), initializer="he_uniform", name="kernel")
        if self.signs != "outer":
            initial = RandomSigns() if self.signs == "inner" else "ones"
            self.inner_KD = self.add_weight(shape=(self.members, width), initializer=initial, name="inner_scale")
        initial = RandomSigns() if self.signs == "outer" else "ones"
        self.outer_KU = self.add_weight(shape=(self.members, self.units), initializer=initial, name="outer_scale")
        self.bias_KU = self.add_weight(
            shape=(self.members, self.units), initializer=keras.initializers.RandomUniform(-bound, bound), name="bias"
        )
        self.width = width
        self.built = True

    def call(self, inputs: Any) -> Any:
        x = ops.expand_dims(inputs, 1) if len(inputs.shape) == 2 else inputs
        if self.signs != "outer":
            x = x * self.inner_KD
        # A matrix product with a batch axis is several times slower on a CPU.
        flat = ops.matmul(ops.reshape(x, (-1, self.width)), self.kernel_DU)
        seen = 1 if self.signs == "outer" and len(inputs.shape) == 2 else self.members
        return ops.reshape(flat, (-1, seen, self.units)) * self.outer_KU + self.bias_KU

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        return (input_shape[0], self.members, self.units)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "units": self.units, "members": self.members, "signs": self.signs}


@keras.saving.register_keras_serializable(PACKAGE)
class MemberDense(keras.layers.Layer):
    """A dense layer of its own for every member: (B, K, D) → (B, K, U). TabM's heads (2024, section 3.2)."""

    def __init__(self, units: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.units = units

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        members, width = int(input_shape[-2] or 0), int(input_shape[-1] or 0)
        initial = keras.initializers.RandomUniform(-(width**-0.5), width**-0.5)
        self.kernel_KDU = self.add_weight(shape=(members, width, self.units), initializer=initial, name="kernel")
        self.bias_KU = self.add_weight(shape=(members, self.units), initializer=initial, name="bias")
        self.built = True

    def call(self, inputs_BKD: Any) -> Any:
        return ops.einsum("bkd,kdu->bku", inputs_BKD, self.kernel_KDU) + self.bias_KU

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        return (*input_shape[:-1], self.units)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "units": self.units}


@keras.saving.register_keras_serializable(PACKAGE)
class BothClasses(keras.layers.Layer):
    """The chance of the second of two classes, as a row of two: (B, 1) → (B, 2)."""

    def call(self, chance_B1: Any) -> Any:
        return ops.concatenate([1.0 - chance_B1, chance_B1], axis=-1)

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        return (input_shape[0], 2)
