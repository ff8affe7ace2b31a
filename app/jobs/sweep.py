"""What keeps jobs from being lost and data from staying for ever.

Everything here may be done by any number of processes at a time, and again: a row is taken by a
conditional UPDATE, a blob that is gone is gone. Batches are bounded, so that a sweep is short.
"""

import logging
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import timedelta

from app.core.clock import utc_now
from app.core.settings import Settings
from app.db.engine import Database
from app.jobs import repository
from app.jobs.queue import Bell
from app.jobs.repository import retention
from app.jobs.repository.edges import Released
from app.storage.blobs import BlobStore

BATCH = 100
RING_AFTER_SECONDS = 15.0
COLLECT_EVERY_SECONDS = 3600
# An upload is under way for less than this: what is younger may have its row still to come.
BLOB_AGE = timedelta(hours=1)
KEY_SECONDS = 86_400.0
WORKER_SECONDS = 86_400.0

# How many parts of a key name what a row knows: `checkpoints/<job>/<attempt>-<step>` …
_TREES = {"datasets": 2, "checkpoints": 3, "bundles": 3, "logs": 2}

_log = logging.getLogger("trainyard.sweep")


@dataclass(frozen=True)
class SweepReport:
    """What one sweep did."""

    released: list[Released]
    orphaned: list[str]
    rung: list[str]
    deleted_jobs: list[str]
    deleted_blobs: list[str]
    forgotten_keys: int
    forgotten_workers: int


class Grace:
    """Time for workers to renew their leases when the database comes back.

    While it was away every lease has run out, though the workers live and train on: who sweeps first would take
    their jobs and charge each a failure (measured: one job of two lost its attempt to an outage of a minute).
    """

    def __init__(self, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._seconds = seconds
        self._clock = clock
        self._until = clock()

    def begin(self) -> None:
        """The database does not answer now."""
        self._until = self._clock() + self._seconds

    @property
    def is_over(self) -> bool:
        """Whether a lease that is over means a worker that is gone."""
        return self._clock() >= self._until


def sweep_once(
    database: Database, blobs: BlobStore, settings: Settings, bell: Bell, *, releases: bool = True
) -> SweepReport:
    """Sweep once, without `releases` leaving jobs to silent workers; DatabaseUnavailable when it does not answer."""
    with database.transaction() as session:
        released = repository.release_expired(session, BATCH) if releases else []
        orphaned = repository.fail_orphans(session, BATCH)
    with database.transaction() as session:
        due = retention.rings_due(session, RING_AFTER_SECONDS, BATCH)
    for job_id, project, queue in due:
        bell.ring(job_id, project, queue)
    with database.transaction() as session:
        expired = retention.expired_jobs(session, settings.retain_jobs_days, BATCH)
        deleted = [job_id for job_id in expired if retention.delete_job(session, job_id)]
        lending = {job_id for job_id in deleted if retention.has_read_checkpoints(session, job_id)}
        prefixes = retention.forget_checkpoints(session, settings.retain_checkpoints_days, BATCH)
        keys = retention.forget_keys(session, KEY_SECONDS)
        workers = retention.forget_workers(session, WORKER_SECONDS)
        collects = retention.take_turn(session, "blobs_collected_at", int(time.time()), COLLECT_EVERY_SECONDS)
    # What another job still reads is collected when that is gone.
    prefixes += [f"checkpoints/{job_id}" for job_id in deleted if job_id not in lending]
    prefixes += [f"logs/{job_id}" for job_id in deleted]
    for prefix in prefixes:
        blobs.delete_tree(prefix)
    if collects:
        prefixes += collect_blobs(database, blobs, settings)
    report = SweepReport(released, orphaned, [job_id for job_id, *_ in due], deleted, prefixes, keys, workers)
    _log_report(report)
    return report


def collect_blobs(database: Database, blobs: BlobStore, settings: Settings) -> list[str]:
    """Remove blobs that no row names and logs past their time; return the prefixes removed."""
    removed: list[str] = []
    oldest_kept = utc_now() - BLOB_AGE
    for kind, parts in _TREES.items():
        newest: dict[str, bool] = {}
        for key, modified_at in blobs.modified(kind):
            tree = "/".join(key.split("/")[:parts])
            newest[tree] = newest.get(tree, True) and modified_at < oldest_kept
        settled = [tree for tree, is_old in newest.items() if is_old]
        for batch in _batches(settled):
            for tree in sorted(set(batch) - _kept(database, settings, kind, batch)):
                blobs.delete_tree(tree)
                removed.append(tree)
    return removed


def _kept(database: Database, settings: Settings, kind: str, trees: list[str]) -> set[str]:
    with database.reading() as session:
        if kind != "logs":
            return retention.named_prefixes(session, trees)
        by_job = {tree.split("/")[1]: tree for tree in trees}
        kept = retention.jobs_with_logs(session, list(by_job), settings.retain_logs_days)
    return {by_job[job_id] for job_id in kept}


def _batches(trees: list[str]) -> Iterable[list[str]]:
    return (trees[start : start + BATCH] for start in range(0, len(trees), BATCH))


def _log_report(report: SweepReport) -> None:
    for job in report.released:
        _log.warning("lease over", extra={"job": job.job_id, "state": job.state})
    if report.deleted_jobs or report.deleted_blobs:
        facts = {"jobs": len(report.deleted_jobs), "blobs": len(report.deleted_blobs)}
        _log.info("removed what was past its time", extra=facts)
