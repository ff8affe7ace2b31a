"""Predictions over real sockets, one server process each, all in this run.

1. Requests a second of the dense network 10-64-64-10 at 32 connections: a bare ASGI answer, a FastAPI route with
   a concrete `tf.function`, and this service; in turns, several rounds, medians. Goal: 0.79 of bare.
2. The time of one request at 50 requests a second, idle and while a job trains on the same machine. Goal: the
   slowest of a hundred (p99) within 20 ms.
"""

import argparse
import hashlib
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import httpx
import numpy as np

from app.core.settings import Settings
from app.db.engine import Database
from app.db.migrate import migrate
from app.demo.service import PrivateService
from app.models.bundle import read_manifest
from app.models.repository import PublishedBundle, publish_version
from app.storage.blobs import open_blobs, put_tree
from benchmarks.load import Load, closed_loop, make_request, open_loop
from tests.inference.bundles import array_bundle

ROOT = Path(__file__).resolve().parents[1]
PATH = "/v1/models/dense/predict"
END = b'"model":{"name":"dense","version":1}}'
BODY = b'{"instances":[[0.1,0.2,0.3,0.4,0.5,0.6,0.7,0.8,0.9,1.0]]}'
CONNECTIONS = 32
SERVERS = ("bare", "bare-tuned", "route", "trainyard")
GOAL_OF_BARE = 0.79
GOAL_P99_MS = 20.0
RATE = 50.0


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=3.0, help="of one round of one server")
    parser.add_argument("--only", choices=("throughput", "training"), help="one of the two parts")
    options = parser.parse_args()
    request = make_request(PATH, BODY)
    if options.only != "training":
        measure_throughput(request, options.rounds, options.seconds)
    if options.only != "throughput":
        measure_while_training(request)


def publish_dense(home: Path, layers_file: Path | None = None) -> None:
    """Publish the dense network as `dense@1` in the service of `home`."""
    settings = Settings(home=home)
    settings.home_dir.mkdir(parents=True, exist_ok=True)
    database, blobs = Database(settings.database), open_blobs(settings.storage)
    migrate(database)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "bundle"
        layers = array_bundle(folder)
        if layers_file is not None:
            named = {f"w{index}": kernel for index, (kernel, _) in enumerate(layers)}
            np.savez(layers_file, **named, **{f"b{index}": bias for index, (_, bias) in enumerate(layers)})
        size = put_tree(blobs, "bundles/job_bench/1", folder)
        digest = hashlib.sha256((folder / "manifest.json").read_bytes()).hexdigest()
        bundle = PublishedBundle("bundles/job_bench/1", read_manifest(folder / "manifest.json"), size, digest)
    with database.transaction() as session:
        publish_version(session, "default", "dense", "job_bench", bundle)
    database.close()


def measure_throughput(request: bytes, rounds: int, seconds: float) -> None:
    """Compare the three servers."""
    with tempfile.TemporaryDirectory(prefix="trainyard-bench-") as scratch:
        folder = Path(scratch)
        publish_dense(folder / "home", folder / "layers.npz")
        servers = {name: _Server(name, folder) for name in SERVERS}
        try:
            for server in servers.values():
                server.wait_ready(request)
            loads: dict[str, list[Load]] = {name: [] for name in SERVERS}
            cpu: dict[str, list[float]] = {name: [] for name in SERVERS}
            for _ in range(rounds):
                for name, server in servers.items():
                    before = server.cpu_seconds()
                    load = closed_loop(server.port, request, CONNECTIONS, seconds, END)
                    cpu[name].append((server.cpu_seconds() - before) / len(load.seconds) * 1e6)
                    loads[name].append(load)
            alone = {name: closed_loop(server.port, request, 1, seconds, END) for name, server in servers.items()}
        finally:
            for server in servers.values():
                server.stop()
    bare = statistics.median(load.per_second for load in loads["bare"])
    print(f"dense 10-64-64-10, one row a request, {CONNECTIONS} connections, median of {rounds} rounds")
    print(f"  {'server':10} {'requests/s':>11} {'of bare':>8} {'CPU µs':>7} {'p99 ms':>7} {'p50 ms, one client':>19}")
    for name in SERVERS:
        per_second = statistics.median(load.per_second for load in loads[name])
        p99 = statistics.median(load.quantile(0.99) for load in loads[name]) * 1e3
        micros, p50 = statistics.median(cpu[name]), alone[name].quantile(0.5) * 1e3
        print(f"  {name:10} {per_second:11,.0f} {per_second / bare:8.2f} {micros:7.1f} {p99:7.2f} {p50:19.3f}")
    print(f"  goal: trainyard {GOAL_OF_BARE} of bare")


def measure_while_training(request: bytes) -> None:
    """Time requests of a service whose worker trains, against the same service at rest."""
    with PrivateService() as service, httpx.Client(base_url=service.url, timeout=30) as client:
        publish_dense(service.home / "home")
        port = int(service.url.rsplit(":", 1)[1])
        never = threading.Event()
        open_loop(port, request, RATE, 2.0, never)
        idle = open_loop(port, request, RATE, 20.0, never)
        job = _start_job(client)
        busy = open_loop(port, request, RATE, 30.0, never)
        state = client.get(f"/v1/jobs/{job}").json()["state"]
        if state != "running":
            raise RuntimeError(f"the job was {state} before the measurement ended")
        client.post(f"/v1/jobs/{job}/cancel")
    print(f"\none request at {RATE:.0f} requests/s, milliseconds: p50 / p99 / slowest")
    for name, load in (("at rest", idle), ("while a job trains", busy)):
        figures = [load.quantile(share) * 1e3 for share in (0.5, 0.99, 1.0)]
        print(f"  {name:20} {figures[0]:7.2f} / {figures[1]:7.2f} / {figures[2]:7.2f}")
    print(f"  goal: p99 within {GOAL_P99_MS:.0f} ms")


def _start_job(client: httpx.Client) -> str:
    random = np.random.default_rng(7)
    table = random.normal(size=(20_000, 20)).round(5)
    labels = (table[:, :3].sum(axis=1) > 0).astype(int)
    lines = [",".join(f"c{index}" for index in range(20)) + ",label"]
    lines += [",".join(map(str, row)) + f",{label}" for row, label in zip(table.tolist(), labels.tolist(), strict=True)]
    headers = {"content-type": "text/csv"}
    content = "\n".join(lines).encode()
    dataset = client.post("/v1/datasets", params={"name": "noise.csv"}, content=content, headers=headers).json()
    body: dict[str, Any] = {
        "recipe": "tabular-classification",
        "dataset": dataset["id"],
        "columns": {"target": "label"},
        "training": {"epochs": 100_000, "early_stopping": False},
    }
    job: str = client.post("/v1/jobs", json=body).json()["id"]
    deadline = time.monotonic() + 120
    while not (client.get(f"/v1/jobs/{job}").json()["progress"] or {}).get("step"):
        if time.monotonic() > deadline:
            raise RuntimeError("the job did not begin to train")
        time.sleep(0.2)
    return job


class _Server:
    def __init__(self, name: str, folder: Path) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = int(probe.getsockname()[1])
        environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
        arguments = ["-m", "benchmarks.predict_servers", name, str(self.port), str(folder)]
        self.process = subprocess.Popen([sys.executable, *arguments], cwd=ROOT, env=environment)

    def wait_ready(self, request: bytes) -> None:
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline and self.process.poll() is None:
            try:
                closed_loop(self.port, request, CONNECTIONS, 0.5, END)
            except OSError:
                time.sleep(0.1)
            else:
                return
        raise RuntimeError("a server did not start")

    def cpu_seconds(self) -> float:
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(20)


if __name__ == "__main__":
    main()
