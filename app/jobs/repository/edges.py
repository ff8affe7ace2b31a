"""The edges of running jobs, which the worker goes along, and those that the sweep finds due."""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from app.db import totals
from app.db.engine import db_now
from app.db.tables import Job, JobAttempt
from app.jobs.advice import advised
from app.jobs.repository import fairness
from app.jobs.repository.claims import data_is_gone, model_is_gone
from app.jobs.repository.moves import EMPTY_METRICS, UNSYNCED, lock, move, storable
from app.jobs.states import State
from app.models import repository as models

MAX_BACKOFF_SECONDS = 30.0
# An attempt that ended because its device was lost: not the job's doing, unless it happens to it again and again.
DEVICE_LOST = "device_lost"
MAX_DEVICE_LOSSES = 10


@dataclass(frozen=True)
class AttemptEnd:
    """How the trainer's process ended; None where the worker cannot say."""

    exit_code: int | None = None
    signal: int | None = None
    peak_memory_bytes: int | None = None


@dataclass(frozen=True)
class Released:
    """A job that lost its worker, and the state it is in now."""

    job_id: str
    project: str
    state: State


def succeed(
    session: Session,
    job_id: str,
    attempt: int,
    *,
    bundle: models.PublishedBundle,
    stop_reason: str,
    metrics: dict[str, Any],
    fit: dict[str, Any] | None,
    evaluation: dict[str, Any] | None,
    trained_seconds: float,
    end: AttemptEnd | None = None,
) -> str | None:
    """Publish the bundle as the next version of the job's model and end the job, in one transaction.

    Return the ref `name@version`; the same again where this bundle was published before, for a
    worker that lost the answer to a commit must not take its bundle away. Return None where
    nothing was published: the attempt lost the job, or the job was asked to stop without keeping
    anything (then it is `cancelled` now). A job asked to stop with `keep: best` publishes and ends
    `cancelled`, with its model.
    """
    job = lock(session, job_id, state="running", attempt=attempt)
    if job is None:
        return models.find_published(session, job_id, bundle.blob_prefix)
    wanted = job.cancel_requested_at is not None
    if wanted and job.cancel_keep != "best":
        cancelled(session, job_id, attempt, trained_seconds=trained_seconds, end=end)
        return None
    version = models.publish_version(session, job.project, job.model_name, job_id, bundle)
    ref = f"{job.model_name}@{version}"
    target: State = "cancelled" if wanted else "succeeded"
    values = {
        "stop_reason": "cancelled" if wanted else stop_reason,
        "metrics": {**EMPTY_METRICS, **storable(metrics)},
        "fit": storable(fit),
        "evaluation": storable(evaluation),
        "trained_seconds": trained_seconds,
        "model_version": version,
        "error": None,
    }
    data = {"model": ref, "stop_reason": values["stop_reason"]}
    move(session, job_id, "running", target, attempt=attempt, event=target, data=data, values=values)
    end_attempt(session, job_id, attempt, target, end)
    return ref


def fail(
    session: Session,
    job_id: str,
    attempt: int,
    *,
    error: dict[str, Any],
    fit: dict[str, Any] | None = None,
    charge: bool = False,
    trained_seconds: float | None = None,
    end: AttemptEnd | None = None,
) -> bool:
    """End a running job as failed with a typed error (API.md §4); `charge` counts a failure too.

    `fit`: the verdict on a training that ran away.
    """
    error = advised(error)
    values: dict[str, Any] = {"error": storable(error)}
    if fit is not None:
        values["fit"] = storable(fit)
    if charge:
        values["failures"] = Job.failures + 1
    if trained_seconds is not None:
        values["trained_seconds"] = trained_seconds
    data = {"attempt": attempt, "error": error}
    done = move(session, job_id, "running", "failed", attempt=attempt, event="failed", data=data, values=values)
    if done:
        end_attempt(session, job_id, attempt, "failed", end)
    return done


def requeue(
    session: Session,
    job_id: str,
    attempt: int,
    *,
    charge: bool,
    error: dict[str, Any] | None = None,
    reason: str = "drained",
    trained_seconds: float | None = None,
    end: AttemptEnd | None = None,
) -> State | None:
    """Give a running job back to the queue; return the state it is in now, None where the attempt lost it.

    With `charge` a failure is counted: the last one that the job may have ends it as `failed` with
    `error`, else it waits 2, 4, 8 … 30 seconds. A drain is not charged and may be claimed at once.
    What was asked of the job meanwhile is done instead of queueing it: cancel, then pause.
    `reason` (`drained`, `lost`, `crashed`, `retryable`, `device_lost`) goes into the event and the attempt.
    """
    job = lock(session, job_id, state="running", attempt=attempt)
    if job is None:
        return None
    if job.cancel_requested_at is not None:
        cancelled(session, job_id, attempt, trained_seconds=trained_seconds, end=end)
        return "cancelled"
    charge = charge or (reason == DEVICE_LOST and _losses_of_devices(session, job_id) >= MAX_DEVICE_LOSSES)
    failures = job.failures + 1 if charge else job.failures
    if charge and failures >= job.max_failures:
        final = error or worker_lost(attempt, failures)
        fail(session, job_id, attempt, error=final, charge=True, trained_seconds=trained_seconds, end=end)
        return "failed"
    target: State = "paused" if job.pause_requested_at is not None else "queued"
    wait_seconds = min(2.0**failures, MAX_BACKOFF_SECONDS) if charge else 0.0
    values: dict[str, Any] = {"failures": failures, "run_after": db_now(wait_seconds), "rung_at": None}
    if trained_seconds is not None:
        values["trained_seconds"] = trained_seconds
    data = {"attempt": attempt, "reason": reason, "failures": failures, "error": error}
    event = "paused" if target == "paused" else "requeued"
    move(session, job_id, "running", target, attempt=attempt, event=event, data=data, values=values)
    end_attempt(session, job_id, attempt, reason, end)
    return target


def cancelled(
    session: Session,
    job_id: str,
    attempt: int,
    *,
    trained_seconds: float | None = None,
    end: AttemptEnd | None = None,
) -> bool:
    """End a running job as cancelled, without a model."""
    values: dict[str, Any] = {"stop_reason": "cancelled"}
    if trained_seconds is not None:
        values["trained_seconds"] = trained_seconds
    data = {"attempt": attempt, "model": None}
    done = move(session, job_id, "running", "cancelled", attempt=attempt, event="cancelled", data=data, values=values)
    if done:
        end_attempt(session, job_id, attempt, "cancelled", end)
    return done


def paused(
    session: Session,
    job_id: str,
    attempt: int,
    *,
    trained_seconds: float,
    end: AttemptEnd | None = None,
) -> bool:
    """Put a running job aside; its checkpoint was recorded before."""
    job = lock(session, job_id, state="running", attempt=attempt)
    if job is None:
        return False
    if job.cancel_requested_at is not None:
        return cancelled(session, job_id, attempt, trained_seconds=trained_seconds, end=end)
    values = {"trained_seconds": trained_seconds}
    data = {"attempt": attempt}
    done = move(session, job_id, "running", "paused", attempt=attempt, event="paused", data=data, values=values)
    if done:
        end_attempt(session, job_id, attempt, "paused", end)
    return done


def release_expired(session: Session, limit: int) -> list[Released]:
    """Take running jobs from workers whose lease is over, each counted as a failure; return them.

    Any number of processes may do this at a time: a row is released once.
    """
    expired = session.execute(
        select(Job.id, Job.project, Job.attempt)
        .where(Job.state == "running", Job.lease_expires_at < db_now())
        .order_by(Job.lease_expires_at)
        .limit(limit)
        .with_for_update(skip_locked=True)
    ).all()
    released = []
    for job_id, project, attempt in expired:
        state = requeue(session, job_id, attempt, charge=True, reason="lost")
        if state is not None:
            released.append(Released(job_id, project, state))
    if released:
        totals.add(session, "lease_expiries", len(released))
    return released


def fail_orphans(session: Session, limit: int) -> list[str]:
    """Fail queued jobs whose data set, base or model is gone; return their ids."""
    without_model = model_is_gone().label("without_model")
    found = session.execute(
        select(Job.id, without_model).where(Job.state == "queued", data_is_gone()).order_by(Job.id).limit(limit)
    ).all()
    failed = []
    for job_id, model_gone in found:
        code, what = ("configuration_error", "model") if model_gone else ("dataset_error", "data set")
        message = f"A {what} of this job was deleted before the job started."
        error = advised({"code": code, "message": message, "retryable": False, "detail": {}})
        if move(session, job_id, "queued", "failed", event="failed", data={"error": error}, values={"error": error}):
            failed.append(job_id)
    return failed


def worker_lost(attempt: int, failures: int) -> dict[str, Any]:
    """The typed error of a job whose workers kept vanishing."""
    return {
        "code": "worker_lost",
        "message": f"The worker was lost {failures} time(s) while it ran this job; the job is not tried again.",
        "retryable": True,
        "detail": {"attempt": attempt, "failures": failures},
    }


def _losses_of_devices(session: Session, job_id: str) -> int:
    query = select(func.count()).where(JobAttempt.job_id == job_id, JobAttempt.outcome == DEVICE_LOST)
    return session.scalar(query) or 0


def end_attempt(session: Session, job_id: str, attempt: int, outcome: str, end: AttemptEnd | None) -> None:
    """Write down how an attempt ended, and what its owner has used."""
    end = end or AttemptEnd()
    times = session.execute(
        update(JobAttempt)
        .where(JobAttempt.job_id == job_id, JobAttempt.attempt == attempt)
        .values(
            ended_at=db_now(),
            outcome=outcome,
            exit_code=end.exit_code,
            signal=end.signal,
            peak_memory_bytes=end.peak_memory_bytes,
        )
        .returning(JobAttempt.started_at, JobAttempt.ended_at),
        execution_options=UNSYNCED,
    ).one_or_none()
    totals.add(session, f"attempts.{outcome}")
    if times is not None and times.ended_at is not None:
        project, owner = session.execute(select(Job.project, Job.owner).where(Job.id == job_id)).one()
        seconds = (times.ended_at - times.started_at).total_seconds()
        fairness.add_use(session, project, owner, seconds, times.ended_at.timestamp())
