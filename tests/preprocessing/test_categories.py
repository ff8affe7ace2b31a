"""Category ids: missing, unknown or rare, known."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from app.preprocessing.categories import MISSING, UNKNOWN, Vocabulary, vocabulary_from_json, vocabulary_to_json
from tests.preprocessing.memory import as_column

VALUES = st.lists(st.one_of(st.none(), st.sampled_from(["a", "b", " a ", "B", "", "京都"])), min_size=1, max_size=40)


def fit(values: list[str | None], min_count: int = 1, max_size: int = 100, **options: bool) -> Vocabulary:
    options = {"strip": True, "lowercase": False, **options}
    return Vocabulary.fit("c", as_column("category", values), min_count, max_size, **options)


def test_missing_unknown_and_known_values_have_ids_of_their_own() -> None:
    vocabulary = fit(["x", "y", "x", None])
    ids = vocabulary.encode(as_column("category", ["x", "y", "z", None, "", " x "]))
    assert ids.tolist() == [2, 3, UNKNOWN, MISSING, MISSING, 2]
    assert ids.dtype == np.int32
    assert vocabulary.size == 4


def test_rare_values_share_the_unknown_bucket() -> None:
    vocabulary = fit(["x"] * 5 + ["y"] * 2 + ["z"], min_count=3)
    assert vocabulary.values == ("x",)
    assert vocabulary.encode(as_column("category", ["y", "z"])).tolist() == [UNKNOWN, UNKNOWN]


def test_only_the_commonest_are_told_apart_where_there_are_too_many() -> None:
    assert fit(["x", "y", "y", "z", "z", "z"], max_size=2).values == ("z", "y")


def test_lowercase_and_strip_apply_to_new_rows_too() -> None:
    vocabulary = fit([" Rome", "ROME", "oslo"], lowercase=True)
    assert vocabulary.encode(as_column("category", ["rome ", "OSLO"])).tolist() == [2, 3]


def test_without_strip_a_space_makes_another_value() -> None:
    vocabulary = fit(["a", " a"], strip=False)
    assert len(vocabulary.values) == 2


@given(values=VALUES, seed=st.integers(0, 99))
def test_the_order_of_the_rows_does_not_change_the_ids(values: list[str | None], seed: int) -> None:
    shuffled = [values[index] for index in np.random.default_rng(seed).permutation(len(values))]
    assert fit(values) == fit(shuffled)


@given(train=VALUES, rows=VALUES)
def test_a_row_alone_has_the_id_it_has_in_a_batch(train: list[str | None], rows: list[str | None]) -> None:
    vocabulary = vocabulary_from_json(vocabulary_to_json(fit(train)))
    together = vocabulary.encode(as_column("category", rows))
    alone = [vocabulary.encode(as_column("category", [row]))[0] for row in rows]
    assert together.tolist() == alone
