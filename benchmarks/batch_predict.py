"""Rows a second of a `predict` job, from the claim to the data set of predictions, against a bare ONNX session.

The same rows, model and machine, in turns, medians; both may use every core. Two baselines that read and write nothing:

    session    the ONNX session alone, in batches, on inputs that are prepared and in memory
    prepared   the same with the preprocessing before it, batch by batch, on columns that are in memory

`table`: a small network on numbers and categories, where preparing a row takes longer than predicting it, so the
second baseline is the fair one. `array`: a dense network of 2 million weights on one array column, where the session
is what takes time. Goal: 0.8 of `prepared` for the first, 0.8 of `session` for the second.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pyarrow as pa
from pyarrow import parquet

from app.datasets.stored import StoredDataset
from app.inference.predictor import Predictor
from tests.batch.world import PROJECT, BatchYard
from tests.inference.bundles import array_bundle, table_bundle

BATCH_ROWS = 8192
GOAL = 0.8


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000, help="of the table; of arrays a tenth")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="trainyard-bench-") as scratch:
        folder = Path(scratch)
        # By default a job steps back for predictions; here it competes with its baselines.
        yard = BatchYard(folder / "home", trainer_nice=0)
        try:
            table_bundle(folder / "table")
            measure("table", yard, folder / "table", write_table(folder, options.rows), options.rounds)
            array_bundle(folder / "array", hidden=1400)
            measure("array", yard, folder / "array", write_arrays(folder, options.rows // 10), options.rounds)
        finally:
            yard.close()


def write_table(folder: Path, rows: int) -> Path:
    """Write rows for the model of a table."""
    random = np.random.default_rng(7)
    cities = np.array(["Oslo", "Bergen", "Tromsø", "Vardø"])
    table = pa.table(
        {
            "key": pa.array([f"k{row}" for row in range(rows)]),
            "age": random.normal(40, 10, rows),
            "size": random.integers(1, 9, rows),
            "smoker": random.random(rows) < 0.5,
            "city": cities[random.integers(0, 4, rows)],
        }
    )
    parquet.write_table(table, folder / "table.parquet")
    return folder / "table.parquet"


def write_arrays(folder: Path, rows: int) -> Path:
    """Write rows of one array column."""
    path = folder / "array.npz"
    np.savez(path, x=np.random.default_rng(7).normal(size=(rows, 10)))
    return path


def measure(name: str, yard: BatchYard, bundle: Path, file: Path, rounds: int) -> None:
    """Time the job and both baselines in turns; print rows a second and ratios."""
    ref = yard.publish(name, bundle)
    dataset = yard.take_in(file)
    stored = yard.datasets.open(PROJECT, dataset)
    predictor = Predictor.load(bundle)
    columns = stored.read([column["name"] for column in predictor.rows.columns if not column.get("ignored")])
    session = onnxruntime.InferenceSession(str(bundle / "model.onnx"), providers=["CPUExecutionProvider"])
    names = [node.name for node in session.get_inputs()]
    batches = [slice(start, start + BATCH_ROWS) for start in range(0, stored.rows, BATCH_ROWS)]
    prepared = [_prepare(predictor, columns, rows) for rows in batches]

    def bare() -> None:
        for inputs in prepared:
            session.run(None, {name: inputs[name] for name in names})

    def with_preprocessing() -> None:
        for rows in batches:
            inputs = _prepare(predictor, columns, rows)
            session.run(None, {name: inputs[name] for name in names})

    def job() -> None:
        ended = yard.run(yard.submit(kind="predict", model=ref, dataset=dataset))
        if ended.state != "succeeded":
            raise RuntimeError(f"the job {ended.state}: {ended.error}")

    ways: dict[str, Callable[[], None]] = {"session": bare, "prepared": with_preprocessing, "job": job}
    for way in ways.values():
        way()
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds):
        for way_name, way in ways.items():
            began = time.perf_counter()
            way()
            seconds[way_name].append(time.perf_counter() - began)
    _show(name, stored, {way: statistics.median(times) for way, times in seconds.items()})


def _prepare(predictor: Predictor, columns: dict[str, Any], rows: slice) -> dict[str, Any]:
    return predictor.preprocessing.transform({name: column[rows] for name, column in columns.items()})


def _show(name: str, stored: StoredDataset, seconds: dict[str, float]) -> None:
    print(f"{name}: {stored.rows} rows, {len(stored.columns)} columns")
    for way, taken in seconds.items():
        print(f"  {way:10} {stored.rows / taken:12,.0f} rows/s   {taken:7.2f} s")
    of_session, of_prepared = seconds["session"] / seconds["job"], seconds["prepared"] / seconds["job"]
    fair = of_prepared if name == "table" else of_session
    print(f"  job: {of_session:.2f} of session, {of_prepared:.2f} of prepared; goal {GOAL}: {fair:.2f}")


if __name__ == "__main__":
    main()
