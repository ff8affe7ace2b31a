"""The `training` part of a request with every field set, checked against the task and the number of rows."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from app.core.errors import Unprocessable
from app.preprocessing.findings import warn
from app.preprocessing.labels import label_key
from app.recipes.objectives import metrics_of, resolve_loss, resolve_metrics
from app.recipes.optimizers import resolve_optimizer, resolve_schedule
from app.recipes.request import Regularization, Training


@dataclass(frozen=True)
class Facts:
    """What the checks of `training` need to know of the job: the rows are those of the training split."""

    task: str
    multilabel: bool
    labels: Sequence[object]
    rows: int
    has_validation: bool
    architecture: Mapping[str, Any]


def resolve_training(
    asked: Training, defaults: Mapping[str, Any], facts: Facts
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Return `training` with every field set, and warnings. Raises Unprocessable for what does not fit."""
    epochs = asked.epochs or int(defaults["epochs"])
    metrics = resolve_metrics(asked.metrics, facts.task, facts.multilabel)
    batch_size, warnings = _batch_size(asked, defaults, facts)
    batches = -(-facts.rows // batch_size)
    if asked.gradient_accumulation_steps > batches * epochs:
        raise Unprocessable(
            f"training.gradient_accumulation_steps: {asked.gradient_accumulation_steps} is more than the "
            f"{batches * epochs} batches of the whole job; nothing would be learned.",
            param="training.gradient_accumulation_steps",
        )
    return {
        "epochs": epochs,
        "batch_size": batch_size,
        "gradient_accumulation_steps": asked.gradient_accumulation_steps,
        "optimizer": resolve_optimizer(asked.optimizer, dict(defaults["optimizer"])),
        "schedule": resolve_schedule(asked.schedule, dict(defaults["schedule"]), epochs),
        "loss": resolve_loss(asked.loss, facts.task, facts.multilabel, len(facts.labels)),
        "metrics": metrics,
        "class_weight": _class_weight(asked, facts),
        "regularization": _regularization(asked.regularization, defaults, facts),
        "early_stopping": _early_stopping(asked, defaults, facts, metrics),
        "precision": asked.precision,
        "seed": asked.seed,
        "max_seconds": asked.max_seconds,
    }, warnings


def _batch_size(asked: Training, defaults: Mapping[str, Any], facts: Facts) -> tuple[int, list[dict[str, Any]]]:
    batch_size = asked.batch_size or int(defaults["batch_size"])
    if batch_size <= facts.rows:
        return batch_size, []
    if asked.batch_size is None:
        return facts.rows, []
    message = (
        f"A batch of {batch_size} is larger than the {facts.rows} training rows: each epoch is one batch of all rows."
    )
    return facts.rows, [warn("batch_size_reduced", message, None, asked=batch_size, rows=facts.rows)]


def _class_weight(asked: Training, facts: Facts) -> Any:
    weights = asked.class_weight
    if weights is None:
        return None
    param = "training.class_weight"
    if facts.task == "regression":
        raise Unprocessable(f"{param}: a regression has no classes; use columns.weight.", param=param)
    if weights == "balanced":
        if facts.multilabel:
            raise Unprocessable(f"{param}: with several labels give a weight for each label.", param=param)
        return weights
    assert isinstance(weights, dict)  # noqa: S101 — the other branch of the field's type
    known = [label_key(label) for label in facts.labels]
    for key in weights:
        if key not in known:
            raise Unprocessable(
                f"{param}.{key}: there is no such class. Classes: {', '.join(known[:50])}.", param=f"{param}.{key}"
            )
    if not any(weights.get(key, 1.0) > 0 for key in known):
        raise Unprocessable(f"{param}: all weights are 0; nothing would be learned.", param=param)
    return dict(weights)


def _regularization(asked: Regularization, defaults: Mapping[str, Any], facts: Facts) -> dict[str, Any]:
    if asked.dropout is not None and facts.architecture["type"] == "layers":
        raise Unprocessable(
            "training.regularization.dropout: a list of layers has its own Dropout layers; set their rate.",
            param="training.regularization.dropout",
        )
    if asked.label_smoothing and facts.task == "regression":
        raise Unprocessable(
            "training.regularization.label_smoothing: a regression has no labels.",
            param="training.regularization.label_smoothing",
        )
    smoothing = asked.label_smoothing
    if smoothing is None:
        smoothing = float(defaults.get("label_smoothing", 0.0))
    dropout = facts.architecture.get("dropout", 0.0)
    l2 = asked.l2 if "l2" in asked.model_fields_set else float(defaults.get("l2", 0.0))
    return {**asked.model_dump(), "l2": l2, "label_smoothing": smoothing, "dropout": dropout}


def _early_stopping(
    asked: Training, defaults: Mapping[str, Any], facts: Facts, metrics: list[str]
) -> dict[str, Any] | None:
    param = "training.early_stopping.monitor"
    if asked.early_stopping is False:
        return None
    if asked.early_stopping is None:
        if defaults["patience"] is None or not facts.has_validation:
            return None
        return {"monitor": "val_loss", "patience": int(defaults["patience"]), "min_delta": 0.0, "restore_best": True}
    stopping = asked.early_stopping.model_dump()
    prefix, name = (
        ("val_", stopping["monitor"][4:]) if stopping["monitor"].startswith("val_") else ("", stopping["monitor"])
    )
    known = metrics_of(facts.task, facts.multilabel)
    own = known.get(name, name)
    if own != "loss" and own not in metrics:
        choices = ["loss", *metrics]
        raise Unprocessable(
            f"{param}: '{stopping['monitor']}' is not measured. Choose one of "
            f"{', '.join([f'val_{choice}' for choice in choices] + choices)}, or add it to training.metrics.",
            param=param,
        )
    if prefix and not facts.has_validation:
        raise Unprocessable(
            f"{param}: '{stopping['monitor']}' needs a validation split; preprocessing.split.validation is 0.",
            param=param,
        )
    return {**stopping, "monitor": prefix + own}
