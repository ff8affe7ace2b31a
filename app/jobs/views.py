"""Rows of jobs as a client sees them (API.md §4)."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from app.core.clock import to_rfc3339
from app.db.tables import Job, JobAttempt, JobCheckpoint, JobEvent, JobMetric
from app.jobs.schemas import AttemptView, CheckpointView, EventView, JobError, JobView, MetricView
from app.preprocessing.findings import warn


@dataclass(frozen=True)
class Place:
    """Where a queued job stands: its place in its queue, and when it is expected to start."""

    position: int
    expected_start_at: datetime | None = None
    is_served: bool = True
    """False: no worker that lives serves its queue."""


def job_view(job: Job, place: Place | None = None) -> JobView:
    """Return the job; `place` where it is queued and that is known."""
    return JobView(
        id=job.id,
        kind=job.kind,
        recipe=job.recipe,
        state=job.state,
        attempt=job.attempt,
        failures=job.failures,
        max_failures=job.max_failures,
        queue=job.queue,
        owner=job.owner,
        queue_position=place.position if place is not None else None,
        expected_start_at=to_rfc3339(place.expected_start_at) if place is not None else None,
        created_at=to_rfc3339(job.created_at) or "",
        started_at=to_rfc3339(job.started_at),
        finished_at=to_rfc3339(job.finished_at),
        progress=job.progress,
        metrics=job.metrics,
        fit=job.fit,
        warnings=[*job.warnings, *_queue_warnings(job, place)],
        cancel_requested=job.cancel_requested_at is not None,
        pause_requested=job.pause_requested_at is not None,
        stop_reason=job.stop_reason,
        error=JobError(**job.error) if job.error else None,
        model=f"{job.model_name}@{job.model_version}" if job.model_version is not None else None,
        result=job.result,
        request=job.request,
        resolved=job.resolved,
        metadata=job.meta,
        retry_of=job.retry_of,
    )


def _queue_warnings(job: Job, place: Place | None) -> list[dict[str, Any]]:
    if place is None or place.is_served:
        return []
    message = f"No worker that lives serves the queue {job.queue!r}; the job waits until one does."
    return [warn("queue_not_served", message, queue=job.queue)]


def metric_view(metric: JobMetric) -> MetricView:
    """Return the figures of one split at one step."""
    return MetricView(
        epoch=metric.epoch, step=metric.step, split=metric.split, values=metric.values, at=to_rfc3339(metric.at) or ""
    )


def event_view(event: JobEvent) -> EventView:
    """Return an event."""
    return EventView(
        id=event.id, seq=event.seq, type=event.type, job=event.job_id, at=to_rfc3339(event.at) or "", data=event.data
    )


def attempt_view(attempt: JobAttempt) -> AttemptView:
    """Return an attempt."""
    return AttemptView(
        attempt=attempt.attempt,
        worker=attempt.worker,
        started_at=to_rfc3339(attempt.started_at) or "",
        ended_at=to_rfc3339(attempt.ended_at),
        outcome=attempt.outcome,
        exit_code=attempt.exit_code,
        signal=attempt.signal,
        peak_memory_bytes=attempt.peak_memory_bytes,
        fingerprint=attempt.fingerprint,
    )


def checkpoint_view(checkpoint: JobCheckpoint) -> CheckpointView:
    """Return a checkpoint."""
    return CheckpointView(
        id=f"{checkpoint.attempt}-{checkpoint.step}",
        attempt=checkpoint.attempt,
        epoch=checkpoint.epoch,
        step=checkpoint.step,
        is_best=checkpoint.is_best,
        metrics=checkpoint.metrics,
        bytes=checkpoint.bytes,
        sha256=checkpoint.sha256,
        created_at=to_rfc3339(checkpoint.created_at) or "",
    )
