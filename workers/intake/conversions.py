"""Weights that earlier versions stored in another form than the Keras 3 layer has them.

Sources: the conversions that Keras 2 itself did on loading, described in the release notes of Keras 2.0 (weights of
Keras 1) and 2.1 (CuDNNLSTM and CuDNNGRU, which keep every gate's kernel transposed and two biases).
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np

from workers.intake.hdf5_tree import Array

Shape = tuple[int, ...]


def _same(shapes: list[Shape]) -> list[Shape]:
    return shapes


def _unchanged(arrays: list[Array]) -> list[Array]:
    return arrays


@dataclass(frozen=True)
class Conversion:
    """How a layer's weights are stored: their shapes, given the layer's, and how to get the layer's from them."""

    shapes: Callable[[list[Shape]], list[Shape]] = _same
    convert: Callable[[list[Array]], list[Array]] = _unchanged
    renames: bool = False
    count_by: Callable[[int], int] = int

    def count(self, owed: int) -> int:
        """Return how many arrays are stored for `owed` weights."""
        return self.count_by(owed)


def _cudnn(gates: int, fortran: bool, two_biases: bool) -> Conversion:
    """CuDNN keeps each gate's kernel as rows by units, one after the other in memory, and a bias for either product."""

    def shapes(owed: list[Shape]) -> list[Shape]:
        kernel, recurrent, _ = owed
        return [kernel, recurrent, (2 * gates * recurrent[0],)]

    def convert(arrays: list[Array]) -> list[Array]:
        kernel, recurrent, bias = arrays
        rows, units = kernel.shape[0], recurrent.shape[0]
        gate_kernels = [
            np.ascontiguousarray(gate).T.reshape((rows, units), order="F" if fortran else "C")
            for gate in np.split(kernel, gates, axis=1)
        ]
        recurrents = [gate.T for gate in np.split(recurrent, gates, axis=1)]
        biases = bias.reshape(2, gates * units)
        merged = biases if two_biases else biases.sum(axis=0)
        return [np.concatenate(gate_kernels, axis=1), np.concatenate(recurrents, axis=1), merged]

    return Conversion(shapes, convert, renames=True)


def _gates_apart(order: list[int]) -> Conversion:
    """Keras 1 stored kernel, recurrent kernel and bias of one gate after the other; `order` is today's."""
    gates = len(order)

    def shapes(owed: list[Shape]) -> list[Shape]:
        kernel, recurrent, _ = owed
        units = recurrent[0]
        return [(kernel[0], units), (units, units), (units,)] * gates

    def convert(arrays: list[Array]) -> list[Array]:
        parts = [arrays[3 * gate : 3 * gate + 3] for gate in order]
        return [np.concatenate([part[kind] for part in parts], axis=-1) for kind in range(3)]

    return Conversion(shapes, convert, renames=True, count_by=lambda owed: owed * gates)


def _conv1d_of_keras1() -> Conversion:
    """Keras 1 stored the kernel of a 1D convolution with a second, empty axis."""

    def shapes(owed: list[Shape]) -> list[Shape]:
        return [(owed[0][0], 1, *owed[0][1:]), *owed[1:]]

    def convert(arrays: list[Array]) -> list[Array]:
        return [arrays[0][:, 0], *arrays[1:]]

    return Conversion(shapes, convert, renames=True)


def _filters_first() -> Conversion:
    """Keras 1 stored kernels of channels-first convolutions as (filters, channels, rows, columns)."""

    def shapes(owed: list[Shape]) -> list[Shape]:
        *spatial, channels, filters = owed[0]
        return [(filters, channels, *spatial), *owed[1:]]

    def convert(arrays: list[Array]) -> list[Array]:
        kernel = arrays[0]
        return [np.transpose(kernel, (*range(2, kernel.ndim), 1, 0)), *arrays[1:]]

    return Conversion(shapes, convert, renames=True)


CONVERSIONS: Final[dict[str, Conversion]] = {
    "": Conversion(),
    "cudnn_gru": _cudnn(3, True, True),
    "cudnn_lstm": _cudnn(4, True, False),
    "keras1_conv1d": _conv1d_of_keras1(),
    "keras1_gru": _gates_apart([0, 1, 2]),
    # Stored as input, candidate, forget, output; today it is input, forget, candidate, output.
    "keras1_lstm": _gates_apart([0, 2, 1, 3]),
    "keras1_th": _filters_first(),
}
