"""What all tables share: the declarative base, JSON columns, and the project that a row belongs to."""

from datetime import datetime
from typing import Any, ClassVar

from sqlalchemy import JSON, BigInteger, String
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from app.db.engine import UtcDateTime

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


class InProject:
    """Every table has `project`, so that tenants need no second migration of it."""

    project: Mapped[str] = mapped_column(String(64), default=DEFAULT_PROJECT, server_default=DEFAULT_PROJECT)
