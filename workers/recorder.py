"""Writes down what a trainer reports: rows through the jobs repository, files through the blob store.

Every write names the attempt. One that finds the job in other hands raises LeaseLost. While the database
does not answer, reports wait in memory and the trainer goes on.
"""

import hashlib
import logging
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from app.db import totals
from app.db.engine import Database, DatabaseUnavailable
from app.jobs import repository as jobs
from app.storage.blobs import BlobStore, put_tree
from workers.guard import Guard

log = logging.getLogger(__name__)
T = TypeVar("T")

FINAL = frozenset({"done", "failed", "stopped"})
RETRY_SECONDS = 1.0
# One transaction for all that came meanwhile: SQLite syncs the disk for each.
WRITE_SECONDS = 0.25


class LeaseLost(Exception):
    """Another attempt owns the job: nothing may be written any more."""


class Inbox:
    """Reports on their way from the reading thread to the writing one."""

    def __init__(self) -> None:
        self._reports: list[dict[str, Any]] = []
        self._changed = threading.Condition()
        self.closed = threading.Event()

    def put(self, report: dict[str, Any]) -> None:
        """Add a report; a progress takes the place of the one before it, if that still waits."""
        with self._changed:
            if self._reports and report["type"] == "progress" and self._reports[-1]["type"] == "progress":
                self._reports.pop()
            self._reports.append(report)
            self._changed.notify()

    def close(self) -> None:
        """The trainer has ended: nothing comes any more."""
        with self._changed:
            self.closed.set()
            self._changed.notify()

    def take(self, timeout_seconds: float) -> list[dict[str, Any]]:
        """Return all that waits, after at most `timeout_seconds`; at once when closed."""
        with self._changed:
            self._changed.wait_for(lambda: self._reports or self.closed.is_set(), timeout_seconds)
            taken, self._reports = self._reports, []
            return taken


class Recorder:
    """Writes the reports of one attempt."""

    def __init__(self, database: Database, blobs: BlobStore, job_id: str, attempt: int, guard: Guard) -> None:
        self.final: dict[str, Any] | None = None
        self.halved: dict[str, Any] = {}
        """Fields of `training` that differ from those that the job was claimed with."""
        self._database = database
        self._blobs = blobs
        self._job_id = job_id
        self._attempt = attempt
        self._guard = guard

    def write(self, work: Callable[[Any], T]) -> T:
        """Run `work` in a transaction, again and again while the database does not answer.

        LeaseLost when the job is lost meanwhile.
        """
        while True:
            try:
                with self._database.transaction() as session:
                    return work(session)
            except DatabaseUnavailable:
                if self._guard.lost.wait(RETRY_SECONDS):
                    raise LeaseLost from None

    def record(self, reports: list[dict[str, Any]], pid: int | None) -> None:
        """Write `reports` in their order; LeaseLost when the attempt owns the job no more."""
        rows: list[dict[str, Any]] = []
        for report in reports:
            if report["type"] == "checkpoint":
                self._write_rows(rows, pid)
                rows = []
                self._store_checkpoint(report)
            elif report["type"] in FINAL:
                self.final = self.final or report
                self._guard.expect_exit()
            else:
                rows.append(report)
        self._write_rows(rows, pid)

    def _write_rows(self, reports: list[dict[str, Any]], pid: int | None) -> None:
        if not reports:
            return
        metrics = [r for r in reports if r["type"] == "metrics"]

        def work(session: Any) -> bool:
            kept = all(self._write_row(session, r, pid) for r in reports if r["type"] != "metrics")
            return kept and (not metrics or jobs.record_metrics(session, self._job_id, self._attempt, metrics))

        if not self.write(work):
            raise LeaseLost

    def _write_row(self, session: Any, report: dict[str, Any], pid: int | None) -> bool:
        job, attempt = self._job_id, self._attempt
        match report["type"]:
            case "started":
                return jobs.record_attempt_start(session, job, attempt, pid=pid, fingerprint=report["fingerprint"])
            case "progress":
                progress = {name: value for name, value in report.items() if name != "type"}
                return jobs.record_progress(session, job, attempt, progress)
            case "warnings":
                return jobs.record_warnings(session, job, attempt, report["warnings"])
            case "batch_halved":
                self.halved = {**self.halved, **report["training"]}
                return jobs.record_halving(session, job, attempt, report["training"], report["data"])
            case "event":
                return jobs.append_event(session, job, attempt, report["name"], report.get("data"))
            case other:
                log.warning("the trainer sent what is no report", extra={"job": job, "type": other})
                return True

    def _store_checkpoint(self, report: dict[str, Any]) -> None:
        folder = Path(report["folder"])
        prefix = f"checkpoints/{self._job_id}/{self._attempt}-{report['step']}"
        try:
            sha256 = hashlib.sha256((folder / "manifest.json").read_bytes()).hexdigest()
            size = put_tree(self._blobs, prefix, folder)
        except OSError as error:  # training goes on; the next checkpoint may succeed
            log.warning("a checkpoint could not be stored", extra={"job": self._job_id, "error": str(error)})
            self.write(lambda session: totals.add(session, "checkpoints_failed"))
            return
        row = {
            "epoch": report["epoch"],
            "step": report["step"],
            "is_best": report["is_best"],
            "metrics": report["metrics"],
            "bytes_": size,
            "sha256": sha256,
            "blob_prefix": prefix,
            "trained_seconds": report["trained_seconds"],
        }
        if not self.write(lambda session: jobs.record_checkpoint(session, self._job_id, self._attempt, **row)):
            raise LeaseLost
        if report.get("chained"):  # it holds what came since the one before: all are needed
            return
        old = self.write(lambda session: jobs.prune_checkpoints(session, self._job_id, self._attempt))
        for prefix in old:
            self._blobs.delete_tree(prefix)
