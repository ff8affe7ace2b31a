"""The tables. Every one has `project`, so that tenants need no second migration of it."""

from datetime import datetime
from typing import Any, ClassVar

from sqlalchemy import JSON, BigInteger, CheckConstraint, ForeignKey, Index, String, Text, UniqueConstraint
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from app.db.engine import UtcDateTime, db_now
from app.jobs.states import STATES

Json = JSON(none_as_null=True).with_variant(JSONB(none_as_null=True), "postgresql")
DEFAULT_PROJECT = "default"


class Base(DeclarativeBase):
    """Typing of columns shared by all tables."""

    type_annotation_map: ClassVar[dict[Any, Any]] = {
        datetime: UtcDateTime,
        dict[str, Any]: Json,
        list[Any]: Json,
        int: BigInteger,
    }


class _Project:
    project: Mapped[str] = mapped_column(String(64), default=DEFAULT_PROJECT, server_default=DEFAULT_PROJECT)


class Dataset(_Project, Base):
    """A data set taken in: its profile; the columns lie in the blob store under `blob_prefix`."""

    __tablename__ = "datasets"

    id: Mapped[str] = mapped_column(String(40), primary_key=True)
    name: Mapped[str] = mapped_column(String(255))
    format: Mapped[str] = mapped_column(String(16))
    rows: Mapped[int]
    bytes: Mapped[int]
    sha256: Mapped[str] = mapped_column(String(64))
    splits: Mapped[dict[str, Any] | None]
    columns: Mapped[list[Any]]
    rejected: Mapped[dict[str, Any]]
    cleaning: Mapped[list[Any]]
    blob_prefix: Mapped[str] = mapped_column(String(255))
    created_at: Mapped[datetime] = mapped_column(server_default=db_now())


class Job(_Project, Base):
    """A job: the row is the truth. Every write for a running job names its `attempt`."""

    __tablename__ = "jobs"
    __table_args__ = (
        CheckConstraint(f"state IN ({', '.join(map(repr, STATES))})", name="ck_jobs_state"),
        Index("ix_jobs_queue", "state", "priority", "id"),
        Index("ix_jobs_lease", "state", "lease_expires_at"),
    )

    id: Mapped[str] = mapped_column(String(40), primary_key=True)
    kind: Mapped[str] = mapped_column(String(16), default="train")
    recipe: Mapped[str] = mapped_column(String(64))
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
    model_name: Mapped[str] = mapped_column(String(64))
    model_version: Mapped[int | None]
    retry_of: Mapped[str | None] = mapped_column(String(40))


class JobDataset(_Project, Base):
    """Which data sets a job reads, by role (`all`, `train`, `validation`, `test`)."""

    __tablename__ = "job_datasets"

    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True)
    role: Mapped[str] = mapped_column(String(16), primary_key=True)
    dataset_id: Mapped[str] = mapped_column(String(40), index=True)


class JobAttempt(_Project, Base):
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


class JobMetric(_Project, Base):
    """The figures of one split at one step. A resumed attempt writes over what it repeats."""

    __tablename__ = "job_metrics"

    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True)
    split: Mapped[str] = mapped_column(String(16), primary_key=True)
    epoch: Mapped[int] = mapped_column(primary_key=True)
    step: Mapped[int] = mapped_column(primary_key=True)
    attempt: Mapped[int]
    values: Mapped[dict[str, Any]]
    at: Mapped[datetime] = mapped_column(server_default=db_now())


class JobEvent(_Project, Base):
    """What happened to a job, numbered 1, 2, 3 … within it."""

    __tablename__ = "job_events"
    __table_args__ = (UniqueConstraint("job_id", "seq", name="uq_job_events_seq"),)

    id: Mapped[str] = mapped_column(String(40), primary_key=True)
    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"))
    seq: Mapped[int]
    type: Mapped[str] = mapped_column(String(48))
    at: Mapped[datetime] = mapped_column(server_default=db_now())
    data: Mapped[dict[str, Any]]


class JobCheckpoint(_Project, Base):
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


class Model(_Project, Base):
    """A model's name; `last_version` only rises, so that a version is never used twice."""

    __tablename__ = "models"

    project: Mapped[str] = mapped_column(String(64), primary_key=True, default=DEFAULT_PROJECT)
    name: Mapped[str] = mapped_column(String(64), primary_key=True)
    last_version: Mapped[int] = mapped_column(default=0)
    created_at: Mapped[datetime] = mapped_column(server_default=db_now())


class ModelVersion(_Project, Base):
    """A finished model: what its bundle's manifest says, and where the bundle lies."""

    __tablename__ = "model_versions"

    project: Mapped[str] = mapped_column(String(64), primary_key=True, default=DEFAULT_PROJECT)
    name: Mapped[str] = mapped_column(String(64), primary_key=True)
    version: Mapped[int] = mapped_column(primary_key=True)
    recipe: Mapped[str | None] = mapped_column(String(64))
    job_id: Mapped[str | None] = mapped_column(String(40), unique=True)
    dataset_id: Mapped[str | None] = mapped_column(String(40))
    base: Mapped[str | None] = mapped_column(String(128))
    description: Mapped[str | None] = mapped_column(Text)
    metrics: Mapped[dict[str, Any]]
    signature: Mapped[dict[str, Any]]
    manifest: Mapped[dict[str, Any]]
    parameters: Mapped[int]
    bytes: Mapped[int]
    sha256: Mapped[str] = mapped_column(String(64))
    runtime: Mapped[str] = mapped_column(String(16), default="onnx")
    blob_prefix: Mapped[str] = mapped_column(String(255))
    created_at: Mapped[datetime] = mapped_column(server_default=db_now())


class ModelAlias(_Project, Base):
    """A second name of one version (`production`)."""

    __tablename__ = "model_aliases"

    project: Mapped[str] = mapped_column(String(64), primary_key=True, default=DEFAULT_PROJECT)
    name: Mapped[str] = mapped_column(String(64), primary_key=True)
    alias: Mapped[str] = mapped_column(String(64), primary_key=True)
    version: Mapped[int]
    created_at: Mapped[datetime] = mapped_column(server_default=db_now())


class Counter(_Project, Base):
    """Numbers that only rise; `catalogue` rises with every change of a model, alias or key."""

    __tablename__ = "counters"

    name: Mapped[str] = mapped_column(String(32), primary_key=True)
    value: Mapped[int] = mapped_column(default=0)


class Worker(_Project, Base):
    """A worker that was seen: its slots, its devices, its last sign of life."""

    __tablename__ = "workers"

    name: Mapped[str] = mapped_column(String(128), primary_key=True)
    host: Mapped[str] = mapped_column(String(255))
    pid: Mapped[int]
    slots: Mapped[int]
    devices: Mapped[list[Any]]
    release: Mapped[str] = mapped_column(String(32))
    started_at: Mapped[datetime] = mapped_column(server_default=db_now())
    last_seen_at: Mapped[datetime] = mapped_column(server_default=db_now())


class IdempotencyKey(_Project, Base):
    """The first answer to a creating POST, kept for a day (API.md §1)."""

    __tablename__ = "idempotency_keys"

    project: Mapped[str] = mapped_column(String(64), primary_key=True, default=DEFAULT_PROJECT)
    key: Mapped[str] = mapped_column(String(255), primary_key=True)
    suffix: Mapped[str] = mapped_column(String(32))
    request_sha256: Mapped[str | None] = mapped_column(String(64))
    status: Mapped[int | None]
    headers: Mapped[dict[str, Any] | None]
    body: Mapped[str | None] = mapped_column(Text)
    created_at: Mapped[datetime] = mapped_column(server_default=db_now())


class Webhook(_Project, Base):
    """An address that is told what happens. Secrets sign, so they are kept as they are; only a sender loads them."""

    __tablename__ = "webhooks"

    id: Mapped[str] = mapped_column(String(40), primary_key=True)
    url: Mapped[str] = mapped_column(Text)
    events: Mapped[list[Any]]
    description: Mapped[str | None] = mapped_column(Text)
    secrets: Mapped[list[Any]] = mapped_column(Json, deferred=True)
    enabled: Mapped[bool] = mapped_column(default=True)
    disabled_at: Mapped[datetime | None]
    disabled_reason: Mapped[str | None] = mapped_column(Text)
    failing_since: Mapped[datetime | None]
    created_at: Mapped[datetime] = mapped_column(server_default=db_now())
    updated_at: Mapped[datetime] = mapped_column(server_default=db_now())


class WebhookMessage(_Project, Base):
    """The outbox: a body as it is sent, byte for byte, to every webhook that asked for its type."""

    __tablename__ = "webhook_messages"

    id: Mapped[str] = mapped_column(String(40), primary_key=True)
    type: Mapped[str] = mapped_column(String(48))
    body: Mapped[str] = mapped_column(Text)
    created_at: Mapped[datetime] = mapped_column(server_default=db_now(), index=True)


class WebhookDelivery(_Project, Base):
    """A message for one webhook. `claims` only rises, and guards what a sender writes, as `attempt` does for jobs."""

    __tablename__ = "webhook_deliveries"
    __table_args__ = (Index("ix_webhook_deliveries_due", "state", "due_at"),)

    id: Mapped[str] = mapped_column(String(40), primary_key=True)
    webhook_id: Mapped[str] = mapped_column(ForeignKey("webhooks.id", ondelete="CASCADE"), index=True)
    message_id: Mapped[str] = mapped_column(ForeignKey("webhook_messages.id", ondelete="CASCADE"), index=True)
    type: Mapped[str] = mapped_column(String(48))
    state: Mapped[str] = mapped_column(String(16), default="pending")
    tries: Mapped[int] = mapped_column(default=0)
    claims: Mapped[int] = mapped_column(default=0)
    due_at: Mapped[datetime] = mapped_column(server_default=db_now())
    leased_until: Mapped[datetime | None]
    log: Mapped[list[Any]]
    created_at: Mapped[datetime] = mapped_column(server_default=db_now())
    updated_at: Mapped[datetime] = mapped_column(server_default=db_now())
