"""Speaks as `workers.tf_runtime` does, without TensorFlow: doubles its input, and breaks off where it is told to.

A first value of −1: it ends at once. −2: it says nothing any more. −3: it fails on these rows. −4: it sends rubbish.
"""

import os
import sys
import threading

import numpy as np

from app.inference.frames import Frame, FrameBroken, read_frame, write_frame


def main() -> int:
    """Answer frames until the input ends."""
    read_frame(0)
    write_frame(1, Frame("ready", []))
    while True:
        try:
            asked = read_frame(0)
        except FrameBroken:
            return 0
        first = float(np.ravel(asked.arrays[0])[0])
        if first == -1:
            os._exit(9)
        if first == -2:
            threading.Event().wait()
        if first == -4:
            os.write(1, bytes(range(200)))
        write_frame(1, Frame("error", [], "Refused") if first == -3 else Frame("outputs", [2 * asked.arrays[0]]))


if __name__ == "__main__":
    sys.exit(main())
