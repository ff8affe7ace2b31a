"""Every layer and activation that a list of layers may have trains, becomes ONNX and says there what Keras says."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from app.recipes.layer_rules import LAYERS, SPECIAL
from app.recipes.layer_values import ACTIVATIONS
from tests.trainer.orders import Sink, order_of, parsed
from workers.trainer.loop_plan import XLA_LAYERS, Execution

pytestmark = pytest.mark.recipes


def layer(name: str, **config: Any) -> dict[str, Any]:
    return {"class_name": name, "config": config}


FLAT = [layer("Flatten"), layer("Dense", units=3, activation="softmax")]
AS_IMAGE = layer("Reshape", target_shape=[4, 4, 1])
AS_SEQUENCE = layer("Reshape", target_shape=[8, 2])
CHAINS: dict[str, list[dict[str, Any]]] = {
    "dense": [
        layer("InputLayer", shape=[16]),
        layer("Rescaling", scale=0.5, offset=0.1),
        layer("Dense", units=8, activation="gelu", kernel_regularizer={"class_name": "L2", "config": {"l2": 0.01}}),
        layer("BatchNormalization"),
        layer("ReLU"),
        layer("Dense", units=8),
        layer("LayerNormalization"),
        layer("LeakyReLU"),
        layer("PReLU"),
        layer("Dense", units=8),
        layer("ELU"),
        layer("Dense", units=3),
        layer("Softmax"),
    ],
    "activations": [
        *[one for name in ACTIVATIONS for one in (layer("Dense", units=6), layer("Activation", activation=name))],
        layer("Dense", units=3, activation="softmax"),
    ],
    "noise": [
        layer("Dense", units=8, activation="relu"),
        layer("Dropout", rate=0.1),
        layer("AlphaDropout", rate=0.1),
        layer("GaussianDropout", rate=0.1),
        layer("GaussianNoise", stddev=0.1),
        *FLAT[1:],
    ],
    "image": [
        layer("UnitNormalization"),
        AS_IMAGE,
        layer("Conv2D", filters=4, kernel_size=[3, 3], padding="same", activation="relu"),
        layer("GroupNormalization", groups=2),
        layer("SpatialDropout2D", rate=0.1),
        layer("DepthwiseConv2D", kernel_size=[3, 3], padding="same"),
        layer("BatchNormalization"),
        layer("SeparableConv2D", filters=4, kernel_size=[2, 2], padding="same"),
        layer("MaxPooling2D"),
        layer("AveragePooling2D", pool_size=[2, 2]),
        *FLAT,
    ],
    "image-global": [
        AS_IMAGE,
        layer("Conv2D", filters=4, kernel_size=[2, 2], strides=[2, 2]),
        layer("GlobalMaxPooling2D"),
        layer("Reshape", target_shape=[2, 2, 1]),
        layer("Conv2D", filters=4, kernel_size=[2, 2], padding="same", dilation_rate=[2, 2]),
        layer("GlobalAveragePooling2D"),
        *FLAT[1:],
    ],
    "sequence": [
        AS_SEQUENCE,
        layer("Conv1D", filters=4, kernel_size=[3], padding="causal", activation="relu"),
        layer("SpatialDropout1D", rate=0.1),
        layer("DepthwiseConv1D", kernel_size=[3], padding="same"),
        layer("SeparableConv1D", filters=4, kernel_size=[3], padding="same"),
        layer("MaxPooling1D"),
        layer("AveragePooling1D", pool_size=[2], padding="same"),
        layer("Permute", dims=[2, 1]),
        layer("GlobalMaxPooling1D"),
        layer("RepeatVector", n=3),
        layer("GlobalAveragePooling1D"),
        *FLAT[1:],
    ],
    "recurrent": [
        AS_SEQUENCE,
        layer("LSTM", units=4, return_sequences=True),
        layer("GRU", units=4, return_sequences=True),
        layer("Bidirectional", layer=layer("LSTM", units=3, return_sequences=True)),
        layer("SimpleRNN", units=4),
        *FLAT[1:],
    ],
}


def table_csv() -> str:
    rng = np.random.default_rng(0)
    numbers = rng.normal(size=(120, 16)).round(3)
    names = ",".join(f"n{index}" for index in range(16))
    kinds = np.array(["a", "b", "c"])[numbers[:, :3].argmax(axis=1)]
    lines = [",".join([*map(str, row), kind]) for row, kind in zip(numbers.tolist(), kinds, strict=True)]
    return "\n".join([f"{names},kind", *lines]) + "\n"


COMPILED = [chain for chain in CHAINS if all(one["class_name"] in XLA_LAYERS for one in CHAINS[chain])]


@pytest.mark.parametrize(
    ("chain", "execution"), [*((chain, "graph") for chain in CHAINS), *((chain, "xla") for chain in COMPILED)]
)
def test_a_list_of_layers_trains_and_is_served(tmp_path: Path, chain: str, execution: Execution) -> None:
    from workers.trainer.assembly import prepare_job
    from workers.trainer.control import Control
    from workers.trainer.reports import Reports

    params = {"architecture": {"type": "layers", "layers": CHAINS[chain]}}
    training = {"epochs": 2, "batch_size": 32, "regularization": {"l2": 0.001}}
    order = order_of(tmp_path, table_csv(), "tabular-classification", "kind", params=params, training=training)
    sink = Sink()
    prepare_job(parsed(order), Reports(sink), Control(None), execution).run()
    assert sink.lines[-1]["type"] == "done", sink.lines[-1]
    losses = [row["values"]["loss"] for row in sink.of("metrics")]
    assert np.isfinite(losses).all()


def test_no_layer_is_left_out() -> None:
    assert {"dense", "activations"} == set(COMPILED)
    used = {one["class_name"] for chain in CHAINS.values() for one in chain}
    assert used == {*LAYERS, *SPECIAL}
