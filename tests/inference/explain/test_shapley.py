"""Shapley values where they are known: sums, products, copies and players without effect."""

import numpy as np
import pytest

from app.inference.explain.shapley import MOST_EXACT, shapley_values


@pytest.mark.parametrize("players", [1, 3, MOST_EXACT, MOST_EXACT + 5, 300])
def test_of_a_sum_each_gets_its_own(players: int) -> None:
    own = np.random.default_rng(players).normal(size=players)
    found = shapley_values(lambda subsets: subsets @ own + 7.0, players)
    np.testing.assert_allclose(found, own, atol=1e-9)


def test_of_a_product_and_an_exclusive_or_both_get_half() -> None:
    def product(subsets: np.ndarray) -> np.ndarray:
        return (subsets[:, 0] & subsets[:, 1]) * 6.0

    def differ(subsets: np.ndarray) -> np.ndarray:
        return (subsets[:, 0] ^ subsets[:, 1]) + subsets[:, 2] * 1.0

    np.testing.assert_allclose(shapley_values(product, 3), [3, 3, 0], atol=1e-12)
    np.testing.assert_allclose(shapley_values(differ, 3), [0, 0, 1], atol=1e-12)


def test_three_in_a_majority_of_two() -> None:
    # Worth 1 with at least two of three; a player of weight two decides alone with one other (Shapley 1953 by hand).
    def weighted(subsets: np.ndarray) -> np.ndarray:
        return (subsets @ np.array([2, 1, 1]) >= 3).astype(float)

    np.testing.assert_allclose(shapley_values(weighted, 3), [2 / 3, 1 / 6, 1 / 6], atol=1e-12)


def test_drawn_orders_are_near_the_exact_values_and_add_up() -> None:
    players = 14
    rng = np.random.default_rng(5)
    pairs = np.triu(rng.normal(size=(players, players)), 1)

    def values(subsets: np.ndarray) -> np.ndarray:
        inside = subsets.astype(float)
        return np.einsum("sp,pq,sq->s", inside, pairs, inside)

    exact = (pairs.sum(axis=0) + pairs.sum(axis=1)) / 2
    found = shapley_values(values, players)
    # Of pairs an order and its reverse give the exact values.
    np.testing.assert_allclose(found, exact, atol=1e-9)
    assert found.sum() == pytest.approx(pairs.sum())
