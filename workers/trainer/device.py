"""What the trainer runs on: threads, determinism, precision, and the fingerprint that says so."""

import os
import platform
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from app import RELEASE
from workers.trainer.reports import Reports

# Tensor cores: float16 from Volta on, bfloat16 from Ampere on (NVIDIA's compute capabilities).
_LEAST_CAPABILITY = {"mixed_float16": (7, 0), "mixed_bfloat16": (8, 0)}


def set_up(threads: int, seed: int) -> None:
    """Fix threads, seeds and the order of sums, so that two runs on one CPU give the same bits.

    Thread counts can be set only before the first operation of a process; later the ones in use stay.
    """
    intra, inter = tf.config.threading.get_intra_op_parallelism_threads, 1
    if intra() != threads:
        try:
            tf.config.threading.set_intra_op_parallelism_threads(threads)
            tf.config.threading.set_inter_op_parallelism_threads(inter)
        except RuntimeError:
            # The fingerprint says what is in use.
            pass
    keras.utils.set_random_seed(seed)
    tf.config.experimental.enable_op_determinism()
    for gpu in tf.config.list_physical_devices("GPU"):
        try:
            tf.config.experimental.set_memory_growth(gpu, True)
        except RuntimeError:
            break


def choose_precision(wish: str, reports: Reports) -> str:
    """Set and return the precision: the one asked for where the device has it, else float32 (said as an event)."""
    policy = wish
    if wish == "auto":
        policy = "mixed_bfloat16" if _has("mixed_bfloat16") else "float32"
    elif wish != "float32" and not _has(wish):
        policy = "float32"
        reports.event("precision", asked=wish, used=policy, reason="the device has no fast arithmetic of that kind")
    keras.mixed_precision.set_global_policy(policy)
    return policy


def fingerprint(threads: int, precision: str) -> dict[str, Any]:
    """Return what the bits of a run depend on, besides the order and the data."""
    details = [tf.config.experimental.get_device_details(gpu) for gpu in tf.config.list_physical_devices("GPU")]
    return {
        "release": RELEASE,
        "python": platform.python_version(),
        "tensorflow": tf.__version__,
        "keras": keras.__version__,
        "numpy": np.__version__,
        "machine": platform.machine(),
        "devices": [found.get("device_name", "GPU") for found in details] or ["CPU"],
        "threads": tf.config.threading.get_intra_op_parallelism_threads() or threads,
        "onednn": os.environ.get("TF_ENABLE_ONEDNN_OPTS", "1") != "0",
        "deterministic": True,
        "precision": precision,
    }


def _has(policy: str) -> bool:
    gpus = tf.config.list_physical_devices("GPU")
    capabilities = [tf.config.experimental.get_device_details(gpu).get("compute_capability", (0, 0)) for gpu in gpus]
    return bool(gpus) and all(tuple(found) >= _LEAST_CAPABILITY[policy] for found in capabilities)


def scale_losses(optimizer: Any, variables: list[Any]) -> Any:
    """Return the optimizer within one that scales losses, so that small float16 gradients are not lost."""
    scaled = keras.optimizers.LossScaleOptimizer(optimizer)
    scaled.build(variables)
    return scaled
