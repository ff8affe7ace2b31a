"""Run every benchmark one after the other: `python -m benchmarks [name …]`.

Each measures its baseline in the same run and prints ratios; absolute figures of a shared
machine are not to be compared between runs.
"""

import argparse
import importlib
import sys

BENCHMARKS = {
    "ingest": "a generated CSV over the service's reader, against a plain pyarrow read",
    "job_start": "seconds from submit to the order read and to the first step; memory of being warm",
    "training": "samples/s of a job against plain fit, scikit-learn and the best hand-tuned script",
    "batch_predict": "rows/s of a predict job against a bare ONNX session, and against preprocessing and session",
    "predict": "requests/s against a bare ASGI answer and a FastAPI route; p99 while a job trains",
}


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(BENCHMARKS))
    names = parser.parse_args().names or list(BENCHMARKS)
    if unknown := [name for name in names if name not in BENCHMARKS]:
        parser.error(f"no benchmark {unknown[0]}; there are {', '.join(BENCHMARKS)}")
    for name in names:
        print(f"\n== {name}: {BENCHMARKS[name]}", flush=True)
        sys.argv = [name]
        importlib.import_module(f"benchmarks.{name}").main()
    return 0


if __name__ == "__main__":
    sys.exit(main())
