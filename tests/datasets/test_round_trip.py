"""What is written to a CSV comes back: same values, or words spelled as they were."""

import csv
import io
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.datasets.readers import delimited
from app.datasets.spelling import MISSING
from tests.datasets.conftest import TakeIn

fast = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
NAMES = st.lists(
    st.text(st.characters(categories=["L", "N", "P"]), min_size=1, max_size=8).filter(lambda s: '"' not in s),
    min_size=2, max_size=4, unique_by=lambda name: name.strip(),
)  # fmt: skip
WORDS = st.text(st.characters(exclude_categories=["Cs", "Cc"]) | st.sampled_from('\n",;\t|'), max_size=12)


def to_csv(header: list[str], rows: list[list[Any]], delimiter: str = ",") -> str:
    sink = io.StringIO()
    writer = csv.writer(sink, delimiter=delimiter, lineterminator="\n", quoting=csv.QUOTE_ALL)
    writer.writerows([header, *rows])
    return sink.getvalue()


@fast
@given(values=st.lists(st.floats(allow_nan=False, allow_infinity=False) | st.none(), min_size=1, max_size=30))
def test_numbers(take_in: TakeIn, values: list[float | None]) -> None:
    taken = take_in(to_csv(["k", "x"], [["k", "" if v is None else repr(v)] for v in values]), types={"x": "number"})
    read = taken.stored.read(["x"])["x"]
    for value, found in zip(values, read, strict=True):
        assert math.isnan(found) if value is None else found == value
    inferred = take_in(to_csv(["k", "x"], [["k", "" if v is None else repr(v)] for v in values]))
    if inferred.types["x"] == "number":
        assert np.array_equal(inferred.stored.read(["x"])["x"], read, equal_nan=True)
    else:  # all missing, or a number beyond 2^53 spelled without a point
        assert inferred.values("x") == [None if v is None else repr(v) for v in values]


@fast
@given(values=st.lists(st.integers(-(2**70), 2**70) | st.none(), min_size=1, max_size=30))
def test_integers(take_in: TakeIn, values: list[int | None]) -> None:
    taken = take_in(to_csv(["k", "n"], [["k", "" if v is None else v] for v in values]))
    if any(v is not None for v in values) and all(v is None or abs(v) <= 2**53 for v in values):
        assert taken.types["n"] == "integer"
        assert taken.values("n") == values
    else:
        assert taken.values("n") == [None if v is None else str(v) for v in values]


@fast
@given(
    rows=st.lists(st.tuples(WORDS, WORDS), min_size=1, max_size=12),
    delimiter=st.sampled_from([",", ";", "\t", "|"]),
    block=st.sampled_from([64, 1 << 20]),
)
def test_texts(
    take_in: TakeIn, monkeypatch: pytest.MonkeyPatch, rows: list[tuple[str, str]], delimiter: str, block: int
) -> None:
    monkeypatch.setattr(delimited, "_BLOCK_BYTES", max(block, 400))
    content = to_csv(["a", "b"], [list(row) for row in rows], delimiter)
    taken = take_in(content, delimiter=delimiter, types={"a": "text", "b": "text"})
    spaced = "spaces_after_delimiter" in taken.actions
    read = taken.stored.read()
    for column, name in enumerate("ab"):
        for row, found in zip(rows, read[name], strict=True):
            value = row[column].lstrip(" ") if spaced else row[column]
            assert found == (value or None)


@fast
@given(rows=st.lists(st.sampled_from(["red", "dark red", "x,y", 'q"q', "Ü", " ?", "NA", "", "None"]), min_size=1))
def test_categories(take_in: TakeIn, rows: list[str]) -> None:
    taken = take_in(to_csv(["k", "c"], [["k", value] for value in rows]))
    found = taken.values("c")
    for value, stored in zip(rows, found, strict=True):
        if stored is None:
            assert value.strip() in MISSING
        else:
            assert stored == value.strip()
    # Whatever became missing was empty, or is counted in what was said.
    said = sum(note["count"] for note in taken.notes("missing_spelling"))
    assert said == sum(stored is None and value != "" for value, stored in zip(rows, found, strict=True))


@fast
@given(names=NAMES)
def test_names(take_in: TakeIn, names: list[str]) -> None:
    taken = take_in(to_csv(names, [[1] * len(names)]), delimiter=",")
    assert list(taken.types) == [name.strip() for name in names]


def test_pyarrow_and_the_standard_library_cut_rows_alike(tmp_path: Path, take_in: TakeIn) -> None:
    """The slow reader names lines of what the fast one read: both must see the same rows."""
    from app.datasets.readers.csv_rows import Dialect, walk

    content = 'a,b\n1,"x"\n"2","y ""z"""\n3,q"q\n\n"4","line\n\nend"\n5,\n,6\n'
    path = tmp_path / "t.csv"
    path.write_text(content)
    rows = [row.fields for row in walk(path, Dialect(",", quoting=True))][1:]
    taken = take_in(path, types={"a": "text", "b": "text"})
    stored = [["" if v is None else v for v in row.values()] for row in taken.stored.page(0, 99)]
    assert stored == rows


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    body=st.text(st.sampled_from('ab,"\n\r '), max_size=40),
    quoting=st.sampled_from([None, True, False]),
    width=st.integers(1, 3),
    block=st.sampled_from([64, 1 << 20]),
)
def test_fast_and_slow_reader_agree_on_anything(
    tmp_path_factory: pytest.TempPathFactory, body: str, quoting: bool | None, width: int, block: int
) -> None:
    """Rows, values and lines of whatever text: what pyarrow takes in is what `csv` says is good."""
    from app.core.errors import Unprocessable
    from app.datasets.findings import Findings
    from app.datasets.options import Options
    from app.datasets.readers.csv_rows import walk
    from app.datasets.readers.delimited import _open_delimited
    from app.datasets.table import Source
    from app.datasets.text_scan import TextFile
    from tests.datasets.conftest import LIMITS

    path = tmp_path_factory.mktemp("csv") / "text"
    path.write_bytes((",".join("xyz"[:width]) + "\n" + body).encode())
    options = Options(format="csv", delimiter=",", quoting=quoting)
    source = Source(path, path.parent, options, LIMITS, Findings())
    try:
        text = _open_delimited(TextFile(path, path.stat().st_size), source, None)
    except Unprocessable:
        return
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(delimited, "_BLOCK_BYTES", block)
        fast = [row for arrays in text.batches() for row in zip(*(a.to_pylist() for a in arrays), strict=True)]
    rows = list(walk(path, text.dialect))[1:]
    good = [row for row in rows if len(row.fields) == width]
    assert fast == [tuple(value or None for value in row.fields) for row in good]
    assert text.bad_rows == len(rows) - len(good)
    assert text.lines(list(range(len(good)))) == [row.line for row in good]
    assert [row.line for row in text.ragged()] == [row.line for row in rows if len(row.fields) != width]
