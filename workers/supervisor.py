"""One claimed job, from its data to its end. Runs in the slot's thread; imports no TensorFlow.

    fetch data and checkpoint → order a trainer → [reader] reports → inbox → [this thread] rows and blobs
                                                 [lease] heartbeat, cancel, pause → guard
                                                 [guard] grace, stall, drain → signals

The trainer's end and what was asked of it decide the edge (`workers.outcome`); each edge is one guarded
transaction of `app.jobs.repository`, so a supervisor that slept past its lease writes nothing.
"""

import functools
import logging
import threading
from collections.abc import Callable

from app.core.settings import Settings
from app.db.engine import Database
from app.jobs import repository as jobs
from app.storage.blobs import BlobStore
from workers.attempt import AttemptFolder, DataFolders
from workers.child import BATCH, BATCH_KINDS, Program, Spawner
from workers.guard import Graces, Guard
from workers.lease import Lease
from workers.outcome import describe_error
from workers.recorder import LeaseLost, Recorder
from workers.run import Run

log = logging.getLogger(__name__)


class Supervisor:
    """Runs claimed jobs one after the other, with one spawner kept warm between them."""

    def __init__(
        self,
        settings: Settings,
        database: Database,
        lease_database: Database,
        blobs: BlobStore,
        data: DataFolders,
        program: Program,
        draining: Callable[[], bool],
        batch: Program = BATCH,
    ) -> None:
        """`lease_database` is for the heartbeat alone, so that no other work can hold up the lease."""
        self._settings = settings
        self._database = database
        self._lease_database = lease_database
        self._blobs = blobs
        self._data = data
        self._program = program
        self._draining = draining
        self._batch = batch
        self._spawners: dict[str, Spawner] = {}

    def warm(self, kind: str = "train") -> Spawner:
        """Return the spawner for jobs of `kind`, started anew where it is gone.

        From a thread that lives as long as the process.
        """
        program = self._batch if kind in BATCH_KINDS else self._program
        spawner = self._spawners.get(program.trainer)
        if spawner is None or not spawner.is_alive:
            if spawner is not None:
                log.warning("the spawner is gone; starting another")
                spawner.kill()
            spawner = Spawner(program, self._settings.work_dir / "trainer-home")
            self._spawners[program.trainer] = spawner
        return spawner

    def close(self) -> None:
        """End the spawners."""
        for spawner in self._spawners.values():
            spawner.kill()

    def run(self, job: jobs.ClaimedJob) -> None:
        """Train `job` and take it along the edge that its end asks for; silent where it was lost."""
        guard = Guard(Graces.of(self._settings), self._draining)
        lease = Lease(self._settings, self._lease_database, job.id, job.attempt, guard)
        watch = threading.Thread(target=guard.run, name=f"guard-{job.id}", daemon=True)
        recorder = Recorder(self._database, self._blobs, job.id, job.attempt, guard)
        lease.start()
        watch.start()
        try:
            self._run(job, guard, recorder)
        except LeaseLost:
            guard.ask("lost")
            log.warning("dropped a job that is in other hands", extra={"job": job.id, "attempt": job.attempt})
        finally:
            lease.stop()
            guard.stop()
            watch.join()

    def _run(self, job: jobs.ClaimedJob, guard: Guard, recorder: Recorder) -> None:
        try:
            folder = AttemptFolder(self._settings.work_dir, job.id, job.attempt)
        except OSError as problem:
            log.warning("no folder for an attempt", extra={"job": job.id, "error": str(problem)})
            error = describe_error("storage_full", "The worker has no room for this job.", retryable=True)
            recorder.write(
                lambda session: jobs.requeue(session, job.id, job.attempt, charge=True, error=error, reason="retryable")
            )
            return
        try:
            warm = functools.partial(self.warm, job.kind)
            Run(self._settings, job, folder, guard, recorder, self._blobs, self._data, warm).drive()
        finally:
            folder.remove()
