"""What Prometheus is told of the whole service, read from the database when it asks (RELIABILITY: observe)."""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from app.core.errors import TrainyardError
from app.core.settings import Settings
from app.db import totals
from app.db.engine import Database
from app.db.tables import Worker
from app.jobs.states import STATES
from app.system import repository
from app.system.repository import Age, Outbox, queues_of

_ATTEMPTS = "attempts."
OUTCOMES = ("succeeded", "failed", "cancelled", "paused", "drained", "lost", "crashed", "retryable", "device_lost")
# Name in the table of totals, name of the metric, what it is.
_TOTALS = (
    ("lease_expiries", "trainyard_lease_expiries", "Jobs taken from a worker whose lease was over."),
    ("bells_rerung", "trainyard_bells_rerung", "Queued jobs that the sweep rang for."),
    ("fenced_writes", "trainyard_fenced_writes", "Writes refused because another attempt owned the job."),
    ("checkpoints_failed", "trainyard_checkpoints_failed", "Checkpoints that could not be stored."),
    ("database_outages", "trainyard_database_outages", "Times a worker found the database away, and it came back."),
)


@dataclass(frozen=True)
class Facts:
    """One look into the database."""

    jobs: dict[tuple[str, str], int]
    ages: dict[str, Age]
    workers: list[Worker]
    busy: dict[str, int]
    outbox: Outbox
    totals: dict[str, int]

    @property
    def queues(self) -> list[str]:
        """Every queue that has jobs or a worker."""
        served = {queue for worker in self.workers for queue in queues_of(worker)}
        return sorted(served | {queue for _, queue in self.jobs} | {"default"})

    def slots(self, queue: str) -> int:
        """Slots of the workers that serve the queue."""
        return sum(worker.slots for worker in self.workers if queue in queues_of(worker))

    def idle(self, queue: str | None = None) -> int:
        """Those of them that have no job; None: of all workers."""
        serving = [worker for worker in self.workers if queue is None or queue in queues_of(worker)]
        return sum(max(0, worker.slots - self.busy.get(worker.name, 0)) for worker in serving)


def read_facts(database: Database, settings: Settings) -> Facts:
    """Look once; raise DatabaseUnavailable when the database does not answer."""
    with database.reading() as session:
        return Facts(
            jobs=repository.count_by_queue(session),
            ages=repository.queued_ages(session, settings.owner_slots),
            workers=repository.live_workers(session, settings.lease_seconds),
            busy=repository.busy_slots(session),
            outbox=repository.webhook_outbox(session),
            totals=totals.read(session),
        )


class Gauges(Collector):
    """The figures of the queue, the workers, the outbox and the disk. While the database is away, of the disk alone."""

    def __init__(self, database: Database, settings: Settings) -> None:
        self.database = database
        self.settings = settings

    def collect(self) -> Iterator[Metric]:
        """Yield what Prometheus reads."""
        free = shutil.disk_usage(self.settings.home_dir).free
        yield _gauge("trainyard_disk_free_bytes", "Free disk of the data folder, bytes.", free)
        reserve = self.settings.min_free_bytes
        yield _gauge("trainyard_disk_reserve_bytes", "Free disk below which jobs are refused, bytes.", reserve)
        try:
            facts = read_facts(self.database, self.settings)
        except TrainyardError:
            yield _gauge("trainyard_database_up", "1 when the database answered this scrape.", 0)
            return
        yield _gauge("trainyard_database_up", "1 when the database answered this scrape.", 1)
        yield from _queue(facts)
        yield from _workers(facts)
        yield from _webhooks(facts.outbox)
        yield from _totals(facts.totals)


def _gauge(name: str, text: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(name, text, value=value)


def _queue(facts: Facts) -> Iterator[Metric]:
    jobs = GaugeMetricFamily("trainyard_jobs", "Jobs by state and queue.", labels=["state", "queue"])
    oldest = GaugeMetricFamily(
        "trainyard_oldest_queued_job_seconds",
        "How long the oldest job has waited that could run.",
        labels=["queue"],
    )
    late = GaugeMetricFamily(
        "trainyard_queued_job_p99_seconds", "For how long 99 of 100 such jobs have waited at most.", labels=["queue"]
    )
    slots = GaugeMetricFamily("trainyard_queue_slots", "Slots of the workers that serve a queue.", labels=["queue"])
    idle = GaugeMetricFamily("trainyard_queue_idle_slots", "Those of them that have no job.", labels=["queue"])
    for queue in facts.queues:
        for state in STATES:
            jobs.add_metric([state, queue], facts.jobs.get((state, queue), 0))
        age = facts.ages.get(queue, Age(0.0, 0.0))
        oldest.add_metric([queue], age.oldest)
        late.add_metric([queue], age.p99)
        slots.add_metric([queue], facts.slots(queue))
        idle.add_metric([queue], facts.idle(queue))
    yield from (jobs, oldest, late, slots, idle)


def _workers(facts: Facts) -> Iterator[Metric]:
    yield _gauge("trainyard_workers", "Workers seen within a lease.", len(facts.workers))
    yield _gauge("trainyard_worker_slots", "Slots of those workers.", sum(worker.slots for worker in facts.workers))
    yield _gauge("trainyard_idle_slots", "Slots of those workers that have no job.", facts.idle())
    bad = sum(device.get("state") == "quarantined" for worker in facts.workers for device in worker.devices)
    yield _gauge("trainyard_devices_quarantined", "Devices that failed a job and do not compute yet.", bad)


def _webhooks(outbox: Outbox) -> Iterator[Metric]:
    yield _gauge("trainyard_webhooks_pending", "Deliveries of webhooks to be made yet.", outbox.pending)
    yield _gauge("trainyard_webhooks_oldest_seconds", "Age of the oldest message of those.", outbox.oldest)
    yield _gauge("trainyard_webhooks_overdue_seconds", "For how long the next try is overdue.", outbox.overdue)


def _totals(found: dict[str, int]) -> Iterator[Metric]:
    for key, name, text in _TOTALS:
        yield CounterMetricFamily(name, text, value=found.get(key, 0))
    attempts = CounterMetricFamily("trainyard_attempts", "Attempts that ended, by how.", labels=["outcome"])
    # All from the start: to Prometheus a number that begins above zero has not risen.
    ended = {key.removeprefix(_ATTEMPTS) for key in found if key.startswith(_ATTEMPTS)}
    for outcome in sorted(ended | set(OUTCOMES)):
        attempts.add_metric([outcome], found.get(_ATTEMPTS + outcome, 0))
    yield attempts
