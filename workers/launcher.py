"""A worker: `python -m workers.launcher`. Parent of Celery; never runs a job itself.

    launcher ── Celery ── pool child (slot: supervises) ── spawner ── trainer
       │ every heartbeat_seconds: its row in `workers`; every sweep_seconds: the sweep;
       │ every webhook_seconds: webhooks that are due
       └ on SIGTERM or SIGINT: drain, then stop Celery; gone within 30 s

Celery tells a running task nothing when it is asked to stop (measured: RELIABILITY.md (d)), so the drain starts
here: a flag that every slot sees within a second, on which trainers checkpoint and jobs go back to the queue,
uncharged. A second signal skips the drain.
"""

import logging
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable
from types import FrameType
from typing import Any

from app import RELEASE
from app.children import KeptChild
from app.core.logging import configure_logging
from app.core.settings import Settings
from app.db import totals
from app.db.engine import Database, DatabaseUnavailable
from app.jobs.queue import Bell
from app.jobs.sweep import Grace, sweep_once
from app.storage.blobs import open_blobs
from app.system.repository import record_worker, remove_worker
from app.webhooks.delivery import Courier
from workers.attempt import remove_orphans
from workers.devices import choose_queues, count_slots, device_of, list_devices
from workers.probing import PROBE_EVERY_SECONDS, Probe
from workers.rundir import VARIABLE, RunDir

log = logging.getLogger(__name__)

DRAIN_SECONDS = 24.0
DATABASE_ANSWER_SECONDS = 10.0
CELERY_STOP_SECONDS = 4.0
TICK_SECONDS = 0.2
# Celery replaces a dead pool child from its event loop, which stands still while it looks for a broker that is
# down. Past this time the launcher replaces Celery instead.
MISSING_SLOT_SECONDS = 20.0


class Launcher:
    """One worker of a host."""

    def __init__(
        self,
        settings: Settings,
        pool: str = "workers.pool",
        probe: str = "workers.probe",
        probe_seconds: float = PROBE_EVERY_SECONDS,
    ) -> None:
        """`pool` and `probe` are the modules of Celery's process and of a device's probe."""
        self._settings = settings
        self._name = settings.worker_name or f"{socket.gethostname()}-{os.getpid()}"
        self._run_dir = RunDir.make(settings.work_dir, self._name)
        # Well below a lease: a sweep that hung while the database did must not be what takes the leases after.
        answer_seconds = min(DATABASE_ANSWER_SECONDS, settings.lease_seconds / 3)
        self._database = Database(settings.database, pool_size=3, answer_seconds=answer_seconds)
        self._grace = Grace(settings.heartbeat_seconds + settings.sweep_seconds)
        self._blobs = open_blobs(settings.storage)
        self._bell = Bell(settings.broker)
        self._devices = list_devices()
        self._slots = count_slots(settings, self._devices)
        self._queues = choose_queues(settings, self._devices)
        self._probe = Probe(self._run_dir, probe, self._devices)
        self._probe_seconds = probe_seconds
        self._signals = 0
        self._missed_database = False
        self._stopping = threading.Event()
        self._courier = Courier(self._database, self._settings, stopping=self._stopping)
        self._complete_at = time.monotonic()
        # What was decided here is decided for all below.
        environment = {
            **os.environ,
            VARIABLE: str(self._run_dir.path),
            "TRAINYARD_WORKER_NAME": self._name,
            "TRAINYARD_WORKER_SLOTS": str(self._slots),
            "TRAINYARD_WORKER_QUEUES": ",".join(self._queues),
        }
        self._celery = KeptChild("celery", [sys.executable, "-m", pool], environment=environment)

    def run(self) -> None:
        """Work until a signal comes, then drain and stop."""
        signal.signal(signal.SIGTERM, self._on_signal)
        signal.signal(signal.SIGINT, self._on_signal)
        remove_orphans(self._settings.work_dir)
        threads = [
            self._repeat("presence", self._settings.heartbeat_seconds, self._show_presence),
            self._repeat("sweep", self._settings.sweep_seconds, self._sweep),
            self._repeat("webhooks", self._settings.webhook_seconds, self._courier.deliver_due),
            self._repeat("probe", self._probe_seconds, self._probe.look),
        ]
        if self._slots < self._settings.worker_slots:
            log.warning(
                "fewer slots than asked for: each GPU has as many as TRAINYARD_DEVICE_SLOTS allows",
                extra={"slots": self._slots, "devices": len(self._devices)},
            )
        self._celery.start()
        log.info("worker started", extra={"worker": self._name, "slots": self._slots, "queues": self._queues})
        while not self._signals:
            time.sleep(TICK_SECONDS)
            self._celery.keep()
            self._replace_stuck_celery()
        self._stopping.set()
        self._drain()
        clean = self._celery.stop(CELERY_STOP_SECONDS, self._is_hurried)
        for thread in threads:
            thread.join(2.0)
        self._leave()
        log.info("worker stopped", extra={"worker": self._name, "clean": clean})

    def _on_signal(self, _number: int, _frame: FrameType | None) -> None:
        # Only a number: an Event's lock may be held by the very code that a signal interrupts.
        self._signals += 1

    def _is_hurried(self) -> bool:
        return self._signals > 1

    def _repeat(self, name: str, every_seconds: float, work: Callable[[], Any]) -> threading.Thread:
        def body() -> None:
            while True:
                try:
                    work()
                except (DatabaseUnavailable, OSError) as problem:
                    log.warning("put off", extra={"work": name, "error": type(problem).__name__})
                if self._stopping.wait(every_seconds):
                    return

        thread = threading.Thread(target=body, name=name, daemon=True)
        thread.start()
        return thread

    def _show_presence(self) -> None:
        try:
            self._write_presence()
        except DatabaseUnavailable:
            self._missed_database = True
            raise

    def _write_presence(self) -> None:
        bad = set(self._run_dir.quarantined())
        usable = [slot for slot in range(self._slots) if device_of(slot, self._devices) not in bad]
        with self._database.transaction() as session:
            record_worker(
                session, name=self._name, host=socket.gethostname(), pid=os.getpid(),
                slots=len(usable), devices=self._probe.states(), release=RELEASE, queues=self._queues,
            )  # fmt: skip
            if self._missed_database:
                totals.add(session, "database_outages")
        self._missed_database = False

    def _sweep(self) -> None:
        try:
            sweep_once(self._database, self._blobs, self._settings, self._bell, releases=self._grace.is_over)
        except DatabaseUnavailable:
            self._grace.begin()
            raise
        remove_orphans(self._settings.work_dir)

    def _replace_stuck_celery(self) -> None:
        slots = self._run_dir.slots()
        now = time.monotonic()
        if len(slots) >= self._slots or any(slots.values()):
            self._complete_at = now
        elif now - self._complete_at > MISSING_SLOT_SECONDS and self._celery.pid is not None:
            log.warning("a slot is missing for too long; starting Celery anew")
            self._complete_at = now
            self._celery.signal(signal.SIGKILL)

    def _drain(self) -> None:
        self._run_dir.drain()
        until = time.monotonic() + DRAIN_SECONDS
        while any(self._run_dir.slots().values()) and time.monotonic() < until and not self._is_hurried():
            time.sleep(TICK_SECONDS)

    def _leave(self) -> None:
        try:
            with self._database.transaction() as session:
                remove_worker(session, self._name)
        except DatabaseUnavailable:
            log.warning("the worker's row stays: the database does not answer")
        self._bell.stop()
        self._database.close()
        self._run_dir.remove()


def main() -> None:
    """Run a worker with the settings of the environment."""
    settings = Settings()
    configure_logging(settings.log_level)
    Launcher(settings).run()


if __name__ == "__main__":
    main()
