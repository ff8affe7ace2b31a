"""Integrated gradients where the integral is known, and along a way with an edge."""

import numpy as np
import pytest

from app.inference.explain.gradients import integrate


def along(function, gradient, x, b):  # type: ignore[no-untyped-def]
    step = x - b
    return integrate(
        lambda places: np.array([function(b + place * step) for place in places]),
        lambda places: np.array([gradient(b + place * step) for place in places]),
        step,
        function(b),
        function(x),
    )


def test_a_linear_model_gives_weight_times_difference() -> None:
    w, x, b = np.array([2.0, -3.0, 0.5]), np.array([1.0, 2.0, 3.0]), np.array([0.5, 0.0, -1.0])
    found = along(lambda at: float(w @ at), lambda at: w, x, b)
    np.testing.assert_allclose(found, w * (x - b), atol=1e-12)


def test_a_product_is_shared_equally_and_a_square_is_its_change() -> None:
    found = along(lambda at: at[0] * at[1] + at[2] ** 2, lambda at: np.array([at[1], at[0], 2 * at[2]]),
                  np.array([2.0, 3.0, 4.0]), np.zeros(3))  # fmt: skip
    np.testing.assert_allclose(found, [3, 3, 16], rtol=1e-3)


@pytest.mark.parametrize("steepness", [1.0, 100.0, 10_000.0])
def test_a_turn_within_a_ten_thousandth_of_the_way_is_found(steepness: float) -> None:
    w = np.array([1.0, 2.0])

    def sigmoid(at: np.ndarray) -> float:
        return float(0.5 + 0.5 * np.tanh(steepness * (w @ at - 1.2345) / 2))

    def slope(at: np.ndarray) -> np.ndarray:
        return w * steepness * sigmoid(at) * (1 - sigmoid(at))

    x = np.array([1.0, 1.0])
    found = along(sigmoid, slope, x, np.zeros(2))
    change = sigmoid(x) - sigmoid(np.zeros(2))
    assert found.sum() == pytest.approx(change, rel=1e-2)
    assert found[1] == pytest.approx(2 * found[0])
