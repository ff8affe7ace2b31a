"""Rows of different lengths: taken in any order, and padded."""

import numpy as np

from app.preprocessing.ragged import Ragged

ROWS = Ragged.of([[1, 2, 3], [], [4], [5, 6]], np.int32)


def listed(rows: Ragged) -> list[list[int]]:
    return [rows.values[start:stop].tolist() for start, stop in zip(rows.starts[:-1], rows.starts[1:], strict=True)]


def test_rows_are_taken_by_position_mask_and_slice() -> None:
    assert listed(ROWS[np.array([3, 0, 0, 1])]) == [[5, 6], [1, 2, 3], [1, 2, 3], []]
    assert listed(ROWS[np.array([False, True, True, False])]) == [[], [4]]
    assert listed(ROWS[2:]) == [[4], [5, 6]]
    assert len(ROWS[:0]) == 0


def test_they_are_padded_to_the_longest() -> None:
    assert ROWS.pad().tolist() == [[1, 2, 3], [0, 0, 0], [4, 0, 0], [5, 6, 0]]
    assert ROWS[1:2].pad(7).tolist() == [[7]]
    assert Ragged.of([], np.int32).pad().shape == (0, 1)
    assert ROWS.lengths.tolist() == [3, 0, 1, 2]
    assert ROWS.nbytes == 6 * 4 + 5 * 8
