"""`fit.verdict`: what the curves of training and validation say, and what to try (API.md §4)."""

import math
from dataclasses import dataclass
from typing import Any, Literal

Verdict = Literal["healthy", "overfitting", "underfitting", "diverged", "unknown"]

# Judgements, each a share of what there was to learn (the loss of guessing, less the best validation loss):
# above this gap between training and validation at the best epoch the network knows the rows rather than the rule.
OVERFIT_GAP = 0.5
# Validation loss that rose by this after its best while training loss kept falling says the same.
OVERFIT_RISE = 0.25
# Less than this learned of what guessing leaves: too little.
UNDERFIT_LEARNED = 0.1
# Validation still falling by more than this share over the last fifth of the epochs: stopped too early.
STILL_FALLING = 0.02
# Training loss this many times that of guessing, and of its own best, has run away, if not to infinity yet.
DIVERGED_RISE = 2.0
SLOWER = "Lower the learning rate, or clip gradients (optimizer.global_clipnorm: 1.0)."


@dataclass(frozen=True)
class Curves:
    """Figures of a finished fit; losses without noise, smoothing and penalties.

    `train` and `validation` are the losses at the best epoch, taken in the same way (inference); `guess` is the loss
    of always answering the shares of the classes, or the mean, of the training split. `train_curve` and
    `validation_curve` hold one loss an epoch; `stopped_early`: whether patience ended the fit.
    """

    train: float
    validation: float | None
    guess: float | None
    train_curve: list[float]
    validation_curve: list[float]
    best_epoch: int
    stopped_early: bool


def judge(curves: Curves) -> dict[str, Any]:
    """Return `{"verdict", "reason", "advice", "gap", "best_epoch"}`."""
    verdict, reason, advice = _judge(curves)
    gap = None if curves.validation is None else curves.validation - curves.train
    if gap is not None and not math.isfinite(gap):
        gap = None
    return {"verdict": verdict, "reason": reason, "advice": advice, "gap": gap, "best_epoch": curves.best_epoch}


def diverged_fit(epoch: int, best_epoch: int) -> dict[str, Any]:
    """Return the `fit` of a job whose loss left the finite numbers."""
    return {
        "verdict": "diverged",
        "reason": f"The loss was no longer a finite number in epoch {epoch}.",
        "advice": SLOWER,
        "gap": None,
        "best_epoch": best_epoch,
    }


def _judge(curves: Curves) -> tuple[Verdict, str, str]:
    train, validation, guess = curves.train, curves.validation, curves.guess
    if validation is None or not curves.validation_curve:
        return "unknown", "There is no validation split to compare with.", "Give split.validation a share."
    if not math.isfinite(train) or not math.isfinite(validation):
        return (
            "diverged",
            f"The losses at the best epoch are not finite (training {train:.4g}, validation {validation:.4g}).",
            SLOWER,
        )
    if guess is not None and curves.train_curve[-1] > DIVERGED_RISE * max(guess, min(curves.train_curve)):
        return (
            "diverged",
            f"Training loss ended at {curves.train_curve[-1]:.4g}, far above {min(curves.train_curve):.4g}, its best, "
            f"and above {guess:.4g}, that of always guessing the average.",
            SLOWER,
        )
    scale = max(guess - validation, guess * UNDERFIT_LEARNED, 1e-6) if guess else max(abs(validation), 1e-6)
    figures = f"At epoch {curves.best_epoch} the loss is {train:.4g} in training and {validation:.4g} in validation"
    if guess is not None and train > guess * (1.0 - UNDERFIT_LEARNED):
        return (
            "underfitting",
            f"{figures}; always guessing the average gives {guess:.4g}.",
            "Train longer or with a higher learning rate, use more units or layers, less dropout and weaker penalties, "
            "and check that the inputs can tell the target at all.",
        )
    best = max(curves.best_epoch - 1, 0)
    rise = (curves.validation_curve[-1] - curves.validation_curve[best]) / scale
    fell_on = curves.train_curve[-1] < curves.train_curve[best]
    gap = (validation - train) / scale
    if gap > OVERFIT_GAP or (rise > OVERFIT_RISE and fell_on and gap > OVERFIT_RISE):
        detail = f"; {100 * gap:.0f} % of what was learned in training does not carry over"
        if rise > OVERFIT_RISE:
            detail += f", and validation rose to {curves.validation_curve[-1]:.4g} by epoch {len(curves.train_curve)}"
        return (
            "overfitting",
            figures + detail + ".",
            "Add rows, dropout, weight decay or l2, use fewer units, or stop earlier "
            f"(the best epoch was {curves.best_epoch}).",
        )
    if _still_falling(curves, scale):
        return (
            "underfitting",
            f"{figures}; both were still falling when the epochs were used up.",
            "Train for more epochs, or with a higher learning rate.",
        )
    return (
        "healthy",
        f"{figures}; most of what was learned carries over.",
        "Nothing stands out; more rows or tuning may still help.",
    )


def _still_falling(curves: Curves, scale: float) -> bool:
    epochs = len(curves.validation_curve)
    if curves.stopped_early or epochs < 5 or curves.best_epoch < epochs:
        return False
    before = min(curves.validation_curve[: max(epochs * 4 // 5, 1)])
    return (before - curves.validation_curve[-1]) / scale > STILL_FALLING
