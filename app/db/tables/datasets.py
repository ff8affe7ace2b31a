"""Data sets taken in."""

from datetime import datetime
from typing import Any

from sqlalchemy import String
from sqlalchemy.orm import Mapped, mapped_column

from app.db.engine import db_now
from app.db.tables.base import Base, InProject


class Dataset(InProject, Base):
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
