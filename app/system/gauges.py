"""Gauges read from the database when Prometheus asks (RELIABILITY: observe)."""

from prometheus_client import Gauge

from app.core.errors import TrainyardError
from app.core.settings import Settings
from app.db.engine import Database
from app.jobs.states import STATES
from app.system.repository import count_jobs, live_workers, oldest_queued_seconds

_JOBS = Gauge("trainyard_jobs", "Jobs by state.", ["state"])
_QUEUED_AGE = Gauge("trainyard_oldest_queued_job_seconds", "Age of the oldest job that waits, seconds.")
_WORKERS = Gauge("trainyard_workers", "Workers seen within a lease.")
_SLOTS = Gauge("trainyard_worker_slots", "Slots of those workers.")
_UP = Gauge("trainyard_database_up", "1 when the database answered this scrape.")


class Gauges:
    """Refreshes the gauges of the queue and the workers."""

    def __init__(self, database: Database, settings: Settings) -> None:
        self.database = database
        self.settings = settings

    def refresh(self) -> None:
        """Read the database once; when it does not answer, only `trainyard_database_up` changes."""
        try:
            with self.database.reading() as session:
                counts = count_jobs(session)
                age = oldest_queued_seconds(session)
                workers = live_workers(session, self.settings.lease_seconds)
        except TrainyardError:
            _UP.set(0)
            return
        _UP.set(1)
        for state in STATES:
            _JOBS.labels(state).set(counts.get(state, 0))
        _QUEUED_AGE.set(age)
        _WORKERS.set(len(workers))
        _SLOTS.set(sum(worker.slots for worker in workers))
