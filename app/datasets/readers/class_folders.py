"""What zips of images and of texts share: one column of contents, one of labels, bad files named."""

from collections.abc import Callable, Iterator
from typing import Any, Final

import numpy as np
import pyarrow as pa

from app.core.errors import Unprocessable
from app.datasets.convert import Conversion
from app.datasets.findings import BadRow, bad_rows_error
from app.datasets.options import MAX_DETAILS, MAX_REJECTED_LISTED
from app.datasets.plan import check_types
from app.datasets.readers.folder_zip import FolderZip
from app.datasets.stored import ColumnInfo
from app.datasets.table import Source

LABEL: Final = "label"
_BATCH_BYTES: Final = 8 << 20
_BATCH_ROWS: Final = 4096


class BadFile(ValueError):
    """A file whose content is not what it should be; the message says why, after the file's name."""


class ClassFolders:
    """A table of files. `take` returns the stored value of a file's bytes, or raises BadFile."""

    def __init__(self, source: Source, column: ColumnInfo, take: Callable[[bytes], Any], stored_type: Any) -> None:
        self._source = source
        self._zip = FolderZip(source)
        self._take = take
        self._stored_type = stored_type
        self.splits = self._zip.splits
        declared = check_types(source.options.types, [column.name, LABEL])
        if column.name in declared:
            raise Unprocessable(f"types.{column.name}: this column keeps its type.", param=f"types.{column.name}")
        self._label = Conversion(LABEL, declared.get(LABEL, "category"), declared=LABEL in declared)
        self.columns = [column, ColumnInfo(LABEL, self._label.type)]
        self._bad = list(self._zip.strays)
        self._bad_count = len(self._bad)

    def batches(self, split: str | None) -> Iterator[list[Any]]:
        """Yield the files of a split with their labels; 422 that names bad files, where they are not skipped."""
        values: list[Any] = []
        labels: list[str] = []
        size = 0
        for member, content in self._zip.read(self._zip.members(split)):
            try:
                values.append(self._take(content))
            except BadFile as error:
                self._reject(BadRow(member.number, f"{member.path[:200]} {error}"))
                continue
            labels.append(member.label)
            size += len(content)
            if size >= _BATCH_BYTES or len(values) >= _BATCH_ROWS:
                yield self._batch(values, labels)
                values, labels, size = [], [], 0
        if values:
            yield self._batch(values, labels)
        if split in (None, (self.splits or (None,))[-1]):
            self._judge()

    def finish(self) -> None:
        """Say what was done to the labels."""
        self._label.say(self._source.findings)

    def _batch(self, values: list[Any], labels: list[str]) -> list[Any]:
        strings = pa.array(labels, pa.string())
        typed, misfits = self._label.apply(strings)
        column = pa.array(values, self._stored_type)
        if misfits is None:
            return [column, typed]
        for label in sorted({labels[int(row)] for row in np.flatnonzero(misfits)}):
            self._reject(BadRow(0, f"the class folder {label[:200]!r} is no {self._label.type}"))
        keep = pa.array(~misfits)
        return [column.filter(keep), typed.filter(keep)]

    def _reject(self, row: BadRow) -> None:
        self._bad_count += 1
        if len(self._bad) < MAX_REJECTED_LISTED:
            self._bad.append(row)

    def _judge(self) -> None:
        if not self._bad_count:
            return
        if self._source.options.on_bad_rows == "fail":
            raise bad_rows_error(self._bad[:MAX_DETAILS], self._bad_count, unit="File")
        self._source.findings.reject(self._bad, self._bad_count)
