"""Parts of instants, against the calendar of the standard library."""

from datetime import UTC, datetime

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.preprocessing.datetimes import part_of, varying_parts

INSTANTS = st.datetimes(min_value=datetime(1, 1, 2), max_value=datetime(9999, 12, 30), timezones=st.just(UTC))


@given(instants=st.lists(INSTANTS, min_size=1, max_size=20))
def test_parts_are_those_of_the_calendar(instants: list[datetime]) -> None:
    seconds = np.array([instant.timestamp() for instant in instants])
    # Seconds as a double hold an instant of the far past or future to about 0.1 ms.
    instants = [datetime.fromtimestamp(value, UTC) for value in seconds.tolist()]
    parts = {"year": "year", "month": "month", "day": "day", "hour": "hour", "minute": "minute"}
    for part, attribute in parts.items():
        assert part_of(part, seconds).tolist() == [getattr(instant, attribute) for instant in instants]
    assert part_of("weekday", seconds).tolist() == [instant.weekday() for instant in instants]


def test_the_end_of_a_circle_meets_its_beginning() -> None:
    times = np.array([datetime(2024, 1, 1, hour, tzinfo=UTC).timestamp() for hour in (0, 12, 23)])
    sine, cosine = part_of("hour_sin", times), part_of("hour_cos", times)
    near = np.hypot(sine[0] - sine[2], cosine[0] - cosine[2])
    far = np.hypot(sine[0] - sine[1], cosine[0] - cosine[1])
    assert near < 0.3 < far


def test_only_parts_that_differ_are_kept() -> None:
    days = np.array([datetime(2024, 3, day, tzinfo=UTC).timestamp() for day in (1, 2, 9)])
    assert varying_parts(days) == ["days", "day", "weekday", "weekday_sin", "weekday_cos"]
    assert varying_parts(days[:1]) == []


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e300, -1e300])
def test_what_is_no_instant_is_missing(value: float) -> None:
    assert np.isnan(part_of("year", np.array([value]))).all()
    assert varying_parts(np.array([value])) == []
