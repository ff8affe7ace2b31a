"""Row hashes and codes."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from app.preprocessing.columns import factorize, hash_rows, present
from tests.preprocessing.memory import as_column

CELLS = st.one_of(st.none(), st.text(max_size=5))
NUMBERS = st.one_of(st.none(), st.floats(allow_nan=False), st.sampled_from([0.0, -0.0, 1.0]))


@given(rows=st.lists(st.tuples(CELLS, NUMBERS), min_size=1, max_size=40))
def test_rows_have_equal_hashes_exactly_when_they_are_equal(rows: list[tuple[str | None, float | None]]) -> None:
    columns = [as_column("category", [row[0] for row in rows]), as_column("number", [row[1] for row in rows])]
    hashes = hash_rows(columns, len(rows))
    told = [(row[0] or None, row[1]) for row in rows]  # an empty text is a missing one
    for first in range(len(rows)):
        for second in range(first):
            assert (hashes[first] == hashes[second]) == (told[first] == told[second])


def test_a_hash_does_not_depend_on_the_other_rows() -> None:
    values = as_column("category", ["a", "b", None, "甲", "a"])
    together = hash_rows([values], 5)
    alone = [hash_rows([values[index : index + 1]], 1)[0] for index in range(5)]
    assert together.tolist() == alone
    assert together[0] == together[4]


def test_columns_do_not_change_places_in_a_hash() -> None:
    left, right = as_column("number", [1, 2]), as_column("number", [2, 1])
    hashes = hash_rows([left, right], 2)
    assert hashes[0] != hashes[1]


def test_arrays_are_hashed_element_by_element() -> None:
    arrays = np.zeros((3, 2, 2), dtype=np.uint8)
    arrays[1, 1, 0] = 1
    hashes = hash_rows([arrays], 3)
    assert hashes[0] == hashes[2] != hashes[1]


@given(values=st.lists(st.one_of(st.none(), st.sampled_from(["a", " a", "A ", "", "  ", "b"])), max_size=30))
def test_factorize_cleans_and_numbers_values(values: list[str | None]) -> None:
    codes, distinct = factorize(as_column("category", values), strip=True, lowercase=True)
    told = [(value or "").strip().lower() or None for value in values]
    assert [None if code < 0 else distinct[code] for code in codes.tolist()] == told
    assert len(set(distinct)) == len(distinct)


def test_an_array_with_a_missing_element_is_not_present() -> None:
    assert present(np.array([[1.0, 2.0], [np.nan, 2.0]])).tolist() == [True, False]
    assert present(np.ones((2, 2), dtype=np.uint8)).tolist() == [True, True]
