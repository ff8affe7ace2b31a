"""Optimizers and schedules: which fields each has, and their defaults (Keras 3.15's, where the recipe has none)."""

from typing import Any

from app.core.errors import Unprocessable
from app.recipes.request import Optimizer, Schedule

# Fields that every optimizer has; None: off.
COMMON: dict[str, Any] = {
    "weight_decay": None,
    "clipnorm": None,
    "global_clipnorm": None,
    "clipvalue": None,
    "ema_momentum": None,
}
_ADAM: dict[str, Any] = {"learning_rate": 1e-3, "beta_1": 0.9, "beta_2": 0.999, "epsilon": 1e-7}
OPTIMIZERS: dict[str, dict[str, Any]] = {
    "sgd": {"learning_rate": 1e-2, "momentum": 0.0, "nesterov": False},
    "adagrad": {"learning_rate": 1e-2, "initial_accumulator_value": 0.1, "epsilon": 1e-7},
    "rmsprop": {"learning_rate": 1e-3, "rho": 0.9, "momentum": 0.0, "epsilon": 1e-7, "centered": False},
    "adam": {**_ADAM, "amsgrad": False},
    "adamw": {**_ADAM, "amsgrad": False, "weight_decay": 4e-3},
    "adadelta": {"learning_rate": 1.0, "rho": 0.95, "epsilon": 1e-7},
    "adamax": _ADAM,
    "nadam": _ADAM,
    "lion": {"learning_rate": 1e-4, "beta_1": 0.9, "beta_2": 0.99},
    "adafactor": {"learning_rate": 1e-2},
    "ftrl": {"learning_rate": 1e-2, "initial_accumulator_value": 0.1},
    "lamb": _ADAM,
    "muon": {**_ADAM, "momentum": 0.95, "nesterov": True, "weight_decay": 4e-3},
}
# Fields of each schedule besides name and warm-up.
SCHEDULES: dict[str, dict[str, Any]] = {
    "constant": {},
    "linear": {"end_ratio": 0.0},
    "cosine": {"end_ratio": 0.0},
    "exponential": {"decay_rate": 0.95, "decay_epochs": 1.0},
    "step": {"decay_rate": 0.1, "decay_epochs": None},
    "slanted-triangular": {},
}
_CLIPS = ("clipnorm", "global_clipnorm", "clipvalue")


def resolve_optimizer(asked: Optimizer | None, default: dict[str, Any]) -> dict[str, Any]:
    """Return an optimizer with every field it has set.

    The recipe's learning rate and decay stand where the request names the same optimizer, or none. Raises
    Unprocessable for a field that the named optimizer does not have.
    """
    given = asked.model_dump(exclude_none=True) if asked is not None else {}
    name = given.pop("name", default["name"]) if asked is None or "name" in asked.model_fields_set else default["name"]
    given.pop("name", None)
    fields = {**COMMON, **OPTIMIZERS[name]}
    if name == default["name"]:
        fields.update({key: value for key, value in default.items() if key != "name"})
    for key in given:
        if key not in fields:
            raise Unprocessable(
                f"training.optimizer.{key}: {name} has no {key}. It has {', '.join(sorted(fields))}.",
                param=f"training.optimizer.{key}",
            )
    clips = [key for key in _CLIPS if key in given]
    if len(clips) > 1:
        raise Unprocessable(
            f"training.optimizer: {' and '.join(clips)} exclude each other: give one of them.",
            param=f"training.optimizer.{clips[1]}",
        )
    if given.get("nesterov") and name == "sgd" and not given.get("momentum"):
        raise Unprocessable(
            "training.optimizer.nesterov: needs a momentum above 0.", param="training.optimizer.nesterov"
        )
    return {"name": name, **fields, **given}


def resolve_schedule(asked: Schedule | None, default: dict[str, Any], epochs: int) -> dict[str, Any]:
    """Return a schedule with every field it has set. Raises Unprocessable for a field that it does not have."""
    chosen = asked or Schedule(**default)
    given = chosen.model_dump(exclude_none=True, exclude={"name", "warmup_ratio", "warmup_steps"})
    fields = dict(SCHEDULES[chosen.name])
    for key in given:
        if key not in fields:
            has = ", ".join(["warmup_ratio", "warmup_steps", *fields])
            raise Unprocessable(
                f"training.schedule.{key}: {chosen.name} has no {key}. It has {has}.", param=f"training.schedule.{key}"
            )
    if chosen.warmup_ratio and chosen.warmup_steps is not None:
        raise Unprocessable(
            "training.schedule: warmup_ratio and warmup_steps exclude each other.",
            param="training.schedule.warmup_steps",
        )
    if chosen.name == "step":
        fields["decay_epochs"] = max(1.0, epochs / 3)
    warmup = 0.1 if chosen.name == "slanted-triangular" and "warmup_ratio" not in chosen.model_fields_set else None
    if chosen.warmup_steps is not None:
        warmup = 0.0
    ratio = chosen.warmup_ratio if warmup is None else warmup
    return {
        "name": chosen.name,
        "warmup_ratio": ratio,
        "warmup_steps": chosen.warmup_steps,
        **fields,
        **given,
    }
