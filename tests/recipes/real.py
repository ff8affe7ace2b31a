"""Real tables, taken in as a client's upload is, and resolved."""

from pathlib import Path
from typing import Any

from app.datasets.ingest_child import ingest
from app.datasets.options import Limits, Options
from app.datasets.stored import StoredDataset
from app.recipes.request import JobRequest
from app.recipes.resolve import Resolution, resolve

LIMITS = Limits(max_upload_bytes=1 << 30, memory_bytes=1 << 32, seconds=60.0, min_free_bytes=0)


def take_in(file: Path, work_dir: Path) -> StoredDataset:
    """Return the stored data set of a file."""
    work, output = work_dir / f"{file.stem}-work", work_dir / f"{file.stem}-stored"
    work.mkdir(parents=True)
    output.mkdir()
    ingest(file, work, output, Options(file_name=file.name), LIMITS)
    return StoredDataset.open(output)


def resolve_on(data: dict[str, StoredDataset], recipe: str, target: str, **parts: Any) -> Resolution:
    """Return the resolution of a request that names no more than it must."""
    columns = {"target": target, **parts.pop("columns", {})}
    body = {"recipe": recipe, "dataset": "ds_1", "columns": columns, **parts}
    return resolve(JobRequest.model_validate(body), dict(data))
