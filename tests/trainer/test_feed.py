"""The order of rows: a pure function of seed and epoch; rows of like length together where there are lengths."""

import numpy as np

from app.preprocessing.ragged import Ragged
from workers.trainer.feed import GROUPS_SORTED, Rows, row_order

LENGTHS = np.random.default_rng(0).integers(1, 200, 1003)


def test_every_row_comes_once_and_the_order_is_of_seed_and_epoch_alone() -> None:
    for lengths in (None, LENGTHS):
        first = row_order(3, 0, 1003, lengths, 16)
        assert sorted(first.tolist()) == list(range(1003))
        assert np.array_equal(first, row_order(3, 0, 1003, lengths, 16))
        assert not np.array_equal(first, row_order(3, 1, 1003, lengths, 16))
        assert not np.array_equal(first, row_order(4, 0, 1003, lengths, 16))


def test_groups_are_of_like_length_in_no_order_of_length() -> None:
    order = row_order(3, 0, 1003, LENGTHS, 16)
    groups = LENGTHS[order[: 62 * 16]].reshape(62, 16)
    padded = (groups.max(axis=1, keepdims=True) - groups).sum() / groups.sum()
    plain = LENGTHS[row_order(3, 0, 1003)[: 62 * 16]].reshape(62, 16)
    assert padded < 0.1 < (plain.max(axis=1, keepdims=True) - plain).sum() / plain.sum()
    assert abs(np.corrcoef(groups.mean(axis=1), np.arange(62))[0, 1]) < 0.5
    assert GROUPS_SORTED > 8


def test_rows_tell_their_lengths_and_are_taken_with_them() -> None:
    ragged = Ragged.of([[1, 2], [3], [4, 5, 6]], np.int32)
    rows = Rows({"plain": np.arange(3), "ids": ragged}, np.arange(3))
    assert rows.lengths is not None
    assert rows.lengths.tolist() == [2, 1, 3]
    taken = rows.take(np.array([2, 0]))
    assert taken.lengths is not None
    assert taken.lengths.tolist() == [3, 2]
    assert Rows({"plain": np.arange(3)}, np.arange(3)).lengths is None
    assert rows.nbytes > ragged.nbytes
