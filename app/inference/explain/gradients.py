# ruff: noqa: N803, N806 — names end in their shape (see the key below)
"""Integrated gradients: the gradient of the answer, gathered on the straight way from a baseline to the instance.

Sundararajan, Taly and Yan, "Axiomatic Attribution for Deep Networks" (2017), equation 1: of each input element
(x − b) · ∫ ∂f(b + α(x − b))/∂x dα. They add up to f(x) − f(b) as far as the integral is right; on each piece of the way
that is known, because f is known at its ends. So pieces are halved where they are wrong, and nowhere else: a softmax
that turns within a hundredth of the way needs no thousand steps on the rest.

Shapes: K points on the way, D elements of the inputs.
"""

from collections.abc import Callable
from typing import Final

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Answers = Callable[[Floats], Floats]
"""Places on the way (K,), from 0, the baseline, to 1, the instance, to the answers there (K,)."""
Gradients = Callable[[Floats], Floats]
"""Places (K,) to the gradients of the answer there, (K, D)."""

FIRST_PIECES: Final = 16
MOST_POINTS: Final = 1024
CHUNK_POINTS: Final = 16
# Relative to f(x) − f(b); a tenth of what is promised.
TOLERANCE: Final = 1e-3
SMALLEST_CHANGE: Final = 1e-3


def integrate(answers: Answers, gradients: Gradients, step_D: Floats, start: float, end: float) -> Floats:
    """Return (D,) integrated gradients; `step_D` = x − b, `start` and `end` the answers at baseline and instance."""
    allowed = TOLERANCE * max(abs(end - start), SMALLEST_CHANGE)
    edges = np.linspace(0.0, 1.0, FIRST_PIECES + 1)
    worth = answers(edges)
    worth[0], worth[-1] = start, end
    low, high = edges[:-1], edges[1:]
    low_worth, high_worth = worth[:-1], worth[1:]
    found_D = np.zeros(len(step_D))
    points = 0
    while len(low):
        points += len(low)
        # What is halved now is two pieces each in the next round.
        is_last = points + 2 * len(low) > MOST_POINTS
        halved = np.zeros(len(low), np.bool_)
        for start_at in range(0, len(low), CHUNK_POINTS):  # gradients of a large image take room
            chunk = slice(start_at, start_at + CHUNK_POINTS)
            width = high[chunk] - low[chunk]
            slopes_KD = gradients((low[chunk] + high[chunk]) / 2)
            wrong = np.abs(high_worth[chunk] - low_worth[chunk] - width * (slopes_KD @ step_D))
            # Each piece may be wrong by its share of the way; one that is right enough is done.
            halved[chunk] = (wrong > allowed * width) & (not is_last)
            found_D += np.where(halved[chunk], 0.0, width) @ slopes_KD
        low, high, low_worth, high_worth = _halve(
            answers, low[halved], high[halved], low_worth[halved], high_worth[halved]
        )
    return found_D * step_D


def _halve(answers: Answers, low: Floats, high: Floats, low_worth: Floats, high_worth: Floats) -> tuple[Floats, ...]:
    if not len(low):
        return low, high, low_worth, high_worth
    middle = (low + high) / 2
    worth = answers(middle)
    return (
        np.concatenate([low, middle]),
        np.concatenate([middle, high]),
        np.concatenate([low_worth, worth]),
        np.concatenate([worth, high_worth]),
    )
