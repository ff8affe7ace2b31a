"""Splits: disjoint, covering, seeded, and true to their method."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.preprocessing.split import SPLITS, SplitKeys, draw_splits, share_out

SHARES = {"train": 0.8, "validation": 0.1, "test": 0.1}
METHODS = ("random", "stratified", "group", "time", "tail")


def keys_for(rows: int, kinds: int, seed: int) -> SplitKeys:
    random = np.random.default_rng(seed)
    return SplitKeys(
        classes=random.integers(0, kinds, rows),
        groups=random.integers(0, max(kinds, rows // 3), rows),
        times=random.normal(size=rows),
    )


@given(
    rows=st.integers(1, 200),
    kinds=st.integers(1, 12),
    seed=st.integers(0, 2**31 - 1),
    method=st.sampled_from(METHODS),
    cut=st.sampled_from([(0.8, 0.1, 0.1), (0.5, 0.5, 0.0), (0.34, 0.33, 0.33), (1.0, 0.0, 0.0), (0.02, 0.0, 0.98)]),
)
def test_splits_are_disjoint_and_cover_all_rows(
    rows: int, kinds: int, seed: int, method: str, cut: tuple[float, float, float]
) -> None:
    shares = dict(zip(SPLITS, cut, strict=True))
    drawn = draw_splits(rows, shares, method, seed, keys_for(rows, kinds, seed))
    together = np.concatenate(list(drawn.values()))
    assert sorted(together.tolist()) == list(range(rows))
    assert all(len(drawn[name]) == 0 for name, share in shares.items() if share == 0)


@pytest.mark.parametrize("method", METHODS)
def test_the_same_seed_draws_the_same_rows_and_another_seed_others(method: str) -> None:
    keys = keys_for(300, 4, 0)
    first, again, other = (draw_splits(300, SHARES, method, seed, keys) for seed in (7, 7, 8))
    assert all((first[name] == again[name]).all() for name in SPLITS)
    moved = any(not np.array_equal(first[name], other[name]) for name in SPLITS)
    assert moved == (method in ("random", "stratified", "group"))


@given(rows=st.integers(3, 5000), train=st.floats(0.01, 0.98))
def test_shares_are_kept_to_one_row_and_no_wanted_split_is_empty(rows: int, train: float) -> None:
    rest = (1 - train) / 2
    counts = share_out(rows, {"train": train, "validation": rest, "test": rest})
    assert sum(counts.values()) == rows
    assert all(count >= 1 for count in counts.values())
    if rows * min(train, rest) >= 1:
        assert all(abs(counts[name] - rows * share) < 1 for name, share in (("train", train), ("test", rest)))


def test_stratified_keeps_the_share_of_every_class() -> None:
    classes = np.repeat([0, 1, 2], [700, 250, 50])
    drawn = draw_splits(1000, SHARES, "stratified", 3, SplitKeys(classes=classes))
    for name, share in SHARES.items():
        counts = np.bincount(classes[drawn[name]], minlength=3)
        assert (np.abs(counts - np.array([700, 250, 50]) * share) < 1).all()


def test_many_classes_of_two_rows_leave_every_split_its_share() -> None:
    classes = np.repeat(np.arange(500), 2)
    drawn = draw_splits(1000, SHARES, "stratified", 0, SplitKeys(classes=classes))
    assert [len(drawn[name]) for name in SPLITS] == [800, 100, 100]


def test_a_class_of_one_row_is_trained_on() -> None:
    classes = np.array([0] * 50 + [1])
    drawn = draw_splits(51, SHARES, "stratified", 0, SplitKeys(classes=classes))
    assert 50 in drawn["train"]


@given(groups=st.lists(st.integers(0, 9), min_size=1, max_size=120), seed=st.integers(0, 99))
def test_no_group_is_in_two_splits(groups: list[int], seed: int) -> None:
    codes = np.array(groups)
    drawn = draw_splits(len(codes), SHARES, "group", seed, SplitKeys(groups=codes))
    seen = [set(codes[drawn[name]].tolist()) for name in SPLITS]
    assert sum(map(len, seen)) == len(set.union(*seen))
    if len(set(groups)) >= 3:
        assert all(seen)


def test_time_puts_the_latest_rows_into_test() -> None:
    times = np.random.default_rng(0).permutation(100).astype(float)
    drawn = draw_splits(100, SHARES, "time", 7, SplitKeys(times=times))
    assert times[drawn["train"]].max() < times[drawn["validation"]].min()
    assert times[drawn["validation"]].max() < times[drawn["test"]].min()
    assert len(drawn["test"]) == 10


def test_tail_keeps_the_order_of_the_rows() -> None:
    drawn = draw_splits(50, SHARES, "tail", 7)
    assert drawn["train"].tolist() == list(range(40))
    assert drawn["test"].tolist() == list(range(45, 50))
