"""Learning rates over the steps."""

from typing import Any

import numpy as np
import pytest

from workers.trainer.schedules import build_schedule


def factors(config: dict[str, Any], epochs: int = 10, steps: int = 10) -> np.ndarray:
    return build_schedule(config, epochs, steps).factors(0, epochs * steps)


def test_constant_is_one() -> None:
    assert factors({"name": "constant"}).tolist() == [1.0] * 100


def test_warm_up_rises_from_a_step_above_zero_to_the_full_rate() -> None:
    found = factors({"name": "constant", "warmup_ratio": 0.1})
    np.testing.assert_allclose(found[:11], [*np.arange(1, 11) / 10, 1.0])
    assert factors({"name": "constant", "warmup_steps": 4})[:5].tolist() == [0.25, 0.5, 0.75, 1.0, 1.0]


def test_linear_falls_to_its_end() -> None:
    found = factors({"name": "linear", "end_ratio": 0.2})
    assert found[0] == 1.0
    assert found[50] == pytest.approx(0.6)
    assert found[-1] == pytest.approx(0.2 + 0.8 / 100)
    np.testing.assert_allclose(np.diff(found), -0.008)


def test_cosine_is_half_way_in_the_middle() -> None:
    found = factors({"name": "cosine", "end_ratio": 0.0})
    assert found[0] == 1.0
    assert found[50] == pytest.approx(0.5)
    assert 0.0 < found[-1] < 0.001


def test_exponential_and_step_decay_by_epochs() -> None:
    smooth = factors({"name": "exponential", "decay_rate": 0.5, "decay_epochs": 2.0})
    assert smooth[20] == pytest.approx(0.5)
    assert smooth[10] == pytest.approx(0.5**0.5)
    stairs = factors({"name": "step", "decay_rate": 0.1, "decay_epochs": 4.0})
    assert stairs[39] == 1.0
    assert stairs[40] == pytest.approx(0.1)
    assert stairs[80] == pytest.approx(0.01)


def test_slanted_triangular_is_the_papers() -> None:
    found = factors({"name": "slanted-triangular", "warmup_ratio": 0.1, "end_ratio": 1 / 32})
    peak = int(found.argmax())
    assert peak in (9, 10)
    assert found[peak] == 1.0
    # Howard & Ruder (2018), equation 3, after the cut: p = 1 − (t − cut) / (cut · (1 / cut_frac − 1)).
    t = 70
    p = 1 - (t - 10) / (10 * (1 / 0.1 - 1))
    assert found[t] == pytest.approx((1 + p * 31) / 32)


def test_a_part_of_the_steps_is_a_part_of_the_factors() -> None:
    schedule = build_schedule({"name": "cosine", "warmup_ratio": 0.05}, 7, 13)
    whole = schedule.factors(0, 91)
    np.testing.assert_array_equal(np.concatenate([schedule.factors(0, 20), schedule.factors(20, 71)]), whole)
