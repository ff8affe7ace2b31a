"""Writes model files in the formats of Keras 1 and of Keras 2.0 to 2.2, which cannot be installed any more.

Formats as those versions' sources fix them: `model_config` of Keras 1 with its own argument names, a weight array for
each gate of a recurrent layer, channels-first kernels as (filters, channels, rows, columns), CuDNN layers with every
gate's kernel transposed and two biases.
"""

import json
from pathlib import Path
from typing import Any

import h5py
import numpy as np

Arrays = list[np.ndarray[Any, Any]]


def write_h5(path: Path, config: Any, version: str, weights: dict[str, Arrays], backend: str = "tensorflow") -> Path:
    """Write a whole model; without `config` its weights alone."""
    with h5py.File(path, "w") as file:
        group = file
        if config is not None:
            file.attrs["model_config"] = json.dumps(config).encode()
            group = file.create_group("model_weights")
        for place in {file, group}:
            place.attrs["keras_version"] = version.encode()
            place.attrs["backend"] = backend.encode()
        group.attrs["layer_names"] = [name.encode() for name in weights]
        for name, arrays in weights.items():
            layer = group.create_group(name)
            names = [f"{name}/weight_{number}:0".encode() for number in range(len(arrays))]
            layer.attrs["weight_names"] = names
            for stored, values in zip(names, arrays, strict=True):
                layer.create_dataset(stored.decode(), data=values.astype("float32"))
    return path


def hard_sigmoid(x: Any) -> Any:
    return np.clip(0.2 * x + 0.5, 0.0, 1.0)


def sigmoid(x: Any) -> Any:
    return 1.0 / (1.0 + np.exp(-x))


def run_lstm(x: Any, gates: dict[str, tuple[Any, Any, Any]], inner: Any) -> Any:
    """Return the last output of an LSTM with (kernel, recurrent kernel, bias) for each of the gates i, f, c, o."""
    units = gates["i"][0].shape[1]
    h = c = np.zeros((len(x), units))
    for step in range(x.shape[1]):
        z = {gate: x[:, step] @ w + h @ u + b for gate, (w, u, b) in gates.items()}
        c = inner(z["f"]) * c + inner(z["i"]) * np.tanh(z["c"])
        h = inner(z["o"]) * np.tanh(c)
    return h


def run_gru(
    x: Any, gates: dict[str, tuple[Any, Any, Any]], inner: Any, second_bias: dict[str, Any] | None = None
) -> Any:
    """Return the last output of a GRU with gates z, r, h; with a second bias the reset is applied after the product."""
    units = gates["z"][0].shape[1]
    h = np.zeros((len(x), units))
    for step in range(x.shape[1]):
        x_part = {gate: x[:, step] @ w + b for gate, (w, _, b) in gates.items()}
        u = {gate: recurrent for gate, (_, recurrent, _) in gates.items()}
        extra = second_bias or dict.fromkeys(gates, 0.0)
        z = inner(x_part["z"] + h @ u["z"] + extra["z"])
        r = inner(x_part["r"] + h @ u["r"] + extra["r"])
        if second_bias is None:
            candidate = np.tanh(x_part["h"] + (r * h) @ u["h"])
        else:
            candidate = np.tanh(x_part["h"] + r * (h @ u["h"] + extra["h"]))
        h = z * h + (1 - z) * candidate
    return h


def correlate(x: Any, kernel: Any) -> Any:
    """Slide a kernel (rows, columns, channels, filters) over images (B, rows, columns, channels), valid, stride 1."""
    rows, columns = kernel.shape[:2]
    out = np.zeros((len(x), x.shape[1] - rows + 1, x.shape[2] - columns + 1, kernel.shape[3]))
    for row in range(out.shape[1]):
        for column in range(out.shape[2]):
            out[:, row, column] = np.tensordot(x[:, row : row + rows, column : column + columns], kernel, 3)
    return out
