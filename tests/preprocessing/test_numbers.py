"""Numbers: finite whatever comes in, scaled by the training rows."""

import itertools
import json
from statistics import NormalDist

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.preprocessing.numbers import (
    NumberScaling,
    Scaling,
    bin_edges,
    feature_from_json,
    feature_to_json,
    fit_feature,
)

ANY = st.one_of(st.floats(), st.integers(-5, 5).map(float), st.sampled_from([0.0, 1e308, -1e308, 5e-324, np.inf]))
COLUMNS = st.lists(ANY, min_size=1, max_size=60).map(np.array)
SCALINGS: tuple[Scaling, ...] = ("standard", "quantile", "none")


@pytest.mark.filterwarnings("error")
@given(train=COLUMNS, rows=COLUMNS, scaling=st.sampled_from(SCALINGS))
def test_everything_becomes_a_finite_float32(train: np.ndarray, rows: np.ndarray, scaling: Scaling) -> None:
    scaled = NumberScaling((fit_feature("x", train, "median", scaling),)).transform(rows[:, None])
    assert scaled.dtype == np.float32
    assert np.isfinite(scaled).all()


@pytest.mark.filterwarnings("error")
@given(train=COLUMNS, scaling=st.sampled_from(SCALINGS), impute=st.sampled_from(["median", "mean", "zero"]))
def test_a_feature_survives_json_exactly(train: np.ndarray, scaling: Scaling, impute: str) -> None:
    feature = fit_feature("x", train, impute, scaling)  # type: ignore[arg-type]
    assert feature_from_json(json.loads(json.dumps(feature_to_json(feature), allow_nan=False))) == feature


def test_standard_scaling_gives_mean_zero_and_deviation_one() -> None:
    train = np.random.default_rng(0).normal(50.0, 7.0, 5000)
    scaled = NumberScaling((fit_feature("x", train, "median", "standard"),)).transform(train[:, None])
    assert abs(scaled.mean()) < 0.02
    assert abs(scaled.std() - 1) < 0.02


def test_one_huge_value_does_not_flatten_the_others() -> None:
    train = np.append(np.random.default_rng(0).normal(0.0, 1.0, 1000), 1e300)
    scaled = NumberScaling((fit_feature("x", train, "median", "standard"),)).transform(train[:, None])
    assert scaled[:1000].std() > 0.5
    assert scaled[1000] > scaled[:1000].max()


def test_a_nearly_constant_column_keeps_what_stands_out() -> None:
    train = np.zeros(10_000)
    train[:20] = 99_999.0
    scaled = NumberScaling((fit_feature("x", train, "median", "standard"),)).transform(train[:, None])
    assert scaled[0] > scaled[-1] + 1


def test_new_rows_may_go_beyond_the_training_range() -> None:
    train = np.arange(100.0)
    scaling = NumberScaling((fit_feature("x", train, "median", "standard"),))
    inside, beyond, far = scaling.transform(np.array([[99.0], [150.0], [1e9]]))[:, 0]
    assert inside < beyond < far < 50


def test_quantile_scores_are_normal_and_order_is_kept() -> None:
    train = np.random.default_rng(0).lognormal(0, 2, 20_000)
    scaling = NumberScaling((fit_feature("x", train, "median", "quantile"),))
    scaled = np.sort(scaling.transform(train[:, None])[:, 0])
    expected = [NormalDist().inv_cdf(level) for level in (0.1, 0.5, 0.9)]
    assert np.allclose(np.quantile(scaled, [0.1, 0.5, 0.9]), expected, atol=0.02)
    values = np.sort(train)[::50]
    assert (np.diff(scaling.transform(values[:, None])[:, 0]) >= 0).all()


def test_equal_values_share_the_middle_of_their_ranks() -> None:
    train = np.array([0.0] * 60 + list(range(1, 41)))
    scaled = NumberScaling((fit_feature("x", train, "median", "quantile"),)).transform(np.array([[0.0]]))
    assert scaled[0, 0] == pytest.approx(NormalDist().inv_cdf(0.3), abs=1e-6)


@pytest.mark.parametrize(
    ("impute", "expected"), [("median", 2.0), ("mean", 3.0), ("zero", 0.0), ("most_frequent", 1.0)]
)
def test_what_stands_for_a_missing_value(impute: str, expected: float) -> None:
    train = np.array([1.0, 1.0, 3.0, 7.0, np.nan])
    assert fit_feature("x", train, impute, "standard").fill == expected  # type: ignore[arg-type]


def test_a_missing_value_is_told_only_where_training_missed_some() -> None:
    some = fit_feature("some", np.array([1.0, np.nan, 3.0]), "median", "standard")
    none = fit_feature("none", np.array([1.0, 2.0, 3.0]), "median", "standard")
    scaling = NumberScaling((some, none))
    assert scaling.names == ["some", "none", "some is missing"]
    scaled = scaling.transform(np.array([[np.nan, np.nan], [1.0, 2.0]]))
    assert scaled[:, 2].tolist() == [1.0, 0.0]
    assert scaled[0, 1] == pytest.approx(0.0)  # filled with the median, which is the mean here


@given(values=st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=200), bins=st.integers(2, 48))
def test_bin_edges_increase_and_are_at_most_as_many_as_asked(values: list[float], bins: int) -> None:
    edges = bin_edges(np.array(values, dtype=np.float32), bins)
    assert 2 <= len(edges) <= bins + 1
    assert all(right > left for left, right in itertools.pairwise(edges))


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("scaling", SCALINGS)
def test_the_largest_doubles_of_both_signs_are_scaled(scaling: Scaling) -> None:
    train = np.array([1.7e308, -1.7e308, 1e308, 0.0])
    feature = fit_feature("x", train, "median", scaling)
    scaled = NumberScaling((feature,)).transform(train[:, None])[:, 0]
    assert scaled[1] <= scaled[3] <= scaled[2] <= scaled[0]
    assert scaled[1] < scaled[0]


def test_a_column_that_is_mostly_one_value_has_its_edges_where_the_others_are() -> None:
    others = np.linspace(1.0, 2.0, 500)
    edges = bin_edges(np.concatenate([np.zeros(4500), others]), 32)
    assert len(edges) == 33
    assert edges[0] == 0.0
    assert edges[-1] == 2.0
    assert np.diff(edges[1:]).max() < 2.5 / 32


def test_few_distinct_values_have_an_edge_each() -> None:
    assert bin_edges(np.array([3.0, 1.0, 1.0, 7.0, 3.0]), 16) == [1.0, 3.0, 7.0]
