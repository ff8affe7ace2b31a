"""The arithmetic of the convolutional networks, as `workers/architectures/{cnn,resnet}.py` build them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from app.recipes.estimate import Counts

Shape = tuple[int, int, int]


@dataclass
class _Tally:
    """Adds up a network layer by layer; `height`, `width`, `channels` are those of the last feature maps."""

    height: int
    width: int
    channels: int
    parameters: int = 0
    operations: int = 0
    row_values: int = 0

    def convolve(self, filters: int, size: int, stride: int = 1, *, bias: bool = False) -> None:
        self.height, self.width = -(-self.height // stride), -(-self.width // stride)
        weights = size * size * self.channels * filters
        self.parameters += weights + (filters if bias else 0)
        self.operations += weights * self.height * self.width
        self.channels = filters
        self._keep()

    def normalise(self) -> None:
        self.parameters += 4 * self.channels
        self._keep()

    def pool(self) -> None:
        self.height, self.width = self.height // 2, self.width // 2
        self._keep()

    def answer(self, outputs: int) -> None:
        self.parameters += (self.channels + 1) * outputs
        self.operations += self.channels * outputs

    def counts(self, row_bytes: int) -> Counts:
        return Counts(self.parameters, self.operations, self.row_values, row_bytes)

    def _keep(self) -> None:
        self.row_values += self.height * self.width * self.channels


def count_images(architecture: Mapping[str, Any], shape: Shape, outputs: int, row_bytes: int) -> Counts:
    """Count the network `cnn` or `resnet` for images of `shape`."""
    return (_count_resnet if architecture["type"] == "resnet" else _count_cnn)(architecture, shape, outputs, row_bytes)


def _count_cnn(architecture: Mapping[str, Any], shape: Shape, outputs: int, row_bytes: int) -> Counts:
    tally, has_norm = _Tally(*shape), architecture["normalization"] == "batch"
    for stage, filters in enumerate(architecture["filters"]):
        if stage:
            tally.pool()
        for _ in range(architecture["convolutions"]):
            tally.convolve(filters, architecture["kernel_size"], bias=not has_norm)
            if has_norm:
                tally.normalise()
    tally.answer(outputs)
    return tally.counts(row_bytes)


def _count_resnet(architecture: Mapping[str, Any], shape: Shape, outputs: int, row_bytes: int) -> Counts:
    tally = _Tally(*shape)
    tally.convolve(architecture["filters"][0], 3)
    for stage, filters in enumerate(architecture["filters"]):
        for index in range(architecture["blocks"]):
            stride = 2 if stage and not index else 1
            tally.normalise()
            if stride > 1 or tally.channels != filters:
                weights = tally.channels * filters
                tally.parameters += weights
                tally.operations += weights * -(-tally.height // stride) * -(-tally.width // stride)
            tally.convolve(filters, 3, stride)
            tally.normalise()
            tally.convolve(filters, 3)
    tally.normalise()
    tally.answer(outputs)
    return tally.counts(row_bytes)
