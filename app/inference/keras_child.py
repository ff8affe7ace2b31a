"""A model that ONNX cannot express, run by Keras in a process of its own; this one stays free of TensorFlow.

The child is locked in as the one that opens uploads is: no network, no files but the model, bounded memory. It ends
with this process, and with `close`. One that breaks off is started again at the next call, after a pause that doubles;
after three breakdowns in ten minutes the model is unhealthy until the first of them is ten minutes ago.
"""

import collections
import logging
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import Executor, ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final

import numpy as np
import orjson

from app.inference.frames import Frame, FrameBroken, read_frame, write_frame
from app.inference.runtime import Arrays, Model, ModelAway, ModelUnusable, TensorInfo
from app.models.bundle import Bundle
from app.models.intake.child import RESERVED_BYTES, locked_in_environment, resident_bytes

_START_SECONDS: Final = 120.0
_ANSWER_SECONDS: Final = 30.0
# TensorFlow and its memory pools; and the weights, their copies, and what a batch of 256 rows needs on its way.
_BASE_BYTES: Final = 2 << 30
_BYTES_PER_FILE_BYTE: Final = 16
_PAUSE_SECONDS: Final = 1.0
_MOST_CRASHES: Final = 3
_CRASH_WINDOW_SECONDS: Final = 600.0
_WEIGHTS: Final = "model.keras"

_log = logging.getLogger(__name__)


class KerasChild(Model):
    """A Keras model behind a pipe; one call at a time."""

    module: str = "workers.tf_runtime"

    def __init__(self, bundle: Bundle) -> None:
        """Start the child. ModelUnusable when it cannot load the model."""
        signature = bundle.manifest["signature"]
        self.inputs = tuple(_info(spec) for spec in signature["inputs"])
        self.outputs = tuple(_info(spec) for spec in signature["outputs"])
        self.pool: Executor | None = ThreadPoolExecutor(1, "keras-child")
        self._path = bundle.path(_WEIGHTS)
        self._lock = threading.Lock()
        # A child dies with the thread that started it (PR_SET_PDEATHSIG): this one lives as long as the model.
        self._starter = ThreadPoolExecutor(1, "keras-start")
        self._child: subprocess.Popen[bytes] | None = None
        self._crashes: collections.deque[float] = collections.deque(maxlen=_MOST_CRASHES)
        self._is_closed = False
        self._folder = Path(tempfile.mkdtemp(prefix="trainyard-keras-"))
        try:
            self._starter.submit(self._start).result()
        except ModelUnusable:
            self.close()
            raise
        self.memory_bytes = max(resident_bytes(self._pid), self._path.stat().st_size)

    def run(self, inputs: Arrays) -> list[np.ndarray]:
        """Return the outputs in the signature's order.

        ModelAway where the child broke off or is not to be started now, ModelUnusable where the model failed.
        """
        frame = Frame("run", [np.asarray(inputs[spec.name], spec.dtype) for spec in self.inputs])
        with self._lock:
            child = self._require_child()
            try:
                answer = _ask(child, frame, _ANSWER_SECONDS)
            except FrameBroken as error:
                raise self._broke_off(str(error)) from error
        if answer.kind != "outputs" or len(answer.arrays) != len(self.outputs):
            raise ModelUnusable(f"the model failed: {answer.message[:300] or answer.kind[:40]}")
        return answer.arrays

    def close(self) -> None:
        """End the child, after the calls under way; later ones are ModelAway."""
        if not self._is_closed and self.pool is not None:
            self._is_closed = True
            self.pool.submit(self._end)
            self.pool.shutdown(wait=False)

    @property
    def _pid(self) -> int:
        return 0 if self._child is None else self._child.pid

    def _require_child(self) -> "subprocess.Popen[bytes]":
        """Return the child, started anew where the last one broke off."""
        if self._is_closed:
            raise ModelAway("the model was unloaded meanwhile", 1)
        if self._child is not None and self._child.poll() is None:
            return self._child
        if self._child is not None:  # it ended between two calls
            self._count_crash("it ended by itself")
        now = time.monotonic()
        wait = self._pause_seconds() - (now - self._crashes[-1]) if self._crashes else 0.0
        if wait > 0:
            is_unhealthy = len(self._crashes) == _MOST_CRASHES and now - self._crashes[0] < _CRASH_WINDOW_SECONDS
            seconds = max(1, round(wait + 0.5))
            raise ModelAway("the process that runs it broke off", seconds, is_unhealthy=is_unhealthy)
        try:
            self._starter.submit(self._start).result()
        except ModelUnusable as error:
            raise self._broke_off(str(error)) from error
        if self._child is None:
            raise ModelAway("the model was unloaded meanwhile", 1)
        return self._child

    def _pause_seconds(self) -> float:
        """Seconds after the last breakdown before which no child is started."""
        recent = [at for at in self._crashes if at > time.monotonic() - _CRASH_WINDOW_SECONDS]
        if len(recent) == _MOST_CRASHES:
            return _CRASH_WINDOW_SECONDS - (recent[-1] - recent[0])
        return _PAUSE_SECONDS * 2.0 ** (len(recent) - 1) if recent else 0.0

    def _broke_off(self, why: str) -> ModelAway:
        self._count_crash(why)
        return ModelAway("the process that runs it broke off", max(1, round(self._pause_seconds())))

    def _count_crash(self, why: str) -> None:
        status = self._kill()
        self._crashes.append(time.monotonic())
        _log.warning("a model's process broke off", extra={"reason": why, "exit_status": status})

    def _start(self) -> None:
        """Start a child and wait until it has loaded the model; ModelUnusable where it has not."""
        size = self._path.stat().st_size
        order = {
            "model": str(self._path),
            "folder": str(self._folder),
            "parent": os.getpid(),
            "address_bytes": RESERVED_BYTES + _BASE_BYTES + _BYTES_PER_FILE_BYTE * size,
            "inputs": [{"name": spec.name, "dtype": spec.dtype, "shape": list(spec.shape)} for spec in self.inputs],
        }
        child = subprocess.Popen(
            [sys.executable, "-P", "-B", "-X", "utf8", "-m", self.module],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            cwd=self._folder,
            env=locked_in_environment(self._folder),
            start_new_session=True,
        )
        self._child = child
        try:
            ready = _ask(child, Frame("order", [], orjson.dumps(order).decode()), _START_SECONDS)
        except FrameBroken as error:
            self._kill()
            raise ModelUnusable("the process that runs it did not load it") from error
        if ready.kind != "ready":
            self._kill()
            raise ModelUnusable(f"the process that runs it did not load it: {ready.message[:200]}")

    def _kill(self) -> int | None:
        """End the child; return its exit status, None where there is none."""
        child, self._child = self._child, None
        if child is None:
            return None
        child.kill()
        status = child.wait()
        for pipe in (child.stdin, child.stdout):
            if pipe is not None:
                pipe.close()
        return status

    def _end(self) -> None:
        with self._lock:
            self._kill()
        self._starter.shutdown(wait=False)
        shutil.rmtree(self._folder, ignore_errors=True)


def _ask(child: "subprocess.Popen[bytes]", frame: Frame, seconds: float) -> Frame:
    if child.stdin is None or child.stdout is None:
        raise FrameBroken("there is no pipe")
    write_frame(child.stdin.fileno(), frame, seconds)
    return read_frame(child.stdout.fileno(), seconds)


def _info(spec: dict[str, Any]) -> TensorInfo:
    return TensorInfo(spec["name"], spec["dtype"], tuple(spec["shape"]))
