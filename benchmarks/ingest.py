"""How fast a CSV becomes a data set, and how much memory its reader takes, against pyarrow.csv in the same run.

    python benchmarks/ingest.py [MEGABYTES]

Prints one line a reader: MB/s, seconds, peak resident memory of the process that read. The file is made
of integers, numbers, words and short texts, a tenth of the cells missing.
"""

import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from app.datasets.ingest import run_ingest
from app.datasets.options import Limits, Options

ROWS_A_BLOCK = 100_000
_PYARROW = """
import sys, time, resource
from pyarrow import csv
start = time.perf_counter()
rows = sum(batch.num_rows for batch in csv.open_csv(sys.argv[1]))
print(time.perf_counter() - start, rows, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


def write_csv(path: Path, size_bytes: int, seed: int = 7) -> None:
    """Write about `size_bytes` of a table with ten columns."""
    rng = np.random.default_rng(seed)
    words = np.array(["red", "green", "blue", "dark orange", "", "violet"])
    syllables = np.array(["ka", "to", "mi", "re", "sun", "lo", "ver", "an"])
    header = "id,price,width,height,count,colour,shape,active,when,remark\n"
    with path.open("w") as sink:
        sink.write(header)
        first = 0
        while sink.tell() < size_bytes:
            n = ROWS_A_BLOCK
            price = np.char.mod("%.2f", rng.gamma(2.0, 40.0, n))
            price[rng.random(n) < 0.1] = ""
            columns = [
                np.arange(first, first + n).astype(str),
                price,
                np.char.mod("%.6f", rng.normal(size=n)),
                np.char.mod("%.6g", rng.lognormal(size=n)),
                rng.integers(0, 500, n).astype(str),
                words[rng.integers(0, len(words), n)],
                words[rng.integers(0, 4, n)],
                np.where(rng.random(n) < 0.5, "true", "false"),
                np.datetime_as_string(np.datetime64("2020-01-01T00:00") + rng.integers(0, 10**6, n), unit="m"),
                np.array([" ".join(row) for row in syllables[rng.integers(0, 8, (n, 6))]]),
            ]
            sink.write("\n".join(map(",".join, zip(*columns, strict=True))) + "\n")
            first += n


def measure_pyarrow(path: Path) -> tuple[float, int, int]:
    """Return (seconds, rows, peak bytes) of pyarrow's streaming reader in a process of its own."""
    output = subprocess.run(
        [sys.executable, "-c", _PYARROW, str(path)], check=True, capture_output=True, text=True
    ).stdout.split()
    return float(output[0]), int(output[1]), int(output[2]) * 1024


def measure_ingest(path: Path, folder: Path) -> tuple[float, int, int]:
    """Return (seconds, rows, peak bytes) of the child that reads an upload, start of the process included."""
    limits = Limits(max_upload_bytes=1 << 40, memory_bytes=1 << 30, seconds=3600, min_free_bytes=0)
    start = time.perf_counter()
    result = run_ingest(path, folder, folder / "stored", Options(file_name=path.name), limits)
    seconds = time.perf_counter() - start
    # Of all children so far the largest: pyarrow's is measured after this one.
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024
    return seconds, result["schema"]["rows"], peak


def main() -> None:
    megabytes = float(sys.argv[1]) if len(sys.argv) > 1 else 200.0
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        path = folder / "table.csv"
        write_csv(path, int(megabytes * 1e6))
        size = path.stat().st_size
        ours = measure_ingest(path, folder)
        theirs = measure_pyarrow(path)
    if ours[1] != theirs[1]:
        raise SystemExit(f"ingest found {ours[1]} rows, pyarrow {theirs[1]}")
    report = {}
    for reader, (seconds, rows, peak) in (("trainyard ingest", ours), ("pyarrow.csv stream", theirs)):
        report[reader] = {"mb_per_second": size / seconds / 1e6, "seconds": seconds, "peak_bytes": peak}
        print(
            f"{reader:20} {size / seconds / 1e6:8.1f} MB/s  {seconds:7.2f} s  {peak / 1e6:8.0f} MB peak  "
            f"{rows} rows of {size / 1e6:.0f} MB"
        )
    print(json.dumps(report))


if __name__ == "__main__":
    main()
