"""Whether a base pays where labels are few: `python -m benchmarks.figures.finetuning`.

A network learns the digits 0 to 4 of MNIST; then 5 to 9 are to be told apart from 20 examples of each, once from that
base and once by the same network from scratch, both with defaults: the same examples, the same seed, 5 seeds. Scored by
the bundles on all 2,000 test images of 5 to 9. Results go into `results/finetuning.json` one by one, so a stopped run
goes on where it was; `--anew` forgets them.
"""

import argparse
import functools
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from app.datasets.stored import StoredDataset
from app.inference.predictor import Predictor
from benchmarks.figures.images import Pictures, ask
from benchmarks.figures.trained import data_folder, measure_missing, run_trainer, take_in, write_order

RESULTS = Path(__file__).parent / "results" / "finetuning.json"
SEEDS = (7, 8, 9, 10, 11)
EXAMPLES = 20
BASE_EPOCHS = 12
# What the base must gain in accuracy, on average over the seeds.
LEAST_GAIN = 0.003
FILE = "images/mnist_10k_4k.npz"
PICTURES = Pictures("digits", FILE, "x", "y", SEEDS, 0.0)


def main() -> int:
    """Measure what is missing, then print the table. The exit code is 1 where the base does not pay."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.figures.finetuning", description=__doc__)
    parser.add_argument("--anew", action="store_true", help="measure again what is there already")
    parser.add_argument("--threads", type=int, default=1, help="threads of the trainer")
    arguments = parser.parse_args()
    file, threads = data_folder() / FILE, arguments.threads
    with tempfile.TemporaryDirectory(prefix="figures-") as scratch:
        folder = Path(scratch)
        # Trained once, and only where a run is missing.
        base = functools.cache(lambda: train_base(file, folder, threads, BASE_EPOCHS))

        def run(seed: int) -> dict[str, Any]:
            return measure(file, base(), folder / str(seed), seed, threads)

        runs = ((f"seed {seed}", functools.partial(run, seed)) for seed in SEEDS)
        results = measure_missing(RESULTS, runs, threads, anew=arguments.anew)
    return 0 if print_table(results) else 1


def train_base(file: Path, folder: Path, threads: int, epochs: int, **request: Any) -> Path:
    """Train on the digits 0 to 4; return the folder of the bundle. `request`: further fields of the job."""
    stored = take_digits(file, folder / "base", range(5), None, 7)
    return train(stored, folder / "base", {"training": {"epochs": epochs}, **request}, threads)[0]


def measure(file: Path, base: Path, folder: Path, seed: int, threads: int, **more: Any) -> dict[str, Any]:
    """Train from the base and from scratch on the same examples; `more`: fields of both jobs but `params.base`."""
    stored = take_digits(file, folder, range(5, 10), EXAMPLES, seed)
    figures: dict[str, Any] = {"figure": "accuracy", "seed": seed, "examples": EXAMPLES}
    for name, bundle in (("base", base), ("scratch", None)):
        started = time.monotonic()
        request = {**more, "training": {"seed": seed, **more.get("training", {})}}
        found, epochs = train(stored, folder / name, request, threads, bundle)
        hits = ask(Predictor.load(found), stored, PICTURES)
        figures[name] = float(hits.mean())
        figures[f"{name}_epochs"] = epochs
        figures[f"{name}_seconds"] = round(time.monotonic() - started, 1)
    return figures


def take_digits(file: Path, folder: Path, digits: range, examples: int | None, seed: int) -> StoredDataset:
    """Store the images of some digits, of the training side so many a class, chosen by the seed."""
    rng = np.random.default_rng(seed)
    arrays: dict[str, Any] = {}
    with np.load(file) as archive:
        for side in ("train", "test"):
            images, labels = archive[f"x_{side}"], archive[f"y_{side}"]
            few = examples if side == "train" else None
            chosen = np.concatenate([rng.permutation(np.flatnonzero(labels == digit))[:few] for digit in digits])
            arrays |= {f"x_{side}": images[chosen], f"y_{side}": labels[chosen]}
    folder.mkdir(parents=True)
    np.savez(folder / "digits.npz", **arrays)
    return take_in(folder / "digits.npz", folder)


def train(
    stored: StoredDataset, folder: Path, request: dict[str, Any], threads: int, base: Path | None = None
) -> tuple[Path, int]:
    """Resolve and train a job, on a base or from scratch; return the folder of its bundle, and the epochs."""
    body: dict[str, Any] = {
        "recipe": "image-classification",
        "dataset": "ds_all",
        "columns": {"target": PICTURES.target},
        **request,
    }
    if base is not None:
        body["params"] = {**body.get("params", {}), "base": "base"}
    folder.mkdir(exist_ok=True)
    done, epochs = run_trainer(write_order(body, {"all": stored}, folder, threads, base))
    return Path(done["bundle"]), epochs


def print_table(results: dict[str, Any]) -> bool:
    """Print the pairs, their mean difference and its standard error; return whether the base pays."""
    print(f"\n{'':10s}{'from the base':>15s}{'from scratch':>15s}{'difference':>13s}")
    for name, pair in sorted(results.items(), key=lambda item: int(item[1]["seed"])):
        print(f"{name:10s}{pair['base']:15.4f}{pair['scratch']:15.4f}{pair['base'] - pair['scratch']:+13.4f}")
    gains = np.array([pair["base"] - pair["scratch"] for pair in results.values()])
    if len(gains) < 2:
        return bool(len(gains)) and float(gains[0]) > 0
    error = gains.std(ddof=1) / len(gains) ** 0.5
    print(f"{'mean':10s}{'':30s}{gains.mean():+13.4f}  standard error {error:.4f}")
    return bool(gains.mean() >= LEAST_GAIN and gains.mean() > 2 * error)


if __name__ == "__main__":
    sys.exit(main())
