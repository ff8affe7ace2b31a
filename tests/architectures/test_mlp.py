"""The dense network: every option builds, learns, is seeded, and answers the same from a file and from ONNX."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytestmark = pytest.mark.recipes

BASE: dict[str, Any] = {
    "type": "mlp",
    "units": [16, 16],
    "activation": "relu",
    "dropout": 0.1,
    "normalization": "none",
    "residual": False,
    "members": 4,
    "number_embeddings": {"type": "piecewise-linear", "bins": 8, "width": 4, "frequencies": 6, "sigma": 0.1},
    "category_embeddings": {"type": "embedding", "width": 3},
}
OPTIONS: list[dict[str, Any]] = [
    {},
    {"members": 1},
    {"residual": True, "units": [16, 16, 8, 8]},
    {"normalization": "batch"},
    {"normalization": "layer", "members": 1, "residual": True},
    {"activation": "gelu", "dropout": 0.0},
    {"number_embeddings": {"type": "none"}},
    {"number_embeddings": {**BASE["number_embeddings"], "type": "periodic"}},
    {"category_embeddings": {"type": "one-hot", "width": 3}},
]
ROWS = 64


def _names(options: dict[str, Any]) -> str:
    return ",".join(options) or "defaults"


def _rows(seed: int = 0) -> dict[str, np.ndarray[Any, Any]]:
    rng = np.random.default_rng(seed)
    return {
        "numbers": rng.normal(size=(ROWS, 3)).astype("float32"),
        "categories": np.stack([rng.integers(0, 4, ROWS), rng.integers(0, 6, ROWS)], axis=1).astype("int32"),
    }


def _inputs() -> Any:
    from workers.architectures.mlp import TabularInputs

    edges = tuple(np.linspace(-2.0, 2.0, bins + 1).tolist() for bins in (8, 8, 3))
    return TabularInputs(numbers=3, cardinalities=(4, 6), edges=edges)


def _build(options: dict[str, Any], outputs: int = 3, task: Any = "classification", seed: int = 1) -> Any:
    import keras

    from workers.architectures.mlp import build_mlp

    keras.utils.set_random_seed(seed)
    return build_mlp({**BASE, **options}, _inputs(), outputs, task)


@pytest.mark.parametrize("options", OPTIONS, ids=_names)
def test_every_option_gives_probabilities_that_a_file_and_onnx_repeat(options: dict[str, Any], tmp_path: Path) -> None:
    import keras
    import onnxruntime

    from workers.trainer.onnx_export import export_onnx

    built, rows = _build(options), _rows()
    answer = np.asarray(built.serving_model(rows))
    assert answer.shape == (ROWS, 3)
    np.testing.assert_allclose(answer.sum(axis=1), 1.0, atol=1e-5)

    built.serving_model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras", safe_mode=True)
    np.testing.assert_array_equal(np.asarray(again(rows)), answer)

    export_onnx(built.serving_model, tmp_path / "model.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx")
    for part in (slice(None), slice(5, 6)):
        (served,) = session.run(None, {name: column[part] for name, column in rows.items()})
        np.testing.assert_allclose(served, answer[part], atol=1e-5)


@pytest.mark.parametrize("options", [{}, {"members": 1}], ids=_names)
@pytest.mark.parametrize("task", ["classification", "multilabel", "regression"])
def test_the_served_answer_is_the_mean_of_what_each_member_says(options: dict[str, Any], task: str) -> None:
    built, rows = _build(options, 2, task), _rows()
    given = np.asarray(built.training_model(rows)).astype(np.float64)
    assert built.from_logits == (task != "regression")
    if task == "classification":
        given = np.exp(given) / np.exp(given).sum(axis=-1, keepdims=True)
    elif task == "multilabel":
        given = 1 / (1 + np.exp(-given))
    assert given.ndim == (2 if built.members == 1 else 3)
    expected = given if built.members == 1 else given.mean(axis=1)
    np.testing.assert_allclose(np.asarray(built.serving_model(rows)), expected, atol=1e-5)


def test_members_start_different_and_training_moves_each() -> None:
    import keras
    import tensorflow as tf

    built, rows = _build({"dropout": 0.0}), _rows()
    classes = (rows["numbers"][:, 0] > 0).astype("int32") + (rows["categories"][:, 0] == 2)
    first = np.asarray(built.training_model(rows))
    assert np.std(first, axis=1).min() > 0
    optimizer = keras.optimizers.AdamW(1e-2)
    variables = built.training_model.trainable_variables
    for _ in range(60):
        with tf.GradientTape() as tape:
            logits = built.training_model(rows, training=True)
            losses = tf.nn.sparse_softmax_cross_entropy_with_logits(tf.repeat(classes[:, None], 4, axis=1), logits)
            loss = tf.reduce_mean(losses)
        gradients = tape.gradient(loss, variables)
        assert all(gradient is not None for gradient in gradients)
        optimizer.apply_gradients(zip(gradients, variables, strict=True))
    each = np.asarray(built.training_model(rows)).argmax(axis=-1)
    assert (each == classes[:, None]).mean(axis=0).min() > 0.95


def test_the_global_seed_decides_the_first_weights() -> None:
    first, same, other = (_build({}, seed=seed).training_model.get_weights() for seed in (1, 1, 2))
    assert all(np.array_equal(a, b) for a, b in zip(first, same, strict=True))
    assert not all(np.array_equal(a, b) for a, b in zip(first, other, strict=True))


def test_a_row_alone_is_the_row_in_a_batch() -> None:
    built, rows = _build({}), _rows()
    together = np.asarray(built.serving_model(rows))
    alone = np.asarray(built.serving_model({name: column[7:8] for name, column in rows.items()}))
    np.testing.assert_allclose(alone[0], together[7], atol=1e-6)


def test_tables_of_one_kind_of_column_and_arrays_need_nothing_else() -> None:
    import keras

    from workers.architectures.mlp import TabularInputs, build_mlp

    rows = _rows()
    keras.utils.set_random_seed(1)
    only_categories = build_mlp(BASE, TabularInputs(cardinalities=(4, 6)), 2, "classification")
    assert only_categories.serving_model({"categories": rows["categories"]}).shape == (ROWS, 2)
    array = build_mlp(BASE, TabularInputs(array=(5, 2)), 2, "classification")
    assert array.serving_model({"x": np.zeros((ROWS, 5, 2), "float32")}).shape == (ROWS, 2)


def test_a_wide_table_pays_for_its_first_layer_once() -> None:
    import keras

    from workers.architectures.mlp import TabularInputs, build_mlp

    keras.utils.set_random_seed(1)
    built = build_mlp(BASE, TabularInputs(array=(600,)), 3, "classification")
    names = [weight.path.split("/", 1)[0] + "/" + weight.name for weight in built.training_model.weights]
    assert "dense_0/inner_scale" not in names
    assert "dense_1/inner_scale" in names
    given = np.asarray(built.training_model({"x": np.random.default_rng(0).normal(size=(5, 600)).astype("float32")}))
    assert np.std(given, axis=1).min() > 0
