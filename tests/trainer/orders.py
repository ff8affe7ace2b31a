"""Small orders for the trainer: a table as CSV text, taken in and resolved by the service's own code."""

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from app.datasets.ingest_child import ingest
from app.datasets.options import Limits, Options
from app.datasets.stored import StoredDataset
from app.recipes.request import JobRequest
from app.recipes.resolve import resolve
from tests.images import png, zip_of
from workers.trainer.order import Order, parse_order

SMALL_MLP: dict[str, Any] = {
    "type": "mlp",
    "units": [16, 16],
    "members": 1,
    "dropout": 0.1,
    "normalization": "batch",
    "number_embeddings": {"type": "none"},
}


def blobs_csv(rows: int = 200, seed: int = 0) -> str:
    """Three classes that two numbers and a category tell apart, with a few values missing."""
    rng = np.random.default_rng(seed)
    kind = rng.integers(0, 3, rows)
    first = np.array([0.0, 3.0, 6.0])[kind] + rng.normal(size=rows)
    second = np.array([2.0, -2.0, 2.0])[kind] + rng.normal(size=rows)
    names = np.array(["red", "green", "blue"])
    colour = np.where(rng.random(rows) < 0.8, names[kind], names[rng.integers(0, 3, rows)])
    lines = ["first,second,colour,kind"]
    for row in range(rows):
        shown = "" if row % 17 == 3 else f"{first[row]:.4f}"
        lines.append(f"{shown},{second[row]:.4f},{colour[row]},{['low', 'middle', 'high'][kind[row]]}")
    return "\n".join(lines) + "\n"


def line_csv(rows: int = 200, seed: int = 0) -> str:
    """A value that is nearly linear in two numbers, far from zero, with the weight of each row."""
    rng = np.random.default_rng(seed)
    first, second = rng.normal(size=(2, rows))
    value = 1000.0 + 50.0 * first - 20.0 * second + rng.normal(size=rows)
    weight = rng.integers(1, 4, rows)
    lines = [f"{first[i]:.5f},{second[i]:.5f},{weight[i]},{value[i]:.4f}" for i in range(rows)]
    return "first,second,weight,value\n" + "\n".join(lines) + "\n"


def flags_csv(rows: int = 240, seed: int = 0) -> str:
    """Two yes-or-no targets, each told by one number."""
    rng = np.random.default_rng(seed)
    first, second = rng.normal(size=(2, rows))
    lines = [
        f"{first[i]:.5f},{second[i]:.5f},{str(first[i] > 0).lower()},{str(second[i] > 0.3).lower()}"
        for i in range(rows)
    ]
    return "first,second,up,right\n" + "\n".join(lines) + "\n"


def striped_zip(images: int = 240, seed: int = 0, side: int = 12) -> bytes:
    """Three classes of noisy coloured images: stripes across, stripes down, a disc."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[0:side, 0:side]
    disc = (rows - side / 2) ** 2 + (columns - side / 2) ** 2 < (side / 3) ** 2
    files = {}
    for index in range(images):
        shift, name = rng.integers(0, 4), ["across", "down", "disc"][index % 3]
        shape = {"across": (rows + shift) // 2 % 2, "down": (columns + shift) // 2 % 2, "disc": disc}[name]
        shades = rng.integers(60, 200, 3) * shape[:, :, None] + rng.normal(0, 20, (side, side, 3)) + 30
        files[f"{name}/{index}.png"] = png(np.clip(shades, 0, 255).astype(np.uint8))
    return zip_of(files)


def moods_csv(rows: int = 240, seed: int = 0) -> str:
    """Texts of one of three moods, each with a word or two of its own among words of all."""
    rng = np.random.default_rng(seed)
    own = {"glad": ["bright", "laughing", "joyous"], "sad": ["grey", "weeping", "lonely"], "cross": ["sharp", "fuming"]}
    common = [
        "the",
        "a",
        "day",
        "of",
        "my",
        "with",
        "it",
        "was",
        "and",
        "then",
        "again",
        "so",
        "very",
        "much,",
        "she",
        "said",
        "he",
        "came",
        "home",
        "in",
        "rain",
    ]
    lines = ["text,mood"]
    for row in range(rows):
        mood = list(own)[row % 3]
        words = [*rng.choice(common, 6), *rng.choice(own[mood], 2)]
        text = " ".join(rng.permutation(words))
        lines.append(f'"{text}{["", "!", " <br/>"][int(rng.integers(0, 3))]}",{mood}')
    return "\n".join(lines) + "\n"


def pairs_csv(rows: int = 240, seed: int = 0) -> str:
    """Two texts, and two labels: whether both have the word "red", and whether the second has "round"."""
    rng = np.random.default_rng(seed)
    common = [
        "stone",
        "ball",
        "of",
        "glass",
        "on",
        "the",
        "table",
        "a",
        "box",
        "with",
        "lid",
        "lies",
        "there",
        "under",
        "old",
        "green",
        "paper",
    ]
    lines = ["first,second,both_red,is_round"]
    for _ in range(rows):
        marks = rng.random(3) < 0.5
        parts = [list(rng.choice(common, 5)), list(rng.choice(common, 5))]
        if marks[0]:
            parts[0].append("red")
        if marks[1]:
            parts[1].append("red")
        if marks[2]:
            parts[1].append("round")
        texts = [" ".join(rng.permutation(part)) for part in parts]
        lines.append(f"{texts[0]},{texts[1]},{int(marks[0] and marks[1])},{int(marks[2])}")
    return "\n".join(lines) + "\n"


def store(folder: Path, csv: str | bytes) -> Path:
    """Take a CSV text, or a zip, in; return the folder of the data set."""
    work, stored = folder / "work", folder / "dataset"
    for path in (work, stored):
        path.mkdir(parents=True)
    upload = work / ("upload.csv" if isinstance(csv, str) else "upload.zip")
    upload.write_bytes(csv.encode() if isinstance(csv, str) else csv)
    ingest(upload, work, stored, Options(file_name=upload.name), Limits(1 << 30, 1 << 32, 60.0, 0))
    return stored


def order_of(folder: Path, csv: str | bytes, recipe: str, target: str | list[str], **request: Any) -> dict[str, Any]:
    """Return an order, as plain JSON, for `csv`; `request`: further fields of `POST /v1/jobs`."""
    dataset = folder / "dataset"
    if not dataset.exists():
        store(folder, csv)
    columns = {"target": target, **request.pop("columns", {})}
    params = request.pop("params", {"architecture": SMALL_MLP})
    body = {"recipe": recipe, "dataset": "ds_test", "columns": columns, "params": params, **request}
    resolution = resolve(JobRequest.model_validate(body), {"all": StoredDataset.open(dataset)})
    return {
        "job": "job_test",
        "attempt": 1,
        "recipe": recipe,
        "resolved": json.loads(json.dumps(resolution.resolved)),
        "datasets": {"all": str(dataset)},
        "dataset_ids": {"all": "ds_test"},
        "output": str(folder / "attempt-1"),
        "checkpoint": None,
        "threads": 1,
        "trained_seconds": 0.0,
        "checkpoint_seconds": 3600.0,
    }


def classification(folder: Path, **training: Any) -> dict[str, Any]:
    """An order for three classes."""
    return order_of(folder, blobs_csv(), "tabular-classification", "kind", training=training)


def regression(folder: Path, **training: Any) -> dict[str, Any]:
    """An order for a value."""
    return order_of(folder, line_csv(), "tabular-regression", "value", training=training)


class Sink(io.RawIOBase):
    """Takes reports; `lines` are those so far. `hook` sees each as it comes."""

    def __init__(self, hook: Callable[[dict[str, Any]], None] | None = None) -> None:
        self.lines: list[dict[str, Any]] = []
        self._hook = hook

    def writable(self) -> bool:
        return True

    def write(self, content: Any) -> int:
        for line in bytes(content).splitlines():
            report = json.loads(line)
            self.lines.append(report)
            if self._hook is not None:
                self._hook(report)
        return len(content)

    def of(self, kind: str) -> list[dict[str, Any]]:
        """Return the reports of a kind."""
        return [line for line in self.lines if line["type"] == kind]


def parsed(order: dict[str, Any], **changes: Any) -> Order:
    """Return an order with changes, as the trainer reads it."""
    return parse_order({**order, **changes})
