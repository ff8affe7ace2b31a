"""The order: all that a trainer is told. A JSON file that the supervisor writes."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson


@dataclass(frozen=True)
class Order:
    """One attempt at one job.

    `resolved` is complete: the trainer adds no defaults of its own. `datasets` are folders
    by role (`all`, or `train`, `validation`, `test`). `output` is the attempt's own folder;
    `checkpoint`, where there is one, the folder of the checkpoint to go on from.
    `trained_seconds` is what earlier attempts trained; it counts against `max_seconds`.
    `dataset`, id or ids by role, is for the bundle. `models` are folders of the bundles that the
    job reads, by role (`base`, `model`).
    """

    job: str
    attempt: int
    recipe: str
    resolved: dict[str, Any]
    datasets: dict[str, Path]
    output: Path
    checkpoint: Path | None
    threads: int
    trained_seconds: float
    checkpoint_seconds: float
    dataset: str | dict[str, str] | None
    kind: str = "train"
    models: dict[str, Path] = field(default_factory=dict)

    @property
    def training(self) -> dict[str, Any]:
        """The resolved `training` object of the request."""
        training: dict[str, Any] = self.resolved["training"]
        return training

    @property
    def seed(self) -> int:
        """The seed of weights, order of rows, noise and resampling."""
        return int(self.training["seed"])


def read_order(path: Path) -> Order:
    """Read the order at `path`; ValueError or KeyError when it is none."""
    return parse_order(orjson.loads(path.read_bytes()))


def parse_order(content: dict[str, Any]) -> Order:
    """Build an order from its JSON; KeyError names a field that is missing."""
    checkpoint = content.get("checkpoint")
    return Order(
        job=str(content["job"]),
        attempt=int(content["attempt"]),
        recipe=str(content["recipe"] or ""),
        resolved=dict(content["resolved"]),
        datasets={role: Path(folder) for role, folder in content["datasets"].items()},
        output=Path(content["output"]),
        checkpoint=None if checkpoint is None else Path(checkpoint),
        threads=max(1, int(content.get("threads", 1))),
        trained_seconds=float(content.get("trained_seconds", 0.0)),
        checkpoint_seconds=float(content.get("checkpoint_seconds", 60.0)),
        dataset=_dataset(content.get("dataset_ids") or {}),
        kind=str(content.get("kind", "train")),
        models={role: Path(folder) for role, folder in (content.get("models") or {}).items()},
    )


def _dataset(ids: dict[str, str]) -> str | dict[str, str] | None:
    """The one data set's id, or the ids by role."""
    return ids.get("all", ids) or None
