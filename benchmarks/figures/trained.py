"""What every learning figure does: takes data in, trains in a process of its own, keeps what was found and when."""

import json
import os
import resource
import subprocess
import sys
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from app.datasets.ingest_child import ingest
from app.datasets.options import Limits, Options
from app.datasets.stored import StoredDataset
from app.models.bundle import open_bundle
from app.recipes.base import BaseModel, open_base
from app.recipes.request import JobRequest
from app.recipes.resolve import resolve

ROOT = Path(__file__).resolve().parents[2]


def data_folder() -> Path:
    """Return the folder of the real data sets."""
    return Path(os.environ.get("TRAINYARD_TEST_DATA", ROOT.parent / "shared" / "data"))


def read_results(path: Path) -> dict[str, Any]:
    """Return what was measured before, by the name of the run."""
    found: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}
    return found


def measure_missing(
    path: Path, runs: Iterable[tuple[str, Callable[[], dict[str, Any]]]], threads: int, *, anew: bool = False
) -> dict[str, Any]:
    """Measure the runs that are not in the results, write each down as it ends, and return all."""
    results = read_results(path)
    for key, run in runs:
        if key in results and not anew:
            continue
        results[key] = {**run(), **circumstances(threads)}
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps(results, indent=1, sort_keys=True) + "\n")
        print(f"{key}: {json.dumps(results[key])}", flush=True)
    return results


def write_order(
    request: Mapping[str, Any], data: Mapping[str, StoredDataset], folder: Path, threads: int, base: Path | None = None
) -> Path:
    """Resolve a request on data sets by role, and write the trainer's order; `base`: the bundle that it starts from.

    In the request a data set's id is `ds_` and its role, the base's ref `base`.
    """
    model: BaseModel | None = None
    if base is not None:
        bundle = open_bundle(base)
        model = open_base("base", 1, bundle.manifest, bundle.json("preprocessing.json"))
    order = {
        "job": "job_figure",
        "attempt": 1,
        "recipe": request["recipe"],
        "resolved": resolve(JobRequest.model_validate(dict(request)), data, model).resolved,
        "datasets": {role: str(stored.folder) for role, stored in data.items()},
        "dataset_ids": {role: f"ds_{role}" for role in data},
        "models": {} if base is None else {"base": str(base)},
        "output": str(folder / "attempt-1"),
        "checkpoint": None,
        "threads": threads,
        "trained_seconds": 0.0,
        "checkpoint_seconds": 3600.0,
    }
    path = folder / "order.json"
    path.write_text(json.dumps(order))
    return path


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
