"""Takes files in without HTTP and without a child process: the reader itself, in this process."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from app.datasets.ingest_child import ingest
from app.datasets.options import Limits, Options
from app.datasets.stored import StoredDataset

LIMITS = Limits(max_upload_bytes=1 << 30, memory_bytes=1 << 30, seconds=60.0, min_free_bytes=0)


@dataclass
class Taken:
    """A data set that was taken in."""

    schema: dict[str, Any]
    format: str
    stored: StoredDataset

    def column(self, name: str) -> dict[str, Any]:
        return next(column for column in self.schema["columns"] if column["name"] == name)

    @property
    def types(self) -> dict[str, str]:
        return {column["name"]: column["type"] for column in self.schema["columns"]}

    @property
    def actions(self) -> list[str]:
        return [note["action"] for note in self.schema["cleaning"]]

    def notes(self, action: str) -> list[dict[str, Any]]:
        return [note for note in self.schema["cleaning"] if note["action"] == action]

    def values(self, name: str) -> list[Any]:
        return [row[name] for row in self.stored.page(0, 1_000_000)]


TakeIn = Callable[..., Taken]


@pytest.fixture
def take_in(tmp_path: Path) -> TakeIn:
    """Take in bytes, text or a file: `take_in("a,b\\n1,2\\n", delimiter=",")`."""
    counter = iter(range(10_000))

    def run(content: bytes | str | Path, *, limits: Limits = LIMITS, **options: Any) -> Taken:
        work_dir = tmp_path / f"take-in-{next(counter)}"
        output = work_dir / "stored"
        output.mkdir(parents=True)
        if isinstance(content, Path):
            upload = content
            options.setdefault("file_name", content.name)
        else:
            upload = work_dir / "upload"
            upload.write_bytes(content.encode() if isinstance(content, str) else content)
        if "file_name" not in options:
            options.setdefault("format", "csv")
        result = ingest(upload, work_dir, output, Options(**options), limits)
        return Taken(result["schema"], result["format"], StoredDataset.open(output))

    return run
