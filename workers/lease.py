"""Keeps a job's lease and reads what is asked of it, in its own thread with its own connection.

While the database does not answer, the trainer goes on: its lease may run out, and then the first answer
says that another attempt owns the job.
"""

import logging
import threading
import time

from app.core.settings import Settings
from app.db.engine import Database, DatabaseUnavailable
from app.jobs import repository as jobs
from workers.guard import Guard

log = logging.getLogger(__name__)


class Lease(threading.Thread):
    """Renews the lease every `heartbeat_seconds`, looks for cancel and pause every `control_seconds`."""

    def __init__(self, settings: Settings, database: Database, job_id: str, attempt: int, guard: Guard) -> None:
        super().__init__(name=f"lease-{job_id}", daemon=True)
        self._settings = settings
        self._database = database
        self._job_id = job_id
        self._attempt = attempt
        self._guard = guard
        self._over = threading.Event()
        self._renewed_at = time.monotonic()  # the claim set it

    def run(self) -> None:
        """Renew and look until `stop`, or until the job is lost."""
        while not self._over.wait(min(self._settings.control_seconds, self._settings.heartbeat_seconds)):
            try:
                flags = self._look()
            except DatabaseUnavailable:
                log.warning("the database does not answer; training goes on", extra={"job": self._job_id})
                continue
            if self._over.is_set():
                return
            if flags is None:
                # Of another attempt, or ended by this one a moment ago.
                log.warning(
                    "this attempt no longer owns the job", extra={"job": self._job_id, "attempt": self._attempt}
                )
                self._guard.ask("lost")
                return
            if flags.cancel_requested:
                self._guard.ask("keep" if flags.cancel_keep == "best" else "cancel")
            elif flags.pause_requested:
                self._guard.ask("pause")

    def stop(self) -> None:
        """End the thread. A look that is under way has no effect any more."""
        self._over.set()

    def _look(self) -> jobs.Flags | None:
        now = time.monotonic()
        if now - self._renewed_at < self._settings.heartbeat_seconds:
            with self._database.reading() as session:
                return jobs.read_flags(session, self._job_id, self._attempt)
        with self._database.transaction() as session:
            flags = jobs.heartbeat(session, self._job_id, self._attempt, self._settings.lease_seconds)
        self._renewed_at = now
        return flags
