"""The page of drills: every drill is on it, and its figures are those that were measured."""

import re
from pathlib import Path

from tests.drills.__main__ import write_results
from tests.drills.catalogue import DRILLS
from tests.drills.report import PAGE, measured_table, read_results, with_table

RESULT = {
    "promise": "P2", "title": "t", "stack": "embedded", "pace": "real", "seed": 7, "passed": True, "seconds": 1.0,
    "commit": "abc", "date": "2026-01-01 00:00", "cores": 2, "load": [0.5, 0.5, 0.5],
    "figures": {"rows_changed": 0, "kept": True, "inner": {"p99_ms": 3.0}, "at_steps": [1, 2]},
}  # fmt: skip


def test_the_page_has_every_drill_and_what_was_measured() -> None:
    text = PAGE.read_text("utf-8")
    assert with_table(text) == text, "python -m tests.drills.report"
    told = re.findall(r"^\| (P\d+) \|.*\| `tests/drills/(\w+)\.py` \|$", text, re.MULTILINE)
    assert told == [(drill.promise, drill.run.__module__.rpartition(".")[2]) for drill in DRILLS]


def test_a_row_says_what_and_where() -> None:
    row = measured_table([RESULT]).splitlines()[2]
    assert "rows changed 0, kept yes, inner: (p99 ms 3.0), at steps 1, 2" in row
    assert "2026-01-01 00:00 UTC, abc, 2 cores, load 0.5 | 7 |" in row
    assert measured_table([{**RESULT, "passed": False}, {**RESULT, "pace": "short"}]).count("\n") == 1


def test_a_result_takes_the_place_of_the_earlier_one(tmp_path: Path) -> None:
    path = tmp_path / "results" / "drills.json"
    write_results(path, [RESULT, {**RESULT, "promise": "P10"}])
    write_results(path, [{**RESULT, "seed": 8}, {**RESULT, "stack": "postgresql"}])
    assert [(r["promise"], r["stack"], r["seed"]) for r in read_results(path)] == [
        ("P2", "embedded", 8), ("P2", "postgresql", 7), ("P10", "embedded", 7),
    ]  # fmt: skip
