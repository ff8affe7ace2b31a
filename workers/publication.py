"""What an attempt made is stored, and published in the transaction that ends the job."""

import hashlib
import json
import logging
from pathlib import Path
from typing import Any

from app.core.ids import new_id
from app.jobs import repository as jobs
from app.models.repository import PublishedBundle
from app.storage.blobs import BlobStore, put_tree
from workers.child import Exit
from workers.guard import Guard
from workers.outcome import Outcome, describe_error
from workers.recorder import LeaseLost, Recorder

log = logging.getLogger(__name__)

UPLOAD_TRIES = 4


class Publication:
    """The end of an attempt whose trainer is done."""

    def __init__(self, job: jobs.ClaimedJob, guard: Guard, recorder: Recorder, blobs: BlobStore) -> None:
        self.job = job
        self.guard = guard
        self.recorder = recorder
        self.blobs = blobs

    def publish(self, exit_: Exit) -> Outcome:
        """Store the bundle, then version and state in one transaction; return what is left to do."""
        report = self.recorder.final or {}
        if not report.get("bundle"):
            return self._publish_result(report, exit_)
        folder = Path(report["bundle"])
        prefix = f"bundles/{self.job.id}/{self.job.attempt}"
        try:
            manifest_bytes = (folder / "manifest.json").read_bytes()
        except OSError:
            error = describe_error("internal_error", "The trainer left no finished model behind.", retryable=False)
            return Outcome("fail", error)
        size = self._upload(prefix, folder)
        if size is None:
            error = describe_error("storage_full", "The finished model could not be stored.", retryable=True)
            return Outcome("requeue", error, charge=True, reason="retryable")
        bundle = PublishedBundle(
            prefix,
            json.loads(manifest_bytes),
            bytes=size,
            sha256=hashlib.sha256(manifest_bytes).hexdigest(),
            base=self.job.resolved.get("params", {}).get("base"),
        )
        ref = self.recorder.write(
            lambda session: jobs.succeed(
                session,
                self.job.id,
                self.job.attempt,
                bundle=bundle,
                stop_reason=report["stop_reason"],
                metrics=report["metrics"],
                fit=report["fit"],
                evaluation=report["evaluation"],
                trained_seconds=report["trained_seconds"],
                end=jobs.AttemptEnd(exit_.code, exit_.signal, exit_.peak_memory_bytes),
            )
        )
        if ref is None:  # lost, or cancelled meanwhile: no row names these files
            self.blobs.delete_tree(prefix)
        log.info("attempt over", extra={"job": self.job.id, "attempt": self.job.attempt, "model": ref})
        return Outcome("nothing")

    def _publish_result(self, report: dict[str, Any], exit_: Exit) -> Outcome:
        """Store the data set that the job made, then its row and the state in one transaction."""
        dataset, prefix = None, None
        if report["dataset"] is not None:
            dataset_id = new_id("ds")
            folder, prefix = Path(report["dataset"]["folder"]), f"datasets/{dataset_id}"
            manifest = (folder / "manifest.json").read_bytes()
            size = self._upload(prefix, folder)
            if size is None:
                error = describe_error("storage_full", "The predictions could not be stored.", retryable=True)
                return Outcome("requeue", error, charge=True, reason="retryable")
            dataset = jobs.NewDataset(
                id=dataset_id,
                name=self.job.resolved["output"]["name"],
                rows=report["dataset"]["rows"],
                bytes=size,
                sha256=hashlib.sha256(manifest).hexdigest(),
                columns=report["dataset"]["columns"],
                blob_prefix=prefix,
            )
        finished = self.recorder.write(
            lambda session: jobs.finish(
                session,
                self.job.id,
                self.job.attempt,
                result=report["result"],
                dataset=dataset,
                metrics=report["metrics"],
                evaluation=report["evaluation"],
                stop_reason=report["stop_reason"],
                trained_seconds=report["trained_seconds"],
                end=jobs.AttemptEnd(exit_.code, exit_.signal, exit_.peak_memory_bytes),
            )
        )
        unnamed = finished.prefixes if finished is not None else [prefix] if prefix is not None else []
        for prefix in unnamed:
            self.blobs.delete_tree(prefix)
        told = None if finished is None else finished.result
        log.info("attempt over", extra={"job": self.job.id, "attempt": self.job.attempt, "result": told})
        return Outcome("nothing")

    def _upload(self, prefix: str, folder: Path) -> int | None:
        for attempt in range(UPLOAD_TRIES):
            try:
                return put_tree(self.blobs, prefix, folder)
            except OSError as problem:
                log.warning("bundle not stored", extra={"job": self.job.id, "error": str(problem)})
                if self.guard.lost.wait(2.0**attempt):
                    raise LeaseLost from None
        return None
