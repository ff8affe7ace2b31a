"""Jobs that start from another: the order of one, as the service resolves it, with the folder of its base."""

import json
from pathlib import Path
from typing import Any

from app.datasets.stored import StoredDataset
from app.models.bundle import open_bundle
from app.recipes.base import BaseModel, open_base
from app.recipes.request import JobRequest
from app.recipes.resolve import Resolution, resolve
from tests.trainer.orders import Sink, parsed


def train(order: dict[str, Any], **changes: Any) -> Path:
    """Train to the end; return the folder of the bundle."""
    from workers.trainer.main import run

    sink = Sink()
    assert run(parsed(order, **changes), sink, None) == 0
    assert sink.lines[-1]["type"] == "done", sink.lines[-1]
    return Path(sink.lines[-1]["bundle"])


def base_of(bundle: Path) -> BaseModel:
    """Return what the service knows of a base."""
    opened = open_bundle(bundle)
    return open_base("base", 1, opened.manifest, opened.json("preprocessing.json"))


def resolve_on(
    bundle: Path, dataset: Path, recipe: str, target: str, params: dict[str, Any], **request: Any
) -> Resolution:
    """Resolve a job that starts from a bundle."""
    columns = {"target": target, **request.pop("columns", {})}
    body = {"recipe": recipe, "dataset": "ds_test", "columns": columns, "params": {"base": "base", **params}}
    data = {"all": StoredDataset.open(dataset)}
    return resolve(JobRequest.model_validate({**body, **request}), data, base_of(bundle))


def order_on(
    first: dict[str, Any], bundle: Path, target: str, params: dict[str, Any], **request: Any
) -> dict[str, Any]:
    """Return the order of a job on the data of `first`, that starts from `bundle`."""
    dataset = Path(first["datasets"]["all"])
    resolution = resolve_on(bundle, dataset, first["recipe"], target, params, **request)
    resolved = json.loads(json.dumps(resolution.resolved))
    output = str(Path(first["output"]).parent / "tuned")
    return {**first, "resolved": resolved, "models": {"base": str(bundle)}, "output": output}
