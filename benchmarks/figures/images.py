"""How well the defaults for images do, untouched: `python -m benchmarks.figures.images`.

Every figure is what a client would get: the file is taken in by the service's reader, resolved from `recipe`, `dataset`
and `columns.target` alone, trained by the real trainer in its own process, and the bundle is asked about every image of
the official test split, as base64. Results go into `results/images.json` one by one, so a stopped run goes on where it
was; `--anew` forgets them.
"""

import argparse
import base64
import functools
import io
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from app.datasets.stored import StoredDataset
from app.inference.predictor import Predictor
from benchmarks.figures.trained import (
    data_folder,
    measure_missing,
    processor_seconds,
    run_trainer,
    take_in,
    write_order,
)

RESULTS = Path(__file__).parent / "results" / "images.json"
MOST_SECONDS = 300.0
ASKED_AT_ONCE = 64


@dataclass(frozen=True)
class Pictures:
    """A set of images with an official test split; `least` is what its mean accuracy must reach."""

    name: str
    file: str
    image: str
    target: str
    seeds: tuple[int, ...]
    least: float

    def run_names(self) -> list[str]:
        """Return the name of each run in the results."""
        return [f"{self.name}/seed {seed}" for seed in self.seeds]


SETS = (
    Pictures("mnist", "images/mnist_10k_4k.npz", "x", "y", (7, 8, 9), 0.985),
    Pictures("sign digits", "images/sign_digits.zip", "image", "label", (7, 8, 9, 10, 11), 0.85),
)


def main() -> int:
    """Measure what is missing, then print the table. The exit code is 1 where a mean is behind what is promised."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.figures.images", description=__doc__)
    parser.add_argument("sets", nargs="*", metavar="SET", help=", ".join(one.name for one in SETS))
    parser.add_argument("--anew", action="store_true", help="measure again what is there already")
    parser.add_argument("--threads", type=int, default=2, help="threads of the trainer")
    arguments = parser.parse_args()
    data, threads = data_folder(), arguments.threads
    chosen = [one for one in SETS if not arguments.sets or one.name in arguments.sets]
    runs = (
        (key, functools.partial(measure, pictures, data, seed, threads))
        for pictures in chosen
        for key, seed in zip(pictures.run_names(), pictures.seeds, strict=True)
    )
    results = measure_missing(RESULTS, runs, threads, anew=arguments.anew)
    return 0 if print_table(chosen, results) else 1


def measure(pictures: Pictures, data: Path, seed: int, threads: int, **request: Any) -> dict[str, Any]:
    """Train and score one run; `request`: further fields of the job, for what is no default."""
    with tempfile.TemporaryDirectory(prefix="figures-") as scratch:
        folder = Path(scratch)
        stored = take_in(data / pictures.file, folder)
        body = {
            "recipe": "image-classification",
            "dataset": "ds_all",
            "columns": {"target": pictures.target},
            **request,
            "training": {"seed": seed, **request.get("training", {})},
        }
        order = write_order(body, {"all": stored}, folder, threads)
        started, used = time.monotonic(), processor_seconds()
        done, epochs = run_trainer(order)
        seconds, used = time.monotonic() - started, processor_seconds() - used
        hits = ask(Predictor.load(Path(done["bundle"])), stored, pictures)
    return {
        "figure": "accuracy",
        "value": float(hits.mean()),
        "standard_error": float(hits.std() / len(hits) ** 0.5),
        "rows": list((stored.splits or {}).values()),
        "seconds": round(seconds, 1),
        "processor_seconds": round(used, 1),
        "trained_seconds": round(done["trained_seconds"], 1),
        "epochs": epochs,
        "seed": seed,
    }


def ask(predictor: Predictor, stored: StoredDataset, pictures: Pictures) -> np.ndarray[Any, Any]:
    """Return which images of the test split are answered rightly, (N,) of 0 and 1."""
    rows = stored.read([pictures.image, pictures.target], "test")
    hits = []
    for start in range(0, len(rows[pictures.target]), ASKED_AT_ONCE):
        images = [in_base64(image) for image in rows[pictures.image][start : start + ASKED_AT_ONCE]]
        answers = predictor.predict(images)
        truth = rows[pictures.target][start : start + ASKED_AT_ONCE].tolist()
        hits += [answer["label"] == label for answer, label in zip(answers, truth, strict=True)]
    return np.array(hits, float)


def in_base64(image: Any) -> dict[str, str]:
    """Return an image of a data set as a client sends it: its file, or an array as a PNG file."""
    if not isinstance(image, bytes):
        sink = io.BytesIO()
        Image.fromarray(image).save(sink, "PNG")
        image = sink.getvalue()
    return {"b64": base64.b64encode(image).decode()}


def print_table(sets: list[Pictures], results: dict[str, Any]) -> bool:
    """Print mean ± deviation over the runs; return whether every mean reaches what is promised."""
    print(f"\n{'images':14s}{'runs':>5s}{'accuracy':>20s}{'at least':>10s}{'seconds':>9s}{'processor':>11s}")
    fine = True
    for pictures in sets:
        found = [results[key] for key in pictures.run_names() if key in results]
        if not found:
            continue
        values = np.array([entry["value"] for entry in found])
        seconds, used = (max(entry[key] for entry in found) for key in ("seconds", "processor_seconds"))
        reached = values.mean() >= pictures.least
        # Beside others the clock says little; two idle cores take half of the processor's seconds, at the least.
        note = "" if reached else "  BEHIND"
        fine &= bool(reached) and used <= 2 * MOST_SECONDS
        print(
            f"{pictures.name:14s}{len(found):5d}{f'{values.mean():.4f} ± {values.std():.4f}':>20s}"
            f"{pictures.least:10.3f}{seconds:9.1f}{used:11.1f}{note}"
        )
    return fine


if __name__ == "__main__":
    sys.exit(main())
