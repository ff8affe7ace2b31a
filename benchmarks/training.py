"""Samples a second of a training job, against other ways to train the same network on the same rows.

    python -m benchmarks.training [--seconds 20] [--threads N]

The network is dense 20-64-64-10 in batches of 32 over 60,000 rows. Each contestant runs in a process of its own, one
after the other; the job is a whole one (validation every epoch, reports, control), timed from its second epoch on.
The hand-tuned script is the best of `steps_per_execution` × `jit_compile`, found in short runs and then timed warm.
Prints one line a contestant: samples/s, and the job's speed as a multiple of it.
"""

import argparse
import io
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

ROWS, COLUMNS, CLASSES, BATCH = 60_000, 20, 10, 32
UNITS = (64, 64)
TRIALS = [(steps, jit) for jit in (False, True) for steps in (32, 128, 512)]
TRIAL_SECONDS = 4.0


def make_rows(rows: int) -> tuple[np.ndarray, np.ndarray]:
    """Return (rows, 20) float32 and (rows,) int32 classes that a linear rule and noise decide."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(rows, COLUMNS)).astype(np.float32)
    scores = x @ rng.normal(size=(COLUMNS, CLASSES)) + rng.normal(size=(rows, CLASSES))
    return x, scores.argmax(axis=1).astype(np.int32)


def measure_job(seconds: float, threads: int) -> float:
    """Samples/s of a job of the service's trainer, by the reports it sends."""
    with tempfile.TemporaryDirectory() as folder:
        order = _order(Path(folder), seconds + 10.0, threads)
        clock = _Clock()
        from workers.trainer.main import run
        from workers.trainer.order import parse_order

        run(parse_order(order), clock, None)
    return clock.samples_per_second


class _Clock(io.RawIOBase):
    """Notes when each epoch ended."""

    def __init__(self) -> None:
        self.ends: list[float] = []

    def writable(self) -> bool:
        return True

    def write(self, content: Any) -> int:
        for line in bytes(content).splitlines():
            report = json.loads(line)
            if report["type"] == "metrics" and report["split"] == "train":
                self.ends.append(time.perf_counter())
            elif report["type"] == "failed":
                raise SystemExit(report["error"]["message"])
        return len(content)

    @property
    def samples_per_second(self) -> float:
        # The last epoch was cut short by the time budget.
        ends = self.ends[1:-1]
        return ROWS * (len(ends) - 1) / (ends[-1] - ends[0])


def _order(folder: Path, seconds: float, threads: int) -> dict[str, Any]:
    from app.datasets.ingest_child import ingest
    from app.datasets.options import Limits, Options
    from app.datasets.stored import StoredDataset
    from app.recipes.request import JobRequest
    from app.recipes.resolve import resolve

    x, y = make_rows(ROWS * 5 // 4)
    names = [f"x{index}" for index in range(COLUMNS)]
    (folder / "dataset").mkdir()
    with (folder / "rows.csv").open("w") as sink:
        sink.write(",".join([*names, "label"]) + "\n")
        sink.writelines(f"{','.join(f'{v:.6g}' for v in row)},c{label}\n" for row, label in zip(x, y, strict=True))
    limits = Limits(1 << 30, 1 << 32, 300.0, 0)
    ingest(folder / "rows.csv", folder, folder / "dataset", Options(file_name="rows.csv"), limits)
    architecture = {
        "type": "mlp", "units": list(UNITS), "members": 1, "dropout": 0.0, "number_embeddings": {"type": "none"},
    }  # fmt: skip
    request = JobRequest.model_validate(
        {
            "recipe": "tabular-classification",
            "dataset": "ds_benchmark",
            "columns": {"target": "label"},
            "params": {"architecture": architecture},
            "training": {
                "epochs": 100_000,
                "batch_size": BATCH,
                "optimizer": {"name": "adam", "learning_rate": 0.001},
                "early_stopping": False,
                "max_seconds": seconds,
            },
        }
    )
    resolved = resolve(request, {"all": StoredDataset.open(folder / "dataset")}).resolved
    return {
        "job": "job_benchmark",
        "attempt": 1,
        "recipe": "tabular-classification",
        "resolved": resolved,
        "datasets": {"all": str(folder / "dataset")},
        "output": str(folder / "output"),
        "threads": threads,
        "checkpoint_seconds": 60.0,
    }


def measure_keras(seconds: float, steps: int, jit: bool) -> float:
    """Samples/s of `model.fit` on arrays in memory, without callbacks, after a warm-up epoch."""
    import keras

    keras.utils.set_random_seed(0)
    layers = [keras.layers.Dense(units, activation="relu") for units in UNITS]
    model = keras.Sequential([keras.Input((COLUMNS,)), *layers, keras.layers.Dense(CLASSES)])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile("adam", loss, metrics=["accuracy"], steps_per_execution=steps, jit_compile=jit)
    x, y = make_rows(ROWS)
    model.fit(x, y, batch_size=BATCH, epochs=1, verbose=0)
    began, epochs = time.perf_counter(), 0
    while time.perf_counter() - began < seconds:
        model.fit(x, y, batch_size=BATCH, epochs=5, verbose=0)
        epochs += 5
    return ROWS * epochs / (time.perf_counter() - began)


def measure_sklearn(seconds: float) -> float:
    """Samples/s of scikit-learn's MLPClassifier."""
    from sklearn.neural_network import MLPClassifier

    x, y = make_rows(ROWS)
    classifier = MLPClassifier(UNITS, batch_size=BATCH, alpha=0.0)
    classifier.partial_fit(x, y, classes=np.arange(CLASSES))
    began, epochs = time.perf_counter(), 0
    while time.perf_counter() - began < seconds:
        classifier.partial_fit(x, y)
        epochs += 1
    return ROWS * epochs / (time.perf_counter() - began)


def main() -> int:
    """Measure every contestant in a process of its own, and print the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.training", description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=20.0, help="how long each is timed, warm")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1, help="of the job; Keras takes all cores")
    parser.add_argument("--contestant", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.contestant:
        print(_measure(json.loads(arguments.contestant), arguments.seconds, arguments.threads))
        return 0
    trials = {(steps, jit): _apart(["keras", steps, jit], TRIAL_SECONDS, arguments.threads) for steps, jit in TRIALS}
    steps, jit = max(trials, key=lambda key: trials[key])
    rows = [
        ("plain model.fit", ["keras", 1, "auto"], 3.5),
        ("scikit-learn MLPClassifier", ["sklearn"], 1.0),
        (f"best script: steps_per_execution={steps}, jit_compile={jit}", ["keras", steps, jit], 0.97),
    ]
    job = _apart(["job"], arguments.seconds, arguments.threads)
    print(f"{'a job, ' + str(arguments.threads) + ' threads':58} {job:12,.0f} samples/s")
    met = True
    for name, contestant, least in rows:
        rate = _apart(contestant, arguments.seconds, arguments.threads)
        met = met and job >= least * rate
        print(f"{name:58} {rate:12,.0f} samples/s   the job: {job / rate:6.2f}× (goal {least:g}×)", flush=True)
    return 0 if met else 1


def _measure(contestant: list[Any], seconds: float, threads: int) -> float:
    kind, *options = contestant
    if kind == "job":
        return measure_job(seconds, threads)
    return measure_sklearn(seconds) if kind == "sklearn" else measure_keras(seconds, *options)


def _apart(contestant: list[Any], seconds: float, threads: int) -> float:
    command = [sys.executable, "-m", "benchmarks.training", "--contestant", json.dumps(contestant)]
    command += ["--seconds", str(seconds), "--threads", str(threads)]
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
    ran = subprocess.run(command, capture_output=True, env=environment, check=False)
    if ran.returncode:
        raise SystemExit(ran.stderr.decode(errors="replace")[-2000:])
    return float(ran.stdout.split()[-1])


if __name__ == "__main__":
    sys.exit(main())
