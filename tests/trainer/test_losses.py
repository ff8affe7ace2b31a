"""Losses against Keras' own, on the same numbers."""

from typing import Any

import numpy as np
import pytest

pytestmark = pytest.mark.recipes

ROWS, CLASSES, MEMBERS = 40, 5, 3


def rows(name: str, task: Any, target: np.ndarray, outputs: np.ndarray, logits: bool, smoothing: float = 0.0) -> Any:
    import tensorflow as tf

    from workers.trainer.losses import Objective, loss_name

    objective = Objective(loss_name(name, task), task, smoothing)
    return objective.rows(tf.constant(target), tf.constant(outputs), logits, smooth=True).numpy()


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


@pytest.mark.parametrize("logits", [True, False])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_losses_of_classes_are_those_of_keras(rng: np.random.Generator, logits: bool, smoothing: float) -> None:
    import keras

    target = rng.integers(0, CLASSES, ROWS).astype(np.int32)
    outputs = rng.normal(size=(ROWS, CLASSES)).astype(np.float32)
    if not logits:
        outputs = np.exp(outputs) / np.exp(outputs).sum(axis=1, keepdims=True)
    one_hot = np.eye(CLASSES, dtype=np.float32)[target]
    crossentropy = keras.losses.CategoricalCrossentropy(logits, label_smoothing=smoothing, reduction="none")
    found = rows("sparse_categorical_crossentropy", "classification", target, outputs, logits, smoothing)
    np.testing.assert_allclose(found, crossentropy(one_hot, outputs), rtol=2e-5)
    focal = keras.losses.CategoricalFocalCrossentropy(1.0, 2.0, logits, smoothing, reduction="none")
    found = rows("categorical_focal_crossentropy", "classification", target, outputs, logits, smoothing)
    np.testing.assert_allclose(found, focal(one_hot, outputs), rtol=2e-5)


@pytest.mark.parametrize("logits", [True, False])
def test_losses_of_labels_are_those_of_keras(rng: np.random.Generator, logits: bool) -> None:
    import keras

    target = (rng.random((ROWS, CLASSES)) < 0.4).astype(np.float32)
    outputs = rng.normal(size=(ROWS, CLASSES)).astype(np.float32)
    if not logits:
        outputs = 1.0 / (1.0 + np.exp(-outputs))
    crossentropy = keras.losses.BinaryCrossentropy(logits, label_smoothing=0.1, reduction="none")
    found = rows("binary_crossentropy", "multilabel", target, outputs, logits, 0.1)
    np.testing.assert_allclose(found, crossentropy(target, outputs), rtol=2e-5)
    focal = keras.losses.BinaryFocalCrossentropy(gamma=2.0, from_logits=logits, reduction="none")
    found = rows("focal", "multilabel", target, outputs, logits)
    np.testing.assert_allclose(found, focal(target, outputs), rtol=2e-5)


def test_losses_of_values_are_those_of_keras(rng: np.random.Generator) -> None:
    import keras

    from workers.trainer.losses import HUBER_DELTA

    target = rng.normal(size=(ROWS, 1)).astype(np.float32)
    outputs = 3.0 * rng.normal(size=(ROWS, 1)).astype(np.float32)
    expected = {
        "auto": keras.losses.MeanSquaredError(reduction="none"),
        "mae": keras.losses.MeanAbsoluteError(reduction="none"),
        "huber": keras.losses.Huber(HUBER_DELTA, reduction="none"),
        "log_cosh": keras.losses.LogCosh(reduction="none"),
    }
    for name, loss in expected.items():
        np.testing.assert_allclose(rows(name, "regression", target, outputs, False), loss(target, outputs), rtol=1e-4)


@pytest.mark.parametrize("task", ["classification", "multilabel", "regression"])
def test_the_loss_of_members_is_the_mean_of_their_losses(rng: np.random.Generator, task: Any) -> None:
    outputs = rng.normal(size=(ROWS, MEMBERS, CLASSES)).astype(np.float32)
    target = {
        "classification": rng.integers(0, CLASSES, ROWS).astype(np.int32),
        "multilabel": (rng.random((ROWS, CLASSES)) < 0.4).astype(np.float32),
        "regression": rng.normal(size=(ROWS, CLASSES)).astype(np.float32),
    }[task]
    alone = [rows("auto", task, target, outputs[:, member], True) for member in range(MEMBERS)]
    np.testing.assert_allclose(rows("auto", task, target, outputs, True), np.mean(alone, axis=0), rtol=1e-5)


def test_a_loss_of_another_task_is_refused_by_name() -> None:
    from workers.trainer.losses import loss_name

    with pytest.raises(ValueError, match="regression has no loss 'focal'"):
        loss_name("focal", "regression")
