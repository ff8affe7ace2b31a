# ruff: noqa: N803, N806 — names end in their shape (see the key below)
"""The deletion test: how fast the answer goes when what is said to matter most is taken away first.

Petsiuk, Das and Saenko, "RISE: Randomized Input Sampling for Explanation of Black-box Models" (2018), section 4.3.
The answer is told as a share of its way from the baseline (0) to the instance (1), so that areas compare: an order that
says nothing has about 0.5, a good one less.

Shapes: P players, S subsets.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from app.inference.explain.game import Game

_STEPS: Final = 20
_RANDOM_ORDERS: Final = 3
_LEAST_CHANGE: Final = 1e-6


def deletion_areas(
    game: Game, attributions_P: NDArray[np.float64], start: float, end: float
) -> tuple[float | None, float | None]:
    """Return the area of the attributions' order, and of drawn orders; None where the answer does not change."""
    change = end - start
    if abs(change) < _LEAST_CHANGE:
        return None, None
    rng = np.random.default_rng(0)
    orders = [np.argsort(-attributions_P * np.sign(change), kind="stable")]
    orders += [rng.permutation(game.players) for _ in range(_RANDOM_ORDERS)]
    steps = min(_STEPS, game.players)
    cut = np.linspace(0, game.players, steps + 1).round().astype(np.int64)
    areas = []
    for order in orders:
        subsets_SP = np.ones((steps + 1, game.players), np.bool_)
        for step, removed in enumerate(cut):
            subsets_SP[step, order[:removed]] = False
        shares = (game.values(subsets_SP) - start) / change
        areas.append(float(np.trapezoid(shares, cut / game.players)))
    return areas[0], float(np.mean(areas[1:]))
