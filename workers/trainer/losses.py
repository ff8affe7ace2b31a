# ruff: noqa: N803 — names end in their shape (see the key below)
"""Losses, one number a row, in TensorFlow.

Shapes: B rows of a batch, K members, C classes or labels, V values; outputs are (B, C) or (B, K, C), with V alike.
"""

from dataclasses import dataclass
from typing import Any

import tensorflow as tf

from workers.trainer.task import EPSILON, Task

# Lin et al. (2017), section 3.2: the focus that worked best.
FOCAL_GAMMA = 2.0
# Huber's bend, in standard deviations of the target; 1.345 is 95 % efficient on normal errors (Huber 1981).
HUBER_DELTA = 1.345

_NAMES: dict[Task, dict[str, str]] = {
    "classification": {
        "auto": "cross_entropy",
        "cross_entropy": "cross_entropy",
        "sparse_categorical_crossentropy": "cross_entropy",
        "categorical_crossentropy": "cross_entropy",
        "binary_crossentropy": "cross_entropy",
        # Of one true class, the divergence is the cross-entropy.
        "kl_divergence": "cross_entropy",
        "focal": "focal",
        "categorical_focal_crossentropy": "focal",
        "binary_focal_crossentropy": "focal",
        "mean_squared_error": "brier",
        "brier": "brier",
        "categorical_hinge": "hinge",
        "hinge": "hinge",
    },
    "multilabel": {
        "auto": "cross_entropy",
        "cross_entropy": "cross_entropy",
        "binary_crossentropy": "cross_entropy",
        "focal": "focal",
        "binary_focal_crossentropy": "focal",
        "mean_squared_error": "brier",
        "brier": "brier",
    },
    "regression": {
        "auto": "mean_squared_error",
        "mean_squared_error": "mean_squared_error",
        "mse": "mean_squared_error",
        "mean_absolute_error": "mean_absolute_error",
        "mae": "mean_absolute_error",
        "huber": "huber",
        "log_cosh": "log_cosh",
    },
}


def loss_name(name: str, task: Task) -> str:
    """Return the one name of a loss that several names stand for; ValueError when the task has none of that name."""
    names = _NAMES[task]
    if name not in names:
        raise ValueError(f"training.loss: {task} has no loss {name!r}; it has {', '.join(sorted(names))}")
    return names[name]


@dataclass(frozen=True)
class Objective:
    """What is minimised, a number a row, averaged over members."""

    name: str
    task: Task
    label_smoothing: float = 0.0

    def rows(self, target: Any, outputs: Any, from_logits: bool, smooth: bool) -> Any:
        """Return (B,) losses in float32; `smooth`: with label smoothing (training only)."""
        outputs = tf.cast(outputs, tf.float32)
        smoothing = self.label_smoothing if smooth else 0.0
        if self.task == "classification":
            losses = _of_classes(self.name, target, outputs, from_logits, smoothing)
        elif self.task == "multilabel":
            losses = _of_labels(self.name, target, outputs, from_logits, smoothing)
        else:
            losses = _of_values(self.name, target, outputs)
        return tf.reduce_mean(losses, axis=1) if losses.shape.rank == 2 else losses


def _of_classes(name: str, target_B: Any, outputs: Any, from_logits: bool, smoothing: float) -> Any:
    """Losses of one true class: (B,) or (B, K)."""
    if outputs.shape.rank == 3:
        target = tf.repeat(target_B[:, None], tf.shape(outputs)[1], axis=1)
    else:
        target = target_B
    if name == "cross_entropy" and from_logits and not smoothing:
        return tf.nn.sparse_softmax_cross_entropy_with_logits(target, outputs)
    log_p = tf.nn.log_softmax(outputs) if from_logits else tf.math.log(tf.clip_by_value(outputs, EPSILON, 1.0))
    truth = tf.one_hot(target, outputs.shape[-1])
    if smoothing:
        truth = truth * (1.0 - smoothing) + smoothing / outputs.shape[-1]
    if name == "focal":
        return -tf.reduce_sum(truth * (1.0 - tf.exp(log_p)) ** FOCAL_GAMMA * log_p, axis=-1)
    if name == "brier":
        return tf.reduce_sum((tf.exp(log_p) - truth) ** 2, axis=-1)
    if name == "hinge":
        # Crammer & Singer (2001): on what the network gives; logarithms of probabilities differ from it by a constant.
        own = tf.reduce_sum(truth * log_p, axis=-1)
        other = tf.reduce_max(log_p - 1e9 * tf.one_hot(target, outputs.shape[-1]), axis=-1)
        return tf.nn.relu(1.0 + other - own)
    return -tf.reduce_sum(truth * log_p, axis=-1)


def _of_labels(name: str, target_BC: Any, outputs: Any, from_logits: bool, smoothing: float) -> Any:
    """Losses of independent labels, averaged over them: (B,) or (B, K)."""
    truth = tf.cast(target_BC, tf.float32)
    if outputs.shape.rank == 3:
        truth = truth[:, None, :]
    if smoothing:
        truth = truth * (1.0 - smoothing) + 0.5 * smoothing
    if from_logits:
        log_p, log_q = tf.math.log_sigmoid(outputs), tf.math.log_sigmoid(-outputs)
    else:
        clipped = tf.clip_by_value(outputs, EPSILON, 1.0 - EPSILON)
        log_p, log_q = tf.math.log(clipped), tf.math.log(1.0 - clipped)
    if name == "brier":
        losses = (tf.exp(log_p) - truth) ** 2
    elif name == "focal":
        losses = -(truth * tf.exp(FOCAL_GAMMA * log_q) * log_p + (1.0 - truth) * tf.exp(FOCAL_GAMMA * log_p) * log_q)
    else:
        losses = -(truth * log_p + (1.0 - truth) * log_q)
    return tf.reduce_mean(losses, axis=-1)


def _of_values(name: str, target_BV: Any, outputs: Any) -> Any:
    """Losses of standardised values, averaged over them: (B,) or (B, K)."""
    truth = tf.cast(target_BV, tf.float32)
    # Members see the same values.
    error = outputs - (truth if outputs.shape.rank == 2 else truth[:, None, :])
    if name == "mean_absolute_error":
        losses = tf.abs(error)
    elif name == "huber":
        size = tf.abs(error)
        losses = tf.where(size <= HUBER_DELTA, 0.5 * error**2, HUBER_DELTA * (size - 0.5 * HUBER_DELTA))
    elif name == "log_cosh":
        losses = error + tf.nn.softplus(-2.0 * error) - tf.math.log(2.0)
    else:
        losses = error**2
    return tf.reduce_mean(losses, axis=-1)
