"""Kill -9 drill: `python -m tests.workers.drill --seconds 600 --seed 7`.

Jobs are submitted without pause to a whole `trainyard up` (its trainer is the scripted one), while parts of it are
killed at random moments: api, launcher, Celery, slot, spawner, trainer, broker (its file wiped now and then), and
the topmost process. Then it is left in peace, and every job must have succeeded, once, with a whole bundle.
The schedule follows from the seed.
"""

import argparse
import logging
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path

from sqlalchemy import func, select

from app.core.settings import Settings
from app.db.tables import Job, ModelVersion
from app.embedded import broker_url
from app.jobs.queue import Bell
from app.models.bundle import open_bundle
from app.processes import settings_environment
from app.storage.blobs import get_tree
from tests.workers.conftest import Yard
from tests.workers.processes import command_of, lives, tree_of, wait_until

ROOT = Path(__file__).resolve().parents[2]
# Part: what its command line holds, and how often it is chosen. Who sits high up takes all below along.
PARTS = {
    "broker": ("valkey-server", 2),
    "api": ("app.serve", 1),
    "launcher": ("fake_launcher", 1),
    "celery": ("fake_pool", 1),  # the first of them; the others are slots
    "slot": ("fake_pool", 3),
    "spawner": ("workers.spawner", 3),
    "trainer": ("workers.spawner", 5),  # a child of one
    "up": ("", 1),
}
QUIET_SECONDS = 240.0


class Drill:
    """One drill in a fresh folder."""

    def __init__(self, home: Path, seed: int) -> None:
        self.settings = Settings(
            home=home, port=0, worker_slots=2, heartbeat_seconds=0.5, lease_seconds=3.0, poll_seconds=1.0,
            sweep_seconds=0.5, control_seconds=0.5,
        )  # fmt: skip
        self.yard = Yard(self.settings, migrated=True)
        self.random = random.Random(seed)
        self.kills: Counter[str] = Counter()
        self.jobs: list[str] = []
        self.up = self._start()

    def _start(self) -> subprocess.Popen[bytes]:
        environment = settings_environment(self.settings, "")
        del environment["TRAINYARD_BROKER_URL"]
        log = (self.settings.home_dir / "up.log").open("ab")
        with log:
            return subprocess.Popen([sys.executable, "-m", "tests.workers.fake_up"], cwd=ROOT, env=environment,
                                    stdout=log, stderr=log)  # fmt: skip

    def run(self, seconds: float) -> None:
        """Submit and kill for so long, then wait for the end of every job."""
        over = threading.Event()
        submitter = threading.Thread(target=self._submit, args=(over, random.Random(self.random.random())))
        submitter.start()
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            over.wait(self.random.uniform(0.5, 3.0))
            self._kill(self.random.choices(list(PARTS), [weight for _, weight in PARTS.values()])[0])
        over.set()
        submitter.join()
        quiet_at = time.monotonic() + QUIET_SECONDS
        while self.count() != Counter({"succeeded": len(self.jobs)}):
            assert time.monotonic() < quiet_at, f"not over: {self.count()}; kills so far: {dict(self.kills)}"
            threading.Event().wait(0.1)

    def _submit(self, over: threading.Event, chance: random.Random) -> None:
        bell = Bell(broker_url(self.settings))
        while not over.wait(chance.uniform(0.1, 1.0)):
            script = [{"beat": chance.randint(1, 20)}, {"checkpoint": 50}, {"beat": chance.randint(1, 20)}]
            job_id = self.yard.submit([*script, {"finish": len(self.jobs)}], max_failures=1000)
            self.jobs.append(job_id)
            bell.ring(job_id, "default")
        bell.stop()

    def _kill(self, part: str) -> None:
        victims = self._victims(part)
        if victims:
            victim = self.random.choice(victims)
            os.kill(victim, signal.SIGKILL)
            self.kills[part] += 1
            if part == "broker" and self.random.random() < 0.5:
                for file in (self.settings.home_dir / "broker" / "appendonlydir").glob("*"):
                    file.unlink(missing_ok=True)
        if self.up.poll() is not None or part == "up":
            self.up.wait()
            self.up = self._start()

    def _victims(self, part: str) -> list[int]:
        if part == "up":
            return [self.up.pid]
        tree = tree_of(self.up.pid)
        found = [pid for pid in tree if PARTS[part][0] in command_of(pid)]
        spawners = [pid for pid in found if _parent(pid) not in found]
        match part:
            case "celery" | "spawner":
                return spawners
            case "slot" | "trainer":
                return [pid for pid in found if pid not in spawners]
            case _:
                return found

    def count(self) -> Counter[str]:
        """Jobs by state."""
        with self.yard.database.reading() as session:
            return Counter(dict(session.execute(select(Job.state, func.count()).group_by(Job.state)).all()))

    def check(self) -> None:
        """Every job has one version, whose bundle is whole and its own."""
        with self.yard.database.reading() as session:
            versions = list(session.scalars(select(ModelVersion)))
            attempts = session.scalar(select(func.max(Job.attempt)))
        assert sorted(v.job_id or "" for v in versions) == sorted(self.jobs), "a job without, or with two, models"
        for version in versions:
            with tempfile.TemporaryDirectory() as folder:
                get_tree(self.yard.blobs, version.blob_prefix, Path(folder))
                open_bundle(Path(folder))
            assert version.manifest["value"] == self.jobs.index(version.job_id or "")
        print(f"{len(self.jobs)} jobs, all succeeded once; {sum(self.kills.values())} kills: {dict(self.kills)}; "
              f"most attempts of a job: {attempts}")  # fmt: skip

    def stop(self) -> None:
        """Stop everything; nothing may be left."""
        tree = tree_of(self.up.pid)
        self.up.send_signal(signal.SIGTERM)
        self.up.wait(60)
        wait_until(lambda: not any(map(lives, tree)))
        self.yard.close()


def _parent(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    except OSError:
        return 0


def main() -> None:
    """Run one drill; AssertionError tells the seed to try again with."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=600.0)
    parser.add_argument("--seed", type=int, default=random.randrange(10**6))
    options = parser.parse_args()
    print(f"seed {options.seed}", flush=True)
    logging.getLogger("trainyard.bell").setLevel(logging.ERROR)  # that bells are lost is the point
    with tempfile.TemporaryDirectory(prefix="trainyard-drill-") as folder:
        drill = Drill(Path(folder) / "home", options.seed)
        try:
            drill.run(options.seconds)
            drill.check()
        finally:
            drill.stop()


if __name__ == "__main__":
    main()
