"""The rows that a batch job writes, part by part, so that it goes on from the last whole part.

A part is a Parquet file with a row group a batch, in the folder of a checkpoint:

    checkpoint-000000131072/   rows-000000.parquet  state.json  manifest.json

Its name is the number of rows written with it; `state.json` says how many were before it. The parts of all checkpoints
together are the data set.
"""

import json
import os
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
from pyarrow import parquet

from app.datasets.profile import profile_for
from app.datasets.stored import SCHEMA_FILE, ColumnInfo
from app.datasets.writer import schema_entry, stored_type, write_manifest

STATE: Final = "state.json"
FORMAT: Final = 1
# A file that is read in one go somewhere should not be huge.
PART_ROWS: Final = 1 << 20
# As in a table of so many columns: quantiles from about 100,000 values each, so that the end does not wait for them.
PROFILED_AS: Final = 80


@dataclass
class State:
    """What a job knows besides its rows, kept with each part."""

    rows: int = 0
    batch_rows: int | None = None
    failed: int = 0
    first_error: str | None = None
    seconds: float = 0.0
    parts: list[tuple[str, int]] = field(default_factory=list)

    def to_json(self, start: int) -> dict[str, Any]:
        """Return the state as plain data; `start` is the number of rows before the part."""
        return {
            "format": FORMAT,
            "start": start,
            "rows": self.rows,
            "batch_rows": self.batch_rows,
            "failed": self.failed,
            "first_error": self.first_error,
            "seconds": self.seconds,
            "parts": [list(part) for part in self.parts],
        }

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> "State":
        """Return what `to_json` wrote."""
        return cls(
            rows=content["rows"],
            batch_rows=content["batch_rows"],
            failed=content["failed"],
            first_error=content["first_error"],
            seconds=content["seconds"],
            parts=[(name, rows) for name, rows in content["parts"]],
        )


class Parts:
    """Writes batches of columns into parts, and all parts into a data set."""

    def __init__(self, columns: list[ColumnInfo], output: Path, checkpoint: Path | None) -> None:
        """Take over the parts that lie in the folders of `checkpoint`, by name in order."""
        self.columns = columns
        self.state = State()
        self._output = output
        self._dataset = output / "dataset"
        self._dataset.mkdir(parents=True, exist_ok=True)
        self._schema = pa.schema([pa.field(f"c{i}", stored_type(column)) for i, column in enumerate(columns)])
        # Texts (ids, errors) seldom repeat: a dictionary of them costs a quarter of the time of writing.
        self._repeated = [f"c{i}" for i, c in enumerate(columns) if c.type in ("category", "boolean")]
        self._profiles = [profile_for(column, PROFILED_AS) for column in columns]
        self._open: Any = None
        self._open_rows = 0
        for folder in sorted(checkpoint.iterdir()) if checkpoint is not None and checkpoint.is_dir() else []:
            self._take_over(folder)

    @property
    def waiting_rows(self) -> int:
        """Rows of the part that is not closed yet."""
        return self._open_rows

    def write(self, arrays: list[Any]) -> None:
        """Write a batch, one array a column."""
        batch = pa.record_batch(arrays, schema=self._schema)
        if self._open is None:
            self._open = parquet.ParquetWriter(
                self._dataset / self._next_name(), self._schema, compression="zstd", compression_level=1,
                use_dictionary=self._repeated or False, write_statistics=False,
            )  # fmt: skip
        self._open.write_batch(batch, row_group_size=max(1, batch.num_rows))
        self._count(arrays)
        self._open_rows += batch.num_rows
        self.state.rows += batch.num_rows

    def close_part(self) -> Path | None:
        """Close the part and return its checkpoint folder, whole and on disk; None where no row waits."""
        if self._open is None:
            return None
        self._open.close()
        name, start = self._next_name(), self.state.rows - self._open_rows
        self.state.parts.append((name, self._open_rows))
        self._open, self._open_rows = None, 0
        folder = self._output / f"checkpoint-{self.state.rows:012d}"
        temporary = self._output / f".{folder.name}.tmp"
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir()
        os.link(self._dataset / name, temporary / name)
        (temporary / STATE).write_text(json.dumps(self.state.to_json(start)), encoding="utf-8")
        write_manifest(temporary)
        temporary.rename(folder)
        return folder

    def seal(self) -> tuple[Path, dict[str, Any]]:
        """Write schema and manifest over all parts; return the folder of the data set and its schema."""
        schema = {
            "format": 1,
            "columns": [schema_entry(*pair) for pair in zip(self.columns, self._profiles, strict=True)],
            "splits": None,
            "rows": self.state.rows,
            "parts": [list(part) for part in self.state.parts],
            "cleaning": [],
            "rejected": {"count": 0, "rows": []},
        }
        text = json.dumps(schema, ensure_ascii=False, allow_nan=False)
        (self._dataset / SCHEMA_FILE).write_text(text, encoding="utf-8")
        write_manifest(self._dataset)
        return self._dataset, schema

    def _take_over(self, folder: Path) -> None:
        state = State.from_json(json.loads((folder / STATE).read_bytes()))
        name, _ = state.parts[-1]
        (folder / name).rename(self._dataset / name)
        source = parquet.ParquetFile(self._dataset / name)
        for group in range(source.metadata.num_row_groups):
            table = source.read_row_group(group)
            # Counted batch by batch, as it was when it was written: the profile is the same to the last bit.
            self._count([column.combine_chunks() for column in table.columns])
        self.state = state

    def _count(self, arrays: list[Any]) -> None:
        for profile, array in zip(self._profiles, arrays, strict=True):
            profile.update(array)

    def _next_name(self) -> str:
        return f"rows-{len(self.state.parts):06d}.parquet"
