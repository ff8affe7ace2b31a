"""One attempt under way: its data, its trainer, its reports, and the edge its end asks for."""

import logging
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from app.core.settings import Settings
from app.jobs import repository as jobs
from app.storage.blobs import BlobStore
from workers.attempt import AttemptFolder, DataFolders, LogShipper
from workers.child import BATCH_KINDS, Exit, Order, Spawner, Trainer
from workers.fetching import ModelGone, fetch_chain, fetch_checkpoint, fetch_models
from workers.guard import Guard
from workers.halving import describe_halving, halve
from workers.outcome import Outcome, OutOfMemoryWatch, decide, describe_error
from workers.publication import Publication
from workers.recorder import WRITE_SECONDS, Inbox, LeaseLost, Recorder

log = logging.getLogger(__name__)

LOG_SECONDS = 3.0


class Run:
    """One attempt. Its methods are called in order by `drive`."""

    def __init__(
        self,
        settings: Settings,
        job: jobs.ClaimedJob,
        folder: AttemptFolder,
        guard: Guard,
        recorder: Recorder,
        blobs: BlobStore,
        data: DataFolders,
        warm: Callable[[], Spawner],
    ) -> None:
        """`warm` returns a spawner of the job's program that lives."""
        self.settings = settings
        self.job = job
        self.folder = folder
        self.guard = guard
        self.recorder = recorder
        self.blobs = blobs
        self.data = data
        self.warm = warm
        hidden = [self.settings.home_dir, Path(__file__).resolve().parents[1]]
        self.logs = LogShipper(self.blobs, folder, f"logs/{job.id}/{job.attempt}.txt", hidden)

    def drive(self) -> None:
        """Fetch, train, conclude. LeaseLost when another attempt owns the job."""
        memory = OutOfMemoryWatch()
        try:
            order = self._order()
        except ModelGone as gone:
            error = describe_error("configuration_error", f"The files of the model {gone} are gone.", retryable=False)
            self._conclude(Outcome("fail", error), Exit())
            return
        except FileNotFoundError:
            error = describe_error(
                "dataset_error", "The stored columns of a data set of this job are gone.", retryable=False
            )
            self._conclude(Outcome("fail", error), Exit())
            return
        except OSError as problem:
            log.warning("data could not be fetched", extra={"job": self.job.id, "error": str(problem)})
            error = describe_error("storage_full", "The data could not be fetched to the worker.", retryable=True)
            self._conclude(Outcome("requeue", error, charge=True, reason="retryable"), Exit())
            return
        exit_ = self._train(order) if self.guard.wish is None else Exit()
        outcome = decide(
            self.recorder.final,
            exit_,
            self.guard.wish,
            killed=self.guard.killed or exit_ == Exit(),
            ran_out_of_memory=memory.fired(),
            log_tail=self.logs.tail(),
        )
        self.logs.ship()
        self._conclude(outcome, exit_)

    def _order(self) -> Order:
        job = self.job
        folders = {role: self.data.folder(ref.id, ref.sha256) for role, ref in job.datasets.items()}
        is_batch = job.kind in BATCH_KINDS
        models = fetch_models(self.blobs, job, self.folder.models, whole=not is_batch)
        fetch = fetch_chain if is_batch else fetch_checkpoint
        checkpoint = fetch(self.blobs, job, self.folder.checkpoint)
        threads = self.settings.trainer_threads or max(1, (os.cpu_count() or 1) // self.settings.worker_slots)
        order = {
            "job": job.id,
            "attempt": job.attempt,
            "kind": job.kind,
            "recipe": job.recipe,
            "models": {role: str(folder) for role, folder in models.items()},
            "resolved": job.resolved,
            "datasets": {role: str(folder) for role, folder in folders.items()},
            "dataset_ids": {role: ref.id for role, ref in job.datasets.items()},
            "output": str(self.folder.output),
            "checkpoint": None if checkpoint is None else str(checkpoint),
            "threads": threads,
            "trained_seconds": job.trained_seconds,
            "checkpoint_seconds": self.settings.checkpoint_seconds,
        }
        return self.folder.write_order(order, nice=self.settings.trainer_nice, threads=threads)

    def _train(self, order: Order) -> Exit:
        try:
            trainer = Trainer(self.warm(), order)
        except (BrokenPipeError, ConnectionResetError):  # it died just now: `warm` starts another
            trainer = Trainer(self.warm(), order)
        inbox = Inbox()
        ended: list[Exit] = []

        def deliver(report: dict[str, Any]) -> None:
            self.guard.heard()
            inbox.put(report)

        def read() -> None:
            ended.append(trainer.read(deliver))
            self.guard.detach()
            inbox.close()

        reader = threading.Thread(target=read, name=f"reader-{self.job.id}", daemon=True)
        self.guard.attach(trainer)
        reader.start()
        try:
            self._record_all(inbox, trainer)
        except LeaseLost:
            self.guard.ask("lost")
            raise
        finally:
            reader.join()
            trainer.close()
        return ended[0]

    def _record_all(self, inbox: Inbox, trainer: Trainer) -> None:
        shipped_at = time.monotonic()
        while True:
            reports = inbox.take(1.0)
            self.recorder.record(reports, trainer.pid)
            if not reports and inbox.closed.is_set():
                return
            if time.monotonic() - shipped_at > LOG_SECONDS:
                self.logs.ship()
                shipped_at = time.monotonic()
            if reports:
                inbox.closed.wait(WRITE_SECONDS)

    def _conclude(self, outcome: Outcome, exit_: Exit) -> None:
        if outcome.edge == "publish":
            outcome = Publication(self.job, self.guard, self.recorder, self.blobs).publish(exit_)
        if outcome.edge == "nothing":
            return
        outcome, halving = self._halve(outcome)
        job_id, attempt = self.job.id, self.job.attempt
        end = jobs.AttemptEnd(exit_.code, exit_.signal, exit_.peak_memory_bytes)
        seconds = (self.recorder.final or {}).get("trained_seconds")

        def work(session: Any) -> Any:
            match outcome.edge:
                case "fail":
                    error, fit = outcome.error or {}, (self.recorder.final or {}).get("fit")
                    return jobs.fail(session, job_id, attempt, error=error, fit=fit, trained_seconds=seconds, end=end)
                case "cancelled":
                    return jobs.cancelled(session, job_id, attempt, trained_seconds=seconds, end=end)
                case "paused":
                    spent = self.job.trained_seconds if seconds is None else seconds
                    return jobs.paused(session, job_id, attempt, trained_seconds=spent, end=end)
                case _:
                    if halving is not None:
                        jobs.record_halving(session, job_id, attempt, *halving)
                    return jobs.requeue(
                        session, job_id, attempt, charge=outcome.charge, error=outcome.error,
                        reason=outcome.reason, trained_seconds=seconds, end=end,
                    )  # fmt: skip

        taken = self.recorder.write(work)
        log.info("attempt over", extra={"job": job_id, "attempt": attempt, "edge": outcome.edge, "taken": bool(taken)})

    def _halve(self, outcome: Outcome) -> tuple[Outcome, tuple[dict[str, Any], dict[str, Any]] | None]:
        """Where the trainer was ended for want of memory, let the next attempt begin with half the batch.

        Each such end is charged (it may have hurt others on the machine), so `max_failures` bounds them. Nothing is
        halved for the attempt that there will not be; a batch that cannot be halved ends the job.
        """
        error = outcome.error or {}
        if outcome.edge != "requeue" or error.get("code") != "out_of_memory":
            return outcome, None
        if "training" not in self.job.resolved:  # no batch to halve: tried again as it is
            return outcome, None
        before = {**self.job.resolved["training"], **self.recorder.halved}
        changed = halve(before)
        if changed is None:
            return Outcome("fail", error), None
        if self.job.failures + 1 >= self.job.max_failures:
            return outcome, None
        return outcome, (changed, describe_halving(before, before | changed, "process", error["message"]))
