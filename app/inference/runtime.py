"""ONNX Runtime: one session a model version. The only module that imports onnxruntime.

One intra-op thread a call: two threads on a busy two-core machine made a small BERT three
times slower than one (FACTS, Serving), so several calls side by side share the cores.
"""

import time
from abc import ABC, abstractmethod
from concurrent.futures import Executor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from onnxruntime.capi import onnxruntime_pybind11_state as ort_errors

Arrays = dict[str, np.ndarray]

_DTYPES: dict[str, type[np.generic]] = {
    "tensor(float)": np.float32,
    "tensor(double)": np.float64,
    "tensor(float16)": np.float16,
    "tensor(int64)": np.int64,
    "tensor(int32)": np.int32,
    "tensor(int16)": np.int16,
    "tensor(int8)": np.int8,
    "tensor(uint8)": np.uint8,
    "tensor(bool)": np.bool_,
    "tensor(string)": np.object_,
}
# ONNX Runtime's errors have no base of their own but Exception.
_FAILURES = (
    ort_errors.EPFail,
    ort_errors.EngineError,
    ort_errors.Fail,
    ort_errors.InvalidArgument,
    ort_errors.InvalidGraph,
    ort_errors.InvalidProtobuf,
    ort_errors.NoModel,
    ort_errors.NoSuchFile,
    ort_errors.NotImplemented,
    ort_errors.RuntimeException,
    RuntimeError,
    ValueError,
)
# What ONNX Runtime says of an id that an embedding does not have.
_OUT_OF_TABLE = "indices element out of data bounds"
_ERROR_LEVEL = 3
_WARM_RUNS = 5


class ModelUnusable(Exception):
    """A model file that cannot be loaded or run."""


class InputRefused(ModelUnusable):
    """Inputs of the right types and shapes whose values the model cannot take."""


class ModelAway(ModelUnusable):
    """What runs the model is away for a while: nothing is wrong with the inputs."""

    def __init__(self, message: str, retry_after_seconds: int, *, is_unhealthy: bool = False) -> None:
        """`is_unhealthy`: it broke off so often that it is left alone for some minutes."""
        super().__init__(message)
        self.retry_after_seconds = retry_after_seconds
        self.is_unhealthy = is_unhealthy


@dataclass(frozen=True)
class TensorInfo:
    """An input or output of a graph: `shape` has -1 for an axis of free length, the batch first."""

    name: str
    dtype: str
    shape: tuple[int, ...]

    def to_json(self) -> dict[str, Any]:
        """Return the form of a signature (API.md §5)."""
        return {"name": self.name, "dtype": self.dtype, "shape": list(self.shape)}


class Model(ABC):
    """A loaded model, whatever runs it. `run` may be called from several threads at once."""

    inputs: tuple[TensorInfo, ...]
    outputs: tuple[TensorInfo, ...]
    memory_bytes: int
    pool: Executor | None = None
    """The threads that call `run` where it is not to be called from all: one call at a time each."""

    @abstractmethod
    def run(self, inputs: Arrays) -> list[np.ndarray]:
        """Return the outputs in order, each with the batch as first axis.

        ModelUnusable when the model fails, InputRefused when it cannot take these inputs.
        """

    def close(self) -> None:  # noqa: B027 — most hold nothing
        """Give back what the model holds outside this process."""

    def zeros(self, rows: int, free_length: int = 1) -> Arrays:
        """Return inputs of `rows` rows of zeros; other free axes have length `free_length`."""
        return {
            spec.name: np.zeros(
                (rows, *(free_length if length < 0 else length for length in spec.shape[1:])), spec.dtype
            )
            for spec in self.inputs
        }

    def measure_seconds(self, rows: int, free_length: int = 1) -> float:
        """Return the seconds of one run of `rows` rows: the least of a few, after a first that is not counted.

        The least, not the mean: another process on the same cores only ever adds.
        """
        inputs = self.zeros(rows, free_length)
        self.run(inputs)
        least = float("inf")
        for _ in range(_WARM_RUNS):
            started = time.perf_counter()
            self.run(inputs)
            least = min(least, time.perf_counter() - started)
        return least


class OnnxModel(Model):
    """A loaded graph."""

    def __init__(self, path: Path) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
        options.log_severity_level = _ERROR_LEVEL
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        try:
            # From bytes: a graph that names external files finds none, wherever it lies.
            content = path.read_bytes()
            self._session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
        except (*_FAILURES, OSError) as error:
            raise ModelUnusable(f"{path.name} cannot be loaded: {_first_line(error)}") from error
        self.inputs = tuple(_describe(node) for node in self._session.get_inputs())
        self.outputs = tuple(_describe(node) for node in self._session.get_outputs())
        self._output_names = [spec.name for spec in self.outputs]
        # ONNX Runtime keeps the weights, and may keep a packed copy of each beside them;
        # 1 MiB: a session of the smallest network, measured.
        self.memory_bytes = 2 * len(content) + (1 << 20)

    def run(self, inputs: Arrays) -> list[np.ndarray]:
        """Return the outputs in the graph's order, each with the batch as first axis.

        ModelUnusable when the graph refuses the inputs or fails.
        """
        try:
            return self._session.run(self._output_names, inputs)  # type: ignore[no-any-return]
        except _FAILURES as error:
            if _OUT_OF_TABLE in str(error):
                raise InputRefused("a number is outside the table that the model looks it up in") from error
            raise ModelUnusable(f"the model failed: {_first_line(error)}") from error


def _describe(node: Any) -> TensorInfo:
    if node.type not in _DTYPES:
        raise ModelUnusable(f"{node.name} has the type {node.type}, which is not served")
    shape = tuple(length if isinstance(length, int) else -1 for length in node.shape)
    return TensorInfo(node.name, np.dtype(_DTYPES[node.type]).name, shape)


def _first_line(error: BaseException) -> str:
    return str(error).splitlines()[0][:300] if str(error) else type(error).__name__
