"""A trainer that fits three layers on random rows and reports a digest of the weights."""

import hashlib
import json
from typing import BinaryIO

import keras
import numpy as np

from workers.trainer.order import Order


def run(order: Order, reports: BinaryIO, control: int) -> int:
    keras.utils.set_random_seed(3)
    model = keras.Sequential([keras.layers.Input((4,)), keras.layers.Dense(8, "relu"), keras.layers.Dense(1)])
    model.compile("adam", "mse")
    rng = np.random.default_rng(3)
    model.fit(rng.normal(size=(64, 4)), rng.normal(size=(64, 1)), epochs=2, batch_size=8, shuffle=False, verbose=0)
    digest = hashlib.sha256(b"".join(np.ascontiguousarray(w).tobytes() for w in model.get_weights())).hexdigest()
    reports.write(json.dumps({"type": "event", "name": "fitted", "digest": digest}).encode() + b"\n")
    return 0
