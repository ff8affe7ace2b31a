"""What every learning figure does: takes data in, trains in a process of its own, says where and when."""

import json
import os
import resource
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from app.datasets.ingest_child import ingest
from app.datasets.options import Limits, Options
from app.datasets.stored import StoredDataset

ROOT = Path(__file__).resolve().parents[2]


def take_in(path: Path, folder: Path) -> StoredDataset:
    """Store a file as the service does."""
    work, stored = folder / "work", folder / "dataset"
    for made in (work, stored):
        made.mkdir(parents=True)
    ingest(path, work, stored, Options(file_name=path.name), Limits(1 << 30, 1 << 33, 600.0, 0))
    return StoredDataset.open(stored)


def run_trainer(order: Path) -> tuple[dict[str, Any], int]:
    """Run the trainer in its own process; return its last report and how many epochs it took."""
    command = [sys.executable, "-m", "workers.trainer.main", str(order)]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    reports = [json.loads(line) for line in ended.stdout.splitlines() if line.startswith("{")]
    if not reports or reports[-1]["type"] != "done":
        raise RuntimeError(f"the trainer ended with {reports[-1:]} and said: {ended.stderr[-2000:]}")
    return reports[-1], max(report["epoch"] for report in reports if report["type"] == "metrics")


def processor_seconds() -> float:
    """Return the processor's seconds of the children so far: what others do on the machine is not in them."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def circumstances(threads: int) -> dict[str, Any]:
    """Where and when a figure was measured."""
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    return {
        "commit": commit.stdout.strip() or None,
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
        "cores": os.cpu_count(),
        "threads": threads,
    }
