"""The table of what drills have measured, on `docs/drills.md`: `python -m tests.drills.report` writes it anew."""

import json
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "drills.md"
RESULTS = ROOT / "benchmarks" / "results" / "drills.json"
_BEGIN, _END = "<!-- measured: made from benchmarks/results/drills.json -->", "<!-- end -->"


def measured_table(results: list[dict[str, Any]]) -> str:
    """Return a row for each drill that passed with the real heartbeat and lease."""
    head = ["| promise | stack | measured | ran | seed |", "|---|---|---|---|---|"]
    return "\n".join([*head, *(_row(result) for result in results if result["passed"] and result["pace"] != "short")])


def _row(result: dict[str, Any]) -> str:
    ran = f"{result['date']} UTC, {result['commit']}, {result['cores']} cores, load {result['load'][0]:g}"
    return f"| {result['promise']} | {result['stack']} | {_words(result['figures'])} | {ran} | {result['seed']} |"


def _words(figures: dict[str, Any]) -> str:
    parts = []
    for name, value in figures.items():
        said = name.replace("_", " ")
        parts.append(f"{said}: ({_words(value)})" if isinstance(value, dict) else f"{said} {_word(value)}")
    return ", ".join(parts)


def _word(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def read_results(path: Path = RESULTS) -> list[dict[str, Any]]:
    """Return what was measured; nothing where no drill was run yet."""
    results: list[dict[str, Any]] = json.loads(path.read_text("utf-8")) if path.is_file() else []
    return results


def with_table(text: str) -> str:
    """Return the page with the table between its marks written anew."""
    head, rest = text.split(_BEGIN)
    _, tail = rest.split(_END)
    return f"{head}{_BEGIN}\n{measured_table(read_results())}\n{_END}{tail}"


if __name__ == "__main__":
    PAGE.write_text(with_table(PAGE.read_text("utf-8")), "utf-8")
