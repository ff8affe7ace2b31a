"""How well the tabular defaults do, untouched, beside gradient boosting: `python -m benchmarks.figures.tabular`.

Every figure is what a client would get: each cut is taken in by the service's reader, resolved from `recipe`, `dataset`
and `columns.target` alone, trained by the real trainer in its own process, and the bundle is asked about every row of
the test part. The baseline sees the same rows. Results go into `results/tabular.json` one by one, so a stopped run
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

from app.inference.predictor import Predictor
from benchmarks.figures.tabular_baseline import predict_baseline
from benchmarks.figures.tabular_tables import TABLES, Table, cut
from benchmarks.figures.trained import data_folder, measure_missing, run_trainer, take_in, write_order

RESULTS = Path(__file__).parent / "results" / "tabular.json"
# What counts as level with the baseline: points of accuracy, and a share of the RMSE.
MOST_POINTS, MOST_SHARE = 1.5, 0.08
MOST_SECONDS = 120.0


def main() -> int:
    """Measure what is missing, then print the table. The exit code is 1 where a mean is not level with its baseline."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.figures.tabular", description=__doc__)
    parser.add_argument("tables", nargs="*", metavar="TABLE", help=", ".join(table.name for table in TABLES))
    parser.add_argument("--anew", action="store_true", help="measure again what is there already")
    parser.add_argument("--threads", type=int, default=2, help="threads of the trainer")
    arguments = parser.parse_args()
    data, threads = data_folder(), arguments.threads
    chosen = [table for table in TABLES if not arguments.tables or table.name in arguments.tables]
    runs = (
        (key, functools.partial(measure, table, data, split, seed, threads))
        for table in chosen
        for key, (split, seed) in zip(table.run_names(), table.runs, strict=True)
    )
    results = measure_missing(RESULTS, runs, threads, anew=arguments.anew)
    return 0 if print_table(chosen, results) else 1


def measure(table: Table, data: Path, split: int, seed: int, threads: int) -> dict[str, Any]:
    """Train and score one cut of a table, and its baseline."""
    with tempfile.TemporaryDirectory(prefix="figures-") as scratch:
        folder = Path(scratch)
        paths = cut(table, data, split, folder)
        train, test = (take_in(path, folder / path.stem) for path in paths)
        request = {
            "recipe": f"tabular-{table.task}",
            "dataset": {"train": "ds_train", "test": "ds_test"},
            "columns": {"target": table.target, "exclude": list(table.exclude)},
            "training": {"seed": seed},
        }
        order = write_order(request, {"train": train, "test": test}, folder, threads)
        started = time.monotonic()
        done, epochs = run_trainer(order)
        seconds = time.monotonic() - started
        rows = test.page(0, test.rows)
        predictor = Predictor.load(Path(done["bundle"]))
        instances = [{name: value for name, value in row.items() if name != table.target} for row in rows]
        answers = predictor.predict(instances)
        truth = np.array([_plain(row[table.target]) for row in rows])
        given = np.array([_plain(answer["label"] if "label" in answer else answer["value"]) for answer in answers])
        baseline = np.array([_plain(answer) for answer in predict_baseline(train, test, table.target, table.exclude)])
    value, error = score(truth, given, table.task)
    other, _ = score(truth, baseline, table.task)
    return {
        "figure": "accuracy" if table.task == "classification" else "rmse",
        "value": value,
        "standard_error": error,
        "baseline": other,
        "rows": [train.rows, test.rows],
        "seconds": round(seconds, 1),
        "trained_seconds": round(done["trained_seconds"], 1),
        "epochs": epochs,
        "seed": seed,
        "split": split,
    }


def score(truth: np.ndarray[Any, Any], given: np.ndarray[Any, Any], task: str) -> tuple[float, float]:
    """Return accuracy or RMSE, and its standard error over the test rows."""
    if task == "classification":
        hits = (truth == given).astype(float)
        return float(hits.mean()), float(hits.std() / len(hits) ** 0.5)
    squares = (truth.astype(float) - given.astype(float)) ** 2
    rmse = float(squares.mean() ** 0.5)
    # The deviation of a root is that of what is under it, over twice the root.
    return rmse, float(squares.std() / len(squares) ** 0.5 / (2 * rmse))


def _plain(value: Any) -> Any:
    """A label or value to compare: adult's official test labels end with a full stop."""
    return str(value).rstrip(".") if isinstance(value, str) else float(value)


def print_table(tables: list[Table], results: dict[str, Any]) -> bool:
    """Print mean ± deviation over the runs; return whether every mean is level with its baseline."""
    print(
        f"\n{'table':18s}{'figure':10s}{'runs':>5s}{'trainyard':>22s}{'boosting':>22s}{'error':>9s}{'gap':>9s}{'seconds':>9s}"
    )
    level = True
    for table in tables:
        found = [results[key] for key in table.run_names() if key in results]
        if not found:
            continue
        own, base = (np.array([entry[key] for entry in found]) for key in ("value", "baseline"))
        error, seconds = np.mean([e["standard_error"] for e in found]), max(e["seconds"] for e in found)
        if table.task == "classification":
            gap, most, slack, unit = 100 * (base.mean() - own.mean()), MOST_POINTS, 100 * error, "pt"
        else:
            gap, most = 100 * (own.mean() / base.mean() - 1), 100 * MOST_SHARE
            slack, unit = 100 * error / base.mean(), "% "
        fine = gap <= most + slack and seconds <= MOST_SECONDS
        level &= bool(fine)
        note = "" if fine and gap <= most else "  level within the error" if fine else "  BEHIND"
        digits = 4 if own.mean() < 10 else 0
        shown = [f"{v.mean():.{digits}f} ± {v.std():.{digits}f}" for v in (own, base)]
        print(
            f"{table.name:18s}{found[0]['figure']:10s}{len(found):5d}{shown[0]:>22s}{shown[1]:>22s}{error:9.{digits}f}"
            f"{gap:+7.2f}{unit}{seconds:9.1f}{note}"
        )
    print("gap: how far behind boosting (negative: ahead); error: standard error of one test part")
    return level


if __name__ == "__main__":
    sys.exit(main())
