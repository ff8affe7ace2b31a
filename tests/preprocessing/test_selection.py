"""Which columns are left out: constants, identifiers and free text, and nothing else."""

from typing import Any

import numpy as np
import pytest

from app.preprocessing.columns import Table
from app.preprocessing.selection import find_dropped
from tests.preprocessing.memory import MemoryColumn, as_column

ROWS = 60
CLEAN = {"drop_constant": True, "drop_identifiers": True}
RANDOM = np.random.default_rng(0)
KEPT = ("number", RANDOM.normal(size=ROWS))


def drop(
    columns: dict[str, tuple[str, Any]], named: frozenset[str] = frozenset(), rows: Any = None, **clean: bool
) -> tuple[dict[str, str], dict[str, str]]:
    arrays = {name: as_column(kind, values) for name, (kind, values) in columns.items()}
    table = Table(arrays, np.arange(ROWS) if rows is None else rows)
    infos = [MemoryColumn(name, kind) for name, (kind, _) in columns.items()]
    dropped, kept = find_dropped(table, infos, {**CLEAN, **clean}, named)
    return {one.name: one.code for one in dropped}, {one.name: one.code for one in kept}


@pytest.mark.parametrize(
    ("name", "column"),
    [
        ("n", ("number", [3.5] * ROWS)),
        ("n", ("number", [None] * ROWS)),
        ("n", ("boolean", [True] * ROWS)),
        ("n", ("category", ["a"] * ROWS)),
        ("n", ("datetime", [1e9] * ROWS)),
        ("n", ("array", np.ones((ROWS, 3)))),
    ],
)
def test_a_constant_is_left_out(name: str, column: tuple[str, Any]) -> None:
    assert drop({name: column, "kept": KEPT}) == ({name: "constant"}, {})
    assert drop({name: column, "kept": KEPT}, drop_constant=False) == ({}, {name: "constant"})


def test_a_value_that_is_there_or_not_is_no_constant() -> None:
    columns = {"n": ("number", [1.0, None] * (ROWS // 2)), "c": ("category", ["x", None] * (ROWS // 2)), "kept": KEPT}
    assert drop(columns) == ({}, {})


@pytest.mark.parametrize(
    ("name", "column"),
    [
        ("whatever", ("integer", range(1, ROWS + 1))),
        ("whatever", ("integer", range(0, 10 * ROWS, 10))),
        ("PassengerId", ("integer", RANDOM.permutation(10_000)[:ROWS])),
        ("user_id", ("integer", RANDOM.permutation(10_000)[:ROWS])),
        ("编号", ("integer", RANDOM.permutation(10_000)[:ROWS])),
        ("code", ("category", [f"u{number:04d}" for number in range(ROWS)])),
    ],
)
def test_what_numbers_or_names_the_rows_is_left_out(name: str, column: tuple[str, Any]) -> None:
    assert drop({name: column, "kept": KEPT}) == ({name: "identifier"}, {})
    assert drop({name: column, "kept": KEPT}, drop_identifiers=False) == ({}, {name: "identifier"})


@pytest.mark.parametrize(
    ("name", "column"),
    [
        ("weight", ("integer", RANDOM.permutation(10_000)[:ROWS])),  # different everywhere, but measured
        ("paid", ("integer", RANDOM.permutation(10_000)[:ROWS])),  # ends with "id", is none
        ("user_id", ("integer", RANDOM.integers(0, 20, ROWS))),  # repeats: may say something
        ("price", ("number", RANDOM.normal(size=ROWS))),
        ("step", ("number", np.arange(ROWS) / 7)),
        ("city", ("category", [f"c{number % 20}" for number in range(ROWS)])),
        ("when", ("datetime", np.arange(ROWS) * 86_400.0)),
    ],
)
def test_what_may_say_something_is_read(name: str, column: tuple[str, Any]) -> None:
    assert drop({name: column, "kept": KEPT}) == ({}, {})


def test_rows_are_still_seen_to_be_numbered_after_some_were_taken_out() -> None:
    rows = np.sort(RANDOM.permutation(200)[:ROWS])
    assert drop({"n": ("integer", rows + 17), "kept": KEPT}, rows=rows)[0] == {"n": "identifier"}


def test_texts_that_seldom_repeat_are_left_out() -> None:
    names = [f"name {number}" for number in range(ROWS - 4)] + ["Smith"] * 4
    assert drop({"name": ("text", names), "kept": KEPT})[0] == {"name": "free_text"}


def test_a_named_input_is_read_and_warned_of() -> None:
    columns = {"id": ("integer", range(ROWS)), "kept": KEPT}
    assert drop(columns, named=frozenset(["id", "kept"])) == ({}, {"id": "identifier"})


def test_the_only_input_is_never_an_identifier() -> None:
    assert drop({"x": ("integer", range(ROWS))}) == ({}, {"x": "identifier"})


def test_a_constant_is_left_out_also_where_no_input_stays() -> None:
    assert drop({"x": ("integer", [1] * ROWS)})[0] == {"x": "constant"}
