"""What the service keeps about itself: counters, workers, answers to be repeated."""

from datetime import datetime
from typing import Any

from sqlalchemy import String, Text
from sqlalchemy.orm import Mapped, mapped_column

from app.db.engine import db_now
from app.db.tables.base import DEFAULT_PROJECT, Base, InProject


class Counter(InProject, Base):
    """Numbers that only rise; `catalogue` rises with every change of a model, alias or key."""

    __tablename__ = "counters"

    name: Mapped[str] = mapped_column(String(32), primary_key=True)
    value: Mapped[int] = mapped_column(default=0)


class Worker(InProject, Base):
    """A worker that was seen: its slots, its devices, its last sign of life."""

    __tablename__ = "workers"

    name: Mapped[str] = mapped_column(String(128), primary_key=True)
    host: Mapped[str] = mapped_column(String(255))
    pid: Mapped[int]
    slots: Mapped[int]
    devices: Mapped[list[Any]]
    queues: Mapped[list[Any] | None]
    release: Mapped[str] = mapped_column(String(32))
    started_at: Mapped[datetime] = mapped_column(server_default=db_now())
    last_seen_at: Mapped[datetime] = mapped_column(server_default=db_now())


class IdempotencyKey(InProject, Base):
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
