# ruff: noqa: N806 — names end in their shape (see the key below)
"""Shapley values of a game: what each player adds, on average over the orders in which the players may come.

L. Shapley, "A value for n-person games" (1953); as attributions of a model: Strumbelj and Kononenko, "Explaining
prediction models and individual predictions with feature contributions" (2014). They add up to the difference between
all players and none, players that do the same get the same, and one that changes nothing gets nothing.

Shapes: P players, S subsets, R orders.
"""

import math
from collections.abc import Callable
from typing import Final

import numpy as np
from numpy.typing import NDArray

Values = Callable[[NDArray[np.bool_]], NDArray[np.float64]]
"""Subsets of the players (S, P), true where a player is in, to what the game is worth with each, (S,)."""

# All 2^P subsets are looked at up to this many players: 1024 rows.
MOST_EXACT: Final = 10
# Beyond, orders are drawn, each with its reverse, for about this many rows.
SAMPLED_ROWS: Final = 4096
_LEAST_ORDERS: Final = 2
_MOST_ORDERS: Final = 200


def shapley_values(values: Values, players: int, seed: int = 0) -> NDArray[np.float64]:
    """Return (P,) Shapley values: exact for few players, over drawn orders for many. They add up exactly in both."""
    return _exact(values, players) if players <= MOST_EXACT else _sampled(values, players, seed)


def _exact(values: Values, players: int) -> NDArray[np.float64]:
    numbers_S = np.arange(1 << players)
    subsets_SP = (numbers_S[:, None] >> np.arange(players)) & 1 == 1
    worth_S = values(subsets_SP)
    sizes_S = subsets_SP.sum(axis=1)
    # Of the orders, the share in which exactly the others of a subset come before a player.
    share = np.array([1.0 / (players * math.comb(players - 1, size)) for size in range(players)])
    found_P = np.empty(players)
    for player in range(players):
        without_S = numbers_S[~subsets_SP[:, player]]
        gain_S = worth_S[without_S | (1 << player)] - worth_S[without_S]
        found_P[player] = float(share[sizes_S[without_S]] @ gain_S)
    return found_P


def _sampled(values: Values, players: int, seed: int) -> NDArray[np.float64]:
    """Average over drawn orders and their reverses: what an order overrates its reverse underrates.

    Mitchell, Cooper, Frank and Holmes, "Sampling Permutations for Shapley Value Estimation" (2022), section 3.
    """
    rng = np.random.default_rng(seed)
    orders = max(_LEAST_ORDERS, min(_MOST_ORDERS, SAMPLED_ROWS // players))
    found_P = np.zeros(players)
    drawn = 0
    while drawn < orders:
        order_P = rng.permutation(players)
        for one_P in (order_P, order_P[::-1]):
            # The k-th subset has the first k players of the order.
            subsets_SP = np.zeros((players + 1, players), np.bool_)
            for position, player in enumerate(one_P):
                subsets_SP[position + 1 :, player] = True
            found_P[one_P] += np.diff(values(subsets_SP))
            drawn += 1
    return found_P / drawn
