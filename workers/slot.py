"""One slot of a worker: runs one job at a time, in one thread of a Celery pool child.

Two things wake it: a bell (a Celery task that names a job) and its own clock, which looks into the database
every `poll_seconds`. Both come to the same thread, so bell and poll can never run two jobs in a slot, and a
broker that is down, wiped or deaf delays a job by one poll and no more. After a job the slot takes the first
of the queue at once. A bell too makes it take the first of the queue, by priority and age, and not the job
that rang: bells come in the order of the submits, and an urgent job must not wait for those before it.

A bell that comes while a job runs waits until the slot is idle: Celery then sees the slot as busy, and
gives the next bells to other slots. The job that rang does not wait: any idle slot finds it by polling.
"""

import logging
import os
import queue
import random
import signal
import threading
from dataclasses import dataclass, field
from types import TracebackType

from app.core.logging import log_context
from app.core.settings import Settings
from app.db.engine import Database, DatabaseUnavailable
from app.jobs import repository as jobs
from app.storage.blobs import BlobStore
from workers.attempt import DataFolders
from workers.child import Program
from workers.devices import choose_queues, list_devices
from workers.rundir import RunDir
from workers.supervisor import Supervisor

log = logging.getLogger(__name__)

# A little more than PostgreSQL gives a statement (app/db/engine.py): past it nobody answers any more.
DATABASE_ANSWER_SECONDS = 12.0


@dataclass
class _Ring:
    answered: threading.Event = field(default_factory=threading.Event)


class Slot:
    """The thread that owns a spawner and runs jobs."""

    def __init__(
        self, settings: Settings, run_dir: RunDir, blobs: BlobStore, data: DataFolders, program: Program
    ) -> None:
        self._settings = settings
        self._run_dir = run_dir
        self._worker = settings.worker_name or f"pid-{os.getpid()}"
        self._database = Database(settings.database, pool_size=2, answer_seconds=DATABASE_ANSWER_SECONDS)
        lease_seconds = min(DATABASE_ANSWER_SECONDS, settings.lease_seconds / 3)
        self._lease_database = Database(settings.database, pool_size=1, answer_seconds=lease_seconds)
        self._supervisor = Supervisor(
            settings,
            self._database,
            self._lease_database,
            blobs,
            data,
            program,
            run_dir.is_draining,
        )
        self._rings: queue.SimpleQueue[_Ring | None] = queue.SimpleQueue()
        self._queues = list(choose_queues(settings, list_devices()))
        self._device = program.environment.get("CUDA_VISIBLE_DEVICES")
        self._thread = threading.Thread(target=self._run, name="slot", daemon=True)
        self._stopping = threading.Event()

    def start(self) -> None:
        """Start the thread; it imports ahead from now on."""
        self._thread.start()

    def ring(self, job_id: str) -> None:
        """Run what waits, among it this job if no other slot took it; return when the slot is idle."""
        log.debug("a bell", extra={"job": job_id})
        ring = _Ring()
        self._rings.put(ring)
        ring.answered.wait()

    def stop(self) -> None:
        """End the thread after its current job, and the spawner with it."""
        self._stopping.set()
        self._rings.put(None)
        self._thread.join()
        self._supervisor.close()
        self._database.close()
        self._lease_database.close()

    def _run(self) -> None:
        self._run_dir.mark(busy=False)
        self._work()
        while not self._stopping.is_set():
            try:
                # Workers that were started together must not look all at the same time.
                ring = self._rings.get(timeout=self._settings.poll_seconds * random.uniform(0.8, 1.2))  # noqa: S311
            except queue.Empty:
                ring = None
            self._work()
            if ring is not None:
                ring.answered.set()

    def _work(self) -> None:
        """Run everything that waits, until there is nothing to claim or the worker drains."""
        while not self._stopping.is_set():
            self._supervisor.warm()
            self._run_dir.mark(busy=True)
            try:
                job = self._claim() if self._may_claim() else None
                if job is not None:
                    self._supervise(job)
                    self._judge_device(job)
            finally:
                self._run_dir.mark(busy=False)
            if job is None:
                return

    def _supervise(self, job: jobs.ClaimedJob) -> None:
        token = log_context.set({"job": job.id, "attempt": job.attempt, "project": job.project})
        try:
            self._supervisor.run(job)
        finally:
            log_context.reset(token)

    def _may_claim(self) -> bool:
        return not (self._run_dir.is_draining() or (self._device and self._run_dir.is_quarantined(self._device)))

    def _judge_device(self, job: jobs.ClaimedJob) -> None:
        """Put the slot's device into quarantine where the job was given back because of it."""
        if self._device is None:
            return
        try:
            with self._database.reading() as session:
                outcome = jobs.attempt_outcome(session, job.id, job.attempt)
        except DatabaseUnavailable:
            return  # the next job will find out
        if outcome == jobs.DEVICE_LOST:
            log.error("a device failed a job; it is in quarantine", extra={"device": self._device})
            self._run_dir.quarantine(self._device)

    def _claim(self) -> jobs.ClaimedJob | None:
        try:
            with self._database.transaction() as session:
                return jobs.claim(
                    session,
                    self._worker,
                    self._settings.lease_seconds,
                    queues=self._queues,
                    owner_slots=self._settings.owner_slots,
                    pid=os.getpid(),
                )
        except DatabaseUnavailable:
            log.warning("the database does not answer; looking again later")
            return None


def die_of_a_fault(
    kind: type[BaseException], fault: BaseException | None, trace: TracebackType | None, thread: threading.Thread | None
) -> None:
    """End the process when a thread of it dies: a slot that looks alive and takes no jobs is worse than none."""
    name = thread.name if thread is not None else "?"
    log.critical("a thread died", extra={"thread": name}, exc_info=(kind, fault or kind(), trace))
    os.kill(os.getpid(), signal.SIGKILL)
