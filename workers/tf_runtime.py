"""`python -m workers.tf_runtime`: runs one Keras model, locked in, for the process that started it.

It reads frames (`app.inference.frames`) from its standard input and answers each on its standard output: first an
order, answered `ready` once the model is loaded, then inputs, answered by outputs or an error. It ends with its input.
"""

import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from app.inference.frames import Frame, FrameBroken, read_frame, write_frame
from workers.intake.sandbox import Bounds, SandboxFailed, enter

# It serves for as long as it is asked: no bound on processor time but the largest there is.
_CPU_SECONDS = 2**31 - 1
_FILE_BYTES = 1 << 20


def main() -> int:
    """Answer frames until the input ends; return the exit status."""
    # What a library prints must not come between the frames.
    out = os.dup(1)
    os.dup2(2, 1)
    order = orjson.loads(read_frame(0).message)
    model_file = Path(order["model"])
    bounds = Bounds(order["address_bytes"], _FILE_BYTES, _CPU_SECONDS)
    try:
        enter(order["parent"], [model_file], Path(order["folder"]), bounds)
    except SandboxFailed as failed:
        write_frame(out, Frame("error", [], f"it could not be locked in ({failed})"))
        return 1
    answer = load(model_file, order["inputs"])
    write_frame(out, Frame("ready", []))
    while True:
        try:
            asked = read_frame(0)
        except FrameBroken:
            return 0
        write_frame(out, answer(asked.arrays))


def load(path: Path, inputs: list[dict[str, Any]]) -> Any:
    """Return a function of arrays, in the order of `inputs`, to the frame that answers them."""
    import keras
    import tensorflow as tf

    from workers.architectures import custom, custom_text, legacy  # noqa: F401 — what files of ours may name

    tf.config.threading.set_intra_op_parallelism_threads(1)
    model = keras.saving.load_model(path, compile=False, safe_mode=True)
    specs = [tf.TensorSpec([None if n == -1 else n for n in one["shape"]], one["dtype"]) for one in inputs]

    @tf.function(input_signature=specs, autograph=False)  # type: ignore[untyped-decorator]
    def ask(*tensors: Any) -> list[Any]:
        given = tensors[0] if len(tensors) == 1 else list(tensors)
        return list(keras.tree.flatten(model(given, training=False)))

    def answer(arrays: list[np.ndarray]) -> Frame:
        try:
            return Frame("outputs", [output.numpy() for output in ask(*map(tf.constant, arrays))])
        except (tf.errors.OpError, ValueError, TypeError) as error:
            return Frame("error", [], type(error).__name__)

    return answer


if __name__ == "__main__":
    sys.exit(main())
