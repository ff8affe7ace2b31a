"""What a reader says about an upload besides its rows: what was cleaned, and what was rejected."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from app.core.errors import Unprocessable
from app.datasets.options import MAX_DETAILS, MAX_REJECTED_LISTED


def refuse(message: str, *, param: str | None = None, details: list[dict[str, Any]] | None = None) -> Unprocessable:
    """Return the 422 for an upload that is not what it should be (code `dataset_invalid`)."""
    return Unprocessable(message, code="dataset_invalid", param=param, details=details)


@dataclass(frozen=True)
class BadRow:
    """A row that could not be taken in: its first line in the file (from 1), and why."""

    line: int
    reason: str


@dataclass
class Findings:
    """Collected while reading: `cleaning` notes and rejected rows."""

    cleaning: list[dict[str, Any]] = field(default_factory=list)
    rejected: list[BadRow] = field(default_factory=list)
    rejected_count: int = 0

    def note(self, action: str, message: str, *, column: str | None = None, count: int | None = None) -> None:
        """Say what was cleaned or decided: an action code, a sentence, the column, how many values."""
        self.cleaning.append({"column": column, "action": action, "count": count, "message": message})

    def reject(self, rows: Iterable[BadRow], count: int) -> None:
        """Write down `count` more rejected rows, of which `rows` can be named."""
        self.rejected_count += count
        self.rejected.extend(rows)
        self.rejected.sort(key=lambda row: row.line)
        del self.rejected[MAX_REJECTED_LISTED:]

    def rejected_json(self) -> dict[str, Any]:
        """Return `{"count", "rows": [{"line", "reason"}]}`, the first 100 rows."""
        return {"count": self.rejected_count, "rows": [{"line": r.line, "reason": r.reason} for r in self.rejected]}


def bad_rows_error(rows: list[BadRow], count: int, unit: str = "Line") -> Unprocessable:
    """Return the 422 that names the first bad rows of `count`; `unit` is what they are counted in."""
    rows = sorted(rows, key=lambda row: row.line)
    first = f"{unit} {rows[0].line}: {rows[0].reason}."
    more = f" {count - 1} more rows are bad." if count > 1 else ""
    details = [{"param": "file", "line": row.line, "message": row.reason} for row in rows[:MAX_DETAILS]]
    return refuse(f"{first}{more} Send on_bad_rows=skip to leave bad rows out.", param="file", details=details)
