"""What a reader hands over: typed columns, and batches of their stored values, split by split."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from app.datasets.findings import Findings
from app.datasets.options import Limits, Options
from app.datasets.stored import ColumnInfo


class Table(Protocol):
    """An upload that has been looked at and typed. Arrays are pyarrow arrays of the stored types."""

    columns: list[ColumnInfo]
    splits: tuple[str, ...] | None

    def batches(self, split: str | None) -> Iterator[list[Any]]:
        """Yield the rows of a split as one array a column, all of the same length."""

    def finish(self) -> None:
        """Write what was counted on the way into the findings; called after the last batch."""


@dataclass(frozen=True)
class Source:
    """What a reader reads: the upload, a folder to work in, what the client said, and the limits."""

    upload: Path
    work_dir: Path
    options: Options
    limits: Limits
    findings: Findings


Reader = Callable[[Source], Table]
