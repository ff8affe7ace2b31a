"""The parts of an instant that a network can read: as numbers, and on a circle where the end meets the beginning."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.preprocessing.columns import thin

Seconds = NDArray[Any]
SAMPLE_ROWS = 100_000

_DAY = 86_400.0


def _whole(seconds: Seconds, unit: str) -> NDArray[np.int64]:
    return np.floor(seconds).astype(np.int64).astype("datetime64[s]").astype(f"datetime64[{unit}]").astype(np.int64)


def _year(seconds: Seconds) -> Seconds:
    return _whole(seconds, "Y") + 1970.0


def _month(seconds: Seconds) -> Seconds:
    return _whole(seconds, "M") % 12 + 1.0


def _day(seconds: Seconds) -> Seconds:
    months = np.floor(seconds).astype(np.int64).astype("datetime64[s]").astype("datetime64[M]")
    return _whole(seconds, "D") - months.astype("datetime64[D]").astype(np.int64) + 1.0


def _weekday(seconds: Seconds) -> Seconds:
    return (_whole(seconds, "D") + 3.0) % 7  # 1970-01-01 was a Thursday; Monday is 0


def _hour(seconds: Seconds) -> Seconds:
    return np.floor(seconds / 3600.0) % 24


def _minute(seconds: Seconds) -> Seconds:
    return np.floor(seconds / 60.0) % 60


def _circle(
    part: Callable[[Seconds], Seconds], period: float, wave: Callable[[Seconds], Seconds]
) -> Callable[..., Seconds]:
    return lambda seconds: wave(part(seconds) * (2 * np.pi / period))


def _days_since_1970(seconds: Seconds) -> Seconds:
    return seconds / _DAY


PARTS: dict[str, Callable[[Seconds], Seconds]] = {
    "days": _days_since_1970,
    "year": _year,
    "month": _month,
    "month_sin": _circle(_month, 12, np.sin),
    "month_cos": _circle(_month, 12, np.cos),
    "day": _day,
    "weekday": _weekday,
    "weekday_sin": _circle(_weekday, 7, np.sin),
    "weekday_cos": _circle(_weekday, 7, np.cos),
    "hour": _hour,
    "hour_sin": _circle(_hour, 24, np.sin),
    "hour_cos": _circle(_hour, 24, np.cos),
    "minute": _minute,
}
# Part that must vary for a circle to be worth two features.
CIRCLES = {"month_sin": "month", "month_cos": "month", "weekday_sin": "weekday", "weekday_cos": "weekday",
           "hour_sin": "hour", "hour_cos": "hour"}  # fmt: skip
# numpy's datetime64[s] holds these years; beyond them a value is not an instant.
FIRST, LAST = -62_135_596_800.0, 253_402_300_799.0


def part_of(part: str, seconds: Seconds) -> Seconds:
    """Return one part of each instant, (N,) float64; NaN for a missing instant or one outside the years 1 to 9999."""
    known = np.isfinite(seconds) & (seconds >= FIRST) & (seconds <= LAST)
    values = np.full(len(seconds), np.nan)
    values[known] = PARTS[part](seconds[known])
    return values


def varying_parts(seconds: Seconds) -> list[str]:
    """Return the parts that differ between rows; none for a column of one instant. Looks at a sample of many rows."""
    seconds = thin(seconds, SAMPLE_ROWS)
    varies = {}
    for part in PARTS:
        if part not in CIRCLES:
            values = part_of(part, seconds)
            values = values[np.isfinite(values)]
            varies[part] = len(values) > 0 and bool(values.min() < values.max())
    return [part for part in PARTS if varies[CIRCLES.get(part, part)]]
