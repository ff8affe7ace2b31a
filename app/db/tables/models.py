"""Models: names, versions, aliases."""

from datetime import datetime
from typing import Any

from sqlalchemy import String, Text
from sqlalchemy.orm import Mapped, mapped_column

from app.db.engine import db_now
from app.db.tables.base import DEFAULT_PROJECT, Base, InProject, Json


class Model(InProject, Base):
    """A model's name; `last_version` only rises, so that a version is never used twice."""

    __tablename__ = "models"

    project: Mapped[str] = mapped_column(String(64), primary_key=True, default=DEFAULT_PROJECT)
    name: Mapped[str] = mapped_column(String(64), primary_key=True)
    last_version: Mapped[int] = mapped_column(default=0)
    created_at: Mapped[datetime] = mapped_column(server_default=db_now())


class ModelVersion(InProject, Base):
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
    intake: Mapped[dict[str, Any] | None] = mapped_column(Json, deferred=True)
    metrics: Mapped[dict[str, Any]]
    signature: Mapped[dict[str, Any]]
    manifest: Mapped[dict[str, Any]]
    parameters: Mapped[int]
    bytes: Mapped[int]
    sha256: Mapped[str] = mapped_column(String(64))
    runtime: Mapped[str] = mapped_column(String(16), default="onnx")
    blob_prefix: Mapped[str] = mapped_column(String(255))
    created_at: Mapped[datetime] = mapped_column(server_default=db_now())


class ModelAlias(InProject, Base):
    """A second name of one version (`production`)."""

    __tablename__ = "model_aliases"

    project: Mapped[str] = mapped_column(String(64), primary_key=True, default=DEFAULT_PROJECT)
    name: Mapped[str] = mapped_column(String(64), primary_key=True)
    alias: Mapped[str] = mapped_column(String(64), primary_key=True)
    version: Mapped[int]
    created_at: Mapped[datetime] = mapped_column(server_default=db_now())
