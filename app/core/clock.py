"""Instants in UTC and their one text form (API.md §1)."""

from datetime import UTC, datetime


def utc_now() -> datetime:
    """Return the present instant, aware, in UTC."""
    return datetime.now(UTC)


def to_rfc3339(instant: datetime | None) -> str | None:
    """Return `2026-01-31T08:00:00.123456Z`, or None for None."""
    if instant is None:
        return None
    return instant.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
