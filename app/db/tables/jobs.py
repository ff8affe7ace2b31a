"""Jobs and what belongs to them: what they read, their attempts, figures, events, checkpoints."""

from datetime import datetime
from typing import Any

from sqlalchemy import CheckConstraint, ForeignKey, Index, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from app.db.engine import db_now
from app.db.tables.base import DEFAULT_PROJECT, Base, InProject, Json
from app.jobs.states import STATES


class Job(InProject, Base):
    """A job: the row is the truth. Every write for a running job names its `attempt`."""

    __tablename__ = "jobs"
    __table_args__ = (
        CheckConstraint(f"state IN ({', '.join(map(repr, STATES))})", name="ck_jobs_state"),
        Index("ix_jobs_queue", "state", "priority", "id"),
        Index("ix_jobs_lease", "state", "lease_expires_at"),
        # What a claim and a place in the queue need of a job, so that neither reads the rows themselves.
        Index("ix_jobs_fair", "state", "queue", "priority", "project", "owner", "id", "run_after"),
        Index("ix_jobs_finished", "state", "finished_at"),
    )

    id: Mapped[str] = mapped_column(String(40), primary_key=True)
    kind: Mapped[str] = mapped_column(String(16), default="train")
    recipe: Mapped[str | None] = mapped_column(String(64))
    owner: Mapped[str] = mapped_column(String(128), default="", server_default="")
    queue: Mapped[str] = mapped_column(String(32), default="default", server_default="default")
    expected_seconds: Mapped[float | None]
    state: Mapped[str] = mapped_column(String(16), default="queued")
    priority: Mapped[int] = mapped_column(default=0)
    attempt: Mapped[int] = mapped_column(default=0)
    failures: Mapped[int] = mapped_column(default=0)
    max_failures: Mapped[int] = mapped_column(default=3)
    created_at: Mapped[datetime] = mapped_column(server_default=db_now())
    updated_at: Mapped[datetime] = mapped_column(server_default=db_now())
    started_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]
    run_after: Mapped[datetime] = mapped_column(server_default=db_now())
    rung_at: Mapped[datetime | None]
    lease_owner: Mapped[str | None] = mapped_column(String(128))
    lease_expires_at: Mapped[datetime | None]
    cancel_requested_at: Mapped[datetime | None]
    cancel_keep: Mapped[str | None] = mapped_column(String(8))
    pause_requested_at: Mapped[datetime | None]
    stop_reason: Mapped[str | None] = mapped_column(String(32))
    trained_seconds: Mapped[float] = mapped_column(default=0.0)
    event_seq: Mapped[int] = mapped_column(default=0)
    request: Mapped[dict[str, Any]]
    resolved: Mapped[dict[str, Any]]
    meta: Mapped[dict[str, Any]] = mapped_column("metadata", Json)
    warnings: Mapped[list[Any]]
    progress: Mapped[dict[str, Any] | None]
    metrics: Mapped[dict[str, Any]]
    fit: Mapped[dict[str, Any] | None]
    evaluation: Mapped[dict[str, Any] | None] = mapped_column(Json, deferred=True)
    error: Mapped[dict[str, Any] | None]
    result: Mapped[dict[str, Any] | None]
    model_name: Mapped[str] = mapped_column(String(64))
    model_version: Mapped[int | None]
    retry_of: Mapped[str | None] = mapped_column(String(40))


class OwnerUse(InProject, Base):
    """How much of the slots an owner has used lately; see `app.jobs.repository.fairness` for `level`."""

    __tablename__ = "owner_use"

    project: Mapped[str] = mapped_column(String(64), primary_key=True, default=DEFAULT_PROJECT)
    owner: Mapped[str] = mapped_column(String(128), primary_key=True)
    level: Mapped[float] = mapped_column(default=0.0)


class JobDataset(InProject, Base):
    """Which data sets a job reads, by role (`all`, `train`, `validation`, `test`)."""

    __tablename__ = "job_datasets"

    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True)
    role: Mapped[str] = mapped_column(String(16), primary_key=True)
    dataset_id: Mapped[str] = mapped_column(String(40), index=True)


class JobModel(InProject, Base):
    """Which model versions a job reads, by role: `base` (it starts from it), `model` (it runs it)."""

    __tablename__ = "job_models"
    __table_args__ = (Index("ix_job_models_version", "project", "name", "version"),)

    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True)
    role: Mapped[str] = mapped_column(String(16), primary_key=True)
    name: Mapped[str] = mapped_column(String(64))
    version: Mapped[int]


class JobAttempt(InProject, Base):
    """One claim of a job: who ran it and how it ended."""

    __tablename__ = "job_attempts"

    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True)
    attempt: Mapped[int] = mapped_column(primary_key=True)
    worker: Mapped[str] = mapped_column(String(128))
    pid: Mapped[int | None]
    started_at: Mapped[datetime] = mapped_column(server_default=db_now())
    ended_at: Mapped[datetime | None]
    outcome: Mapped[str | None] = mapped_column(String(32))
    exit_code: Mapped[int | None]
    signal: Mapped[int | None]
    peak_memory_bytes: Mapped[int | None]
    fingerprint: Mapped[dict[str, Any] | None]


class JobMetric(InProject, Base):
    """The figures of one split at one step. A resumed attempt writes over what it repeats."""

    __tablename__ = "job_metrics"

    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True)
    split: Mapped[str] = mapped_column(String(16), primary_key=True)
    epoch: Mapped[int] = mapped_column(primary_key=True)
    step: Mapped[int] = mapped_column(primary_key=True)
    attempt: Mapped[int]
    values: Mapped[dict[str, Any]]
    at: Mapped[datetime] = mapped_column(server_default=db_now())


class JobEvent(InProject, Base):
    """What happened to a job, numbered 1, 2, 3 … within it."""

    __tablename__ = "job_events"
    __table_args__ = (UniqueConstraint("job_id", "seq", name="uq_job_events_seq"),)

    id: Mapped[str] = mapped_column(String(40), primary_key=True)
    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"))
    seq: Mapped[int]
    type: Mapped[str] = mapped_column(String(48))
    at: Mapped[datetime] = mapped_column(server_default=db_now())
    data: Mapped[dict[str, Any]]


class JobCheckpoint(InProject, Base):
    """A whole checkpoint in the blob store, written down only after its upload."""

    __tablename__ = "job_checkpoints"

    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True)
    attempt: Mapped[int] = mapped_column(primary_key=True)
    step: Mapped[int] = mapped_column(primary_key=True)
    epoch: Mapped[int]
    is_best: Mapped[bool] = mapped_column(default=False)
    metrics: Mapped[dict[str, Any]]
    bytes: Mapped[int]
    sha256: Mapped[str] = mapped_column(String(64))
    blob_prefix: Mapped[str] = mapped_column(String(255))
    created_at: Mapped[datetime] = mapped_column(server_default=db_now())
