"""Does a device compute? `python -m workers.probe`: exit 0 where a small product comes out right on it, else 1.

The device is the one that `CUDA_VISIBLE_DEVICES` names. A process of its own: one that has met a lost device
never gets it back, and TensorFlow never gives back memory.
"""

import sys

import numpy as np
import tensorflow as tf

SIDE = 512


def computes() -> bool:
    """Return whether the first GPU multiplies two matrices as NumPy does."""
    gpus = tf.config.list_physical_devices("GPU")
    if not gpus:
        return False
    tf.config.experimental.set_memory_growth(gpus[0], True)
    rng = np.random.default_rng(0)
    # Whole numbers this small are exact in every float format in use, so that the product is known to the bit.
    left, right = (rng.integers(-1, 2, (SIDE, SIDE)).astype(np.float32) for _ in range(2))
    try:
        with tf.device("/GPU:0"):
            product = tf.linalg.matmul(left, right).numpy()
    except tf.errors.OpError:
        return False
    return bool(np.array_equal(product, left @ right))


if __name__ == "__main__":
    sys.exit(0 if computes() else 1)
