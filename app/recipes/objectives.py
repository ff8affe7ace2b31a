"""Losses and metrics by name: what each task may use. Keras' names and the short ones are both understood."""

from app.core.errors import Unprocessable

TWO_CLASS_LOSSES = ("binary_crossentropy", "binary_focal_crossentropy", "hinge")
CLASS_LOSSES = (
    "sparse_categorical_crossentropy",
    "categorical_crossentropy",
    "cross_entropy",
    "kl_divergence",
    "categorical_focal_crossentropy",
    "focal",
    "brier",
    "mean_squared_error",
    "categorical_hinge",
)
LABELS_LOSSES = ("binary_crossentropy", "cross_entropy", "binary_focal_crossentropy", "focal", "brier")
VALUE_LOSSES = ("mean_squared_error", "mse", "mean_absolute_error", "mae", "huber", "log_cosh")

_SHARED_METRICS = {
    "accuracy": "accuracy",
    "acc": "accuracy",
    "precision": "precision",
    "recall": "recall",
    "f1": "f1",
    "f1_score": "f1",
    "auc": "roc_auc",
    "roc_auc": "roc_auc",
    "log_loss": "log_loss",
    "crossentropy": "log_loss",
    "binary_accuracy": "accuracy",
}
LABELS_METRICS = _SHARED_METRICS
CLASS_METRICS = {
    **_SHARED_METRICS,
    "sparse_categorical_accuracy": "accuracy",
    "categorical_accuracy": "accuracy",
    "balanced_accuracy": "balanced_accuracy",
    "top_3_accuracy": "top_3_accuracy",
    "top_5_accuracy": "top_5_accuracy",
}
VALUE_METRICS = {
    "mae": "mae",
    "mean_absolute_error": "mae",
    "mse": "mse",
    "mean_squared_error": "mse",
    "rmse": "rmse",
    "root_mean_squared_error": "rmse",
    "mape": "mape",
    "mean_absolute_percentage_error": "mape",
    "r2": "r2",
    "r2_score": "r2",
}


def losses_of(task: str, multilabel: bool, classes: int) -> tuple[str, ...]:
    """Return the losses that a task may use; the first is its usual one."""
    if task == "regression":
        return VALUE_LOSSES
    if multilabel:
        return LABELS_LOSSES
    return (*CLASS_LOSSES, *TWO_CLASS_LOSSES) if classes == 2 else CLASS_LOSSES


def metrics_of(task: str, multilabel: bool) -> dict[str, str]:
    """Return the metrics that a task may use, by every accepted name."""
    if task == "regression":
        return VALUE_METRICS
    return LABELS_METRICS if multilabel else CLASS_METRICS


def resolve_loss(asked: str, task: str, multilabel: bool, classes: int) -> str:
    """Return the name of a loss; "auto" is the task's usual one. Raises Unprocessable for one that does not fit."""
    known = losses_of(task, multilabel, classes)
    if asked == "auto":
        return known[0]
    if asked not in known:
        why = f"{classes} classes are too many for it" if asked in TWO_CLASS_LOSSES else "it does not fit"
        why = why if task == "classification" and not multilabel else "it does not fit"
        raise Unprocessable(
            f"training.loss: '{asked}': {why}. Choose one of auto, {', '.join(known)}.", param="training.loss"
        )
    return asked


def resolve_metrics(asked: list[str] | None, task: str, multilabel: bool) -> list[str]:
    """Return the metrics' own names. Raises Unprocessable for one that does not fit the task."""
    if asked is None:
        return ["mae", "rmse"] if task == "regression" else ["accuracy"]
    known = metrics_of(task, multilabel)
    for index, name in enumerate(asked):
        if name not in known:
            raise Unprocessable(
                f"training.metrics[{index}]: '{name}' does not fit. Choose from {', '.join(known)}.",
                param=f"training.metrics[{index}]",
            )
    return list(dict.fromkeys(known[name] for name in asked))
