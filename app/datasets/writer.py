"""Writes a typed table into the folder of a stored data set, with its profile, schema and manifest."""

import hashlib
import json
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import parquet

from app.datasets.convert import STORED_TYPES
from app.datasets.findings import Findings, refuse
from app.datasets.profile import ArrayProfile, ColumnProfile, profile_for
from app.datasets.stored import SCHEMA_FILE, ColumnInfo, array_bytes, rows_file
from app.datasets.table import Table

# A row group is what a page of rows has to read, and what the writer holds in memory.
_GROUP_BYTES: Final = 16 << 20
_GROUP_ROWS: Final = 1 << 17


def write_table(table: Table, folder: Path, findings: Findings) -> dict[str, Any]:
    """Write every split of `table` into `folder` and return the schema; 422 when there are no rows."""
    profiles = [profile_for(column, len(table.columns)) for column in table.columns]
    counts = {split: _write_rows(table, split, folder, profiles) for split in table.splits or (None,)}
    table.finish()
    rows = sum(counts.values())
    for split, n in counts.items():
        if n == 0:
            where = "The file" if split is None else f"Split {split!r}"
            raise refuse(f"{where} has no rows{' that could be taken in' if findings.rejected_count else ''}.")
    for column, profile in zip(table.columns, profiles, strict=True):
        if isinstance(profile, ArrayProfile) and profile.not_finite:
            message = f"Column {column.name!r}: {profile.not_finite} elements are not finite, and kept so."
            findings.note("not_finite_kept", message, column=column.name, count=profile.not_finite)
    schema = {
        "format": 1,
        "columns": [schema_entry(*pair) for pair in zip(table.columns, profiles, strict=True)],
        "splits": None if table.splits is None else {str(split): n for split, n in counts.items()},
        "rows": rows,
        "cleaning": findings.cleaning,
        "rejected": findings.rejected_json(),
    }
    (folder / SCHEMA_FILE).write_text(json.dumps(schema, ensure_ascii=False, allow_nan=False), encoding="utf-8")
    write_manifest(folder)
    return schema


def schema_entry(column: ColumnInfo, profile: ColumnProfile) -> dict[str, Any]:
    """Return a column of the schema: name, type and profile."""
    entry: dict[str, Any] = {"name": column.name, "type": column.type}
    if column.shape is not None:
        entry |= {"shape": list(column.shape), "dtype": column.dtype}
    return {**entry, "missing": profile.missing, **profile.facts()}


def _write_rows(table: Table, split: str | None, folder: Path, profiles: list[ColumnProfile]) -> int:
    fields = [pa.field(f"c{i}", stored_type(column)) for i, column in enumerate(table.columns)]
    words = [f"c{i}" for i, column in enumerate(table.columns) if column.type in ("category", "text", "boolean")]
    schema = pa.schema(fields)
    rows, waiting, waiting_bytes, waiting_rows = 0, [], 0, 0
    with parquet.ParquetWriter(
        folder / rows_file(split), schema, compression="zstd", compression_level=1, use_dictionary=words or False
    ) as sink:
        for arrays in table.batches(split):
            batch = pa.record_batch(arrays, schema=schema)
            for column, profile, array in zip(table.columns, profiles, arrays, strict=True):
                if column.type in ("category", "text"):
                    _refuse_nul(column.name, array)
                profile.update(array)
            waiting.append(batch)
            waiting_bytes += batch.nbytes
            waiting_rows += batch.num_rows
            if waiting_bytes >= _GROUP_BYTES or waiting_rows >= _GROUP_ROWS:
                rows += _flush(sink, waiting, schema)
                waiting, waiting_bytes, waiting_rows = [], 0, 0
        rows += _flush(sink, waiting, schema)
    return rows


def _refuse_nul(name: str, array: Any) -> None:
    """Refuse a NUL character in words: no database, and few consumers, can hold one."""
    if pc.any(pc.match_substring(array, "\0")).as_py():
        raise refuse(f"Column {name!r} has a NUL character in a value.", param="file")


def _flush(sink: Any, batches: list[Any], schema: Any) -> int:
    table = pa.Table.from_batches(batches, schema=schema)
    if table.num_rows:
        sink.write_table(table, row_group_size=table.num_rows)
    return int(table.num_rows)


def stored_type(column: ColumnInfo) -> Any:
    """Return the pyarrow type in which a column is stored."""
    if column.type == "image":
        return pa.binary()
    return pa.binary(array_bytes(column)) if column.type == "array" else STORED_TYPES[column.type]


def write_manifest(folder: Path) -> None:
    """Write `manifest.json` with the size and hash of every file of `folder`."""
    files = {}
    for path in sorted(folder.iterdir()):
        with path.open("rb") as source:
            digest = hashlib.file_digest(source, "sha256").hexdigest()
        files[path.name] = {"bytes": path.stat().st_size, "sha256": digest}
    (folder / "manifest.json").write_text(json.dumps({"files": files}, indent=1), encoding="utf-8")
