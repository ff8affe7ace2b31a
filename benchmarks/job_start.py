"""Seconds from submit to the trainer and to its first step, and what being warm costs in memory.

Part one goes through the whole service over HTTP; the moments are read from the database, so they include the
commit that makes them known. Part two runs the same order, in the same run, by the ways a trainer can be started:
cold, by an exec'd spare that has imported everything and waits, and by the spawner's fork.
"""

import argparse
import json
import shutil
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx

from app.demo.service import PrivateService
from workers.child import Order, Program, Spawner, Trainer, trainer_environment
from workers.spawner import PRELOAD

DATA = Path(__file__).resolve().parents[1] / "app" / "demo" / "penguins.csv"
_SPARE = """
import importlib, os, sys
for name in sys.argv[1].split(","):
    importlib.import_module(name)
print("warm", flush=True)
path = sys.stdin.readline().strip()
from workers.trainer.main import run
from workers.trainer.order import read_order
from pathlib import Path
os._exit(run(read_order(Path(path)), os.fdopen(1, "wb"), None))
"""


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", type=int, default=7, help="jobs of each kind (median and slowest are printed)")
    count = parser.parse_args().jobs
    with tempfile.TemporaryDirectory(prefix="trainyard-bench-") as folder:
        order = _through_the_service(count, Path(folder))
        _ways_to_start(count, Path(folder), order)


def _through_the_service(count: int, keep: Path) -> dict[str, Any]:
    """Submit jobs to a warm service one after the other; return the order of one of them, its data copied."""
    with PrivateService() as service, httpx.Client(base_url=service.url, timeout=30) as client:
        home = service.home / "home"
        csv = {"content-type": "text/csv"}
        dataset = client.post("/v1/datasets", params={"name": DATA.name}, content=DATA.read_bytes(), headers=csv).json()
        body = {
            "recipe": "tabular-classification",
            "dataset": dataset["id"],
            "columns": {"target": "species"},
            "training": {"epochs": 3},
        }
        moments = []
        for number in range(count + 1):  # the first waits for the imports of the spawner
            moments.append(_submit(client, body, home, keep if number == 0 else None))
            _wait(lambda job=moments[-1][2]: client.get(f"/v1/jobs/{job}").json()["state"] == "succeeded")
        print(f"whole service, {count} jobs after the first, seconds from POST (median / slowest)")
        for label, index, limit in (("trainer has read its order", 0, 0.3), ("end of the first step", 1, 1.5)):
            values = [m[index] for m in moments[1:]]
            print(f"  {label:28} {statistics.median(values):6.3f} / {max(values):6.3f}   limit {limit}")
        print(f"  {'first job, not yet warm':28} {moments[0][1]:6.3f}")
    return json.loads((keep / "order.json").read_text())


def _submit(client: httpx.Client, body: dict[str, Any], home: Path, keep: Path | None) -> tuple[float, float, str]:
    database = sqlite3.connect(f"file:{home / 'trainyard.db'}?mode=ro", uri=True, isolation_level=None)
    began = time.perf_counter()
    job = client.post("/v1/jobs", json=body).json()["id"]

    def row(query: str) -> Callable[[], Any]:
        return lambda: database.execute(query, (job,)).fetchone()[0]

    # The attempt's process id is written with the trainer's first report, which follows the reading of the order.
    _wait(lambda: database.execute("SELECT pid, fingerprint FROM job_attempts WHERE job_id = ?", (job,)).fetchone())
    if keep is not None:
        _copy_order(home / "work" / "attempts" / f"{job}-1" / "order.json", keep)
    _wait(row("SELECT fingerprint IS NOT NULL FROM job_attempts WHERE job_id = ?"))
    read = time.perf_counter() - began
    _wait(row("SELECT progress IS NOT NULL FROM jobs WHERE id = ?"))
    stepped = time.perf_counter() - began
    database.close()
    return read, stepped, job


def _copy_order(path: Path, keep: Path) -> None:
    _wait(lambda: path.is_file() and path.read_text().endswith("}"))
    order = json.loads(path.read_text())
    for role, folder in order["datasets"].items():
        shutil.copytree(folder, keep / role)
        order["datasets"][role] = str(keep / role)
    (keep / "order.json").write_text(json.dumps(order))


def _ways_to_start(count: int, folder: Path, order: dict[str, Any]) -> None:
    spawner = Spawner(Program(), folder / "home")
    spawner.wait_warm()
    fork = [_fork(spawner, _write(folder, order, f"fork-{n}")) for n in range(count)]
    idle_spawner, forked = _pss(spawner.process.pid), statistics.median(m for _, _, m in fork)
    spawner.kill()
    environment = trainer_environment(folder / "home") | {"OMP_NUM_THREADS": str(order["threads"])}
    spare, idle_spare = [], 0.0
    for n in range(min(count, 3)):
        process = _start_spare(environment)
        assert process.stdout is not None
        assert process.stdout.readline() == b"warm\n"
        idle_spare = _pss(process.pid)
        spare.append(_exec(process, _write(folder, order, f"spare-{n}")))
    cold = [_exec(_start_spare(environment), _write(folder, order, f"cold-{n}"), cold=True) for n in range(2)]
    print("\none order, by each way to start a trainer: median seconds to its first report / to its first step;")
    print("MB (PSS) while idle / of the trainer at its first step beside that")
    print(f"  {'cold':14} {_median(cold, 0):6.2f} / {_median(cold, 1):6.2f}       0 / {_median(cold, 2):4.0f}")
    print(f"  {'execed spare':14} {_median(spare, 0):6.2f} / {_median(spare, 1):6.2f}    {idle_spare:4.0f} / "
          f"{_median(spare, 2):4.0f}")  # fmt: skip
    print(f"  {'forked':14} {_median(fork, 0):6.2f} / {_median(fork, 1):6.2f}    {idle_spawner:4.0f} / {forked:4.0f}")


def _median(rows: list[tuple[float, float, float]], index: int) -> float:
    return statistics.median(row[index] for row in rows)


def _write(folder: Path, order: dict[str, Any], name: str) -> Path:
    place = folder / name
    (place / "output").mkdir(parents=True)
    path = place / "order.json"
    path.write_text(json.dumps(order | {"output": str(place / "output")}))
    return path


def _fork(spawner: Spawner, path: Path) -> tuple[float, float, float]:
    began = time.perf_counter()
    order = json.loads(path.read_text())
    trainer = Trainer(spawner, Order(path, path.with_name("log.txt"), threads=order["threads"]))
    seen: dict[str, float] = {}

    def deliver(report: dict[str, Any]) -> None:
        if report["type"] in ("started", "progress"):
            seen.setdefault(report["type"], time.perf_counter() - began)
        if report["type"] == "progress" and trainer.pid is not None:
            seen.setdefault("pss", _pss(trainer.pid))

    trainer.read(deliver)
    trainer.close()
    return seen["started"], seen["progress"], seen["pss"]


def _start_spare(environment: dict[str, str]) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-c", _SPARE, ",".join(PRELOAD)],
        env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
    )  # fmt: skip


def _exec(process: subprocess.Popen[bytes], path: Path, *, cold: bool = False) -> tuple[float, float, float]:
    assert process.stdin is not None
    assert process.stdout is not None
    began = time.perf_counter()
    process.stdin.write(f"{path}\n".encode())
    process.stdin.flush()
    seen: dict[str, float] = {}
    for line in process.stdout:
        if line == b"warm\n":
            continue
        kind = json.loads(line)["type"]
        seen.setdefault(kind, time.perf_counter() - began)
        if kind == "progress":
            seen.setdefault("pss", _pss(process.pid))
    process.wait()
    return seen["started"], seen["progress"], seen["pss"]


def _pss(pid: int) -> float:
    """Megabytes of a process, each shared page divided by the number of its users (proc(5), smaps_rollup)."""
    try:
        text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    except OSError:
        return float("nan")
    return int(text.split("Pss:")[1].split()[0]) * 1024 / 1e6


def _wait(condition: Callable[[], Any]) -> None:
    pause = threading.Event()
    until = time.monotonic() + 120
    while not condition():
        if time.monotonic() > until:
            raise TimeoutError("the service did not get there in 120 s")
        pause.wait(0.002)


if __name__ == "__main__":
    main()
