"""When a job is expected to start: the rules alone, and played through on a database whose clock is moved."""

import random
import time
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import select, update

from app.core.clock import utc_now
from app.core.settings import Settings
from app.db.engine import Database, db_now
from app.db.tables import Job, JobAttempt, OwnerUse
from app.jobs import repository as jobs
from app.jobs.forecast import MAX_AHEAD, Forecast, Pace, Play, Slot
from app.jobs.repository.fairness import HALF_LIFE_SECONDS
from app.jobs.repository.line import Ended, Running, Waiting
from app.system.repository import record_worker
from tests.jobs import world
from tests.jobs.test_fairness import submit


def waiting(*seconds: float | None, queue: str = "default", first: int = 1) -> list[Waiting]:
    return [
        Waiting(f"job{turn}", queue, turn, turn, "train", "x", expected) for turn, expected in enumerate(seconds, first)
    ]


def ended(expected: float | None, seconds: float, recipe: str = "x") -> Ended:
    return Ended("train", recipe, expected, seconds)


def running(progress: dict[str, Any] | None = None, *, expected: float | None = None, elapsed: float = 4.0) -> Running:
    return Running("w", "train", "x", expected, 0.0, progress, elapsed, 1.0)


class TestPace:
    def test_estimates_are_corrected_by_what_like_jobs_took(self) -> None:
        pace = Pace([*[ended(10, 30)] * 3, *[ended(10, 5, "other")] * 5])
        [job] = waiting(10.0)
        assert pace.seconds(job) == pytest.approx(30)

    def test_few_like_jobs_count_among_all(self) -> None:
        pace = Pace([ended(10, 30), *[ended(10, 5, "other")] * 5])
        [job] = waiting(10.0)
        assert pace.seconds(job) == pytest.approx(5)

    def test_nothing_known_is_nothing_said(self) -> None:
        [job] = waiting(None)
        assert Pace([]).seconds(job) is None
        assert Pace([ended(None, 7)]).seconds(job) == 7
        assert Pace([]).remaining(running()) is None

    def test_what_is_left_of_a_running_job(self) -> None:
        pace = Pace([])
        assert pace.remaining(running({"eta_seconds": 9.0}, expected=99)) == 8.0
        assert pace.remaining(running({"eta_seconds": None}, expected=10)) == 6.0
        assert pace.remaining(running(expected=10, elapsed=40.0)) == 4.0, "overdue: a tenth of its time so far"


def play(slots: list[Slot], line: list[Waiting], owner_slots: int = 0) -> dict[str, float]:
    return Play(slots, line, Pace([]), owner_slots=owner_slots).starts()


class TestPlay:
    def test_a_free_slot_starts_at_once_and_the_next_job_waits(self) -> None:
        assert play([Slot(("default",), 0.0)], waiting(5.0, 7.0, 1.0)) == {
            "job1": 0.0, "job2": 5.0, "job3": 12.0,
        }  # fmt: skip

    def test_slots_share_the_line(self) -> None:
        starts = play([Slot(("default",), 2.0), Slot(("default",), 0.0)], waiting(5.0, 7.0, 1.0))
        assert starts == {"job1": 0.0, "job2": 2.0, "job3": 5.0}

    def test_a_slot_takes_the_first_of_the_queues_that_it_serves(self) -> None:
        line = [*waiting(5.0, queue="gpu", first=1), *waiting(3.0, 4.0, queue="cpu", first=2)]
        assert play([Slot(("cpu",), 0.0)], line) == {"job2": 0.0, "job3": 3.0}
        both = play([Slot(("gpu", "cpu"), 0.0)], line)
        assert both == {"job1": 0.0, "job2": 5.0, "job3": 8.0}

    def test_an_owner_at_its_limit_waits_for_its_own_job_to_end(self) -> None:
        mine = Running("w", "train", "x", 9.0, 0.0, None, 0.0, 0.0)
        slots = [Slot(("default",), 9.0, mine), Slot(("default",), 0.0)]
        assert play(slots, waiting(5.0, 5.0), owner_slots=1) == {"job1": 9.0, "job2": 14.0}

    def test_behind_what_nobody_can_tell_nothing_is_told(self) -> None:
        assert play([Slot(("default",), 0.0)], waiting(None, 5.0)) == {"job1": 0.0}
        assert play([Slot(("default",), None)], waiting(5.0)) == {}


def add_worker(database: Database, name: str, slots: int, queues: tuple[str, ...] = ("default",)) -> None:
    with database.transaction() as session:
        record_worker(session, name=name, host="h", pid=1, slots=slots, devices=[], release="x", queues=queues)


def places(database: Database, ids: Sequence[str]) -> dict[str, Any]:
    with database.reading() as session:
        return Forecast(Settings(lease_seconds=600)).places(session, list(ids))


def add_history(database: Database, ratio: float) -> None:
    for job_id in submit(database, [{"expected_seconds": 10.0}] * 4):
        with database.transaction() as session:
            assert jobs.claim(session, "w", 30.0, job_id) is not None
        assert world.succeed(database, job_id, 1) is not None
        with database.transaction() as session:
            began = db_now(-10.0 * ratio)
            session.execute(update(Job).where(Job.id == job_id).values(started_at=began, finished_at=db_now()))


def move_clock(database: Database, seconds: float) -> None:
    """Let so much time pass: everything that was, was that much earlier."""
    with database.transaction() as session:
        job_times = ("started_at", "finished_at", "updated_at", "run_after")
        for table, names in ((Job, job_times), (JobAttempt, ("started_at", "ended_at"))):
            for row in session.scalars(select(table)):
                for name in names:
                    if getattr(row, name) is not None:
                        setattr(row, name, getattr(row, name) - timedelta(seconds=seconds))
        session.execute(update(OwnerUse).values(level=OwnerUse.level - seconds / HALF_LIFE_SECONDS))


@pytest.mark.parametrize(("seed", "owners"), [(1, "a"), (2, "a"), (3, "ab"), (4, "abc")])
def test_played_through_jobs_start_when_they_were_expected(database: Database, seed: int, owners: str) -> None:
    """Estimates are three times too low; the history says so."""
    chance, ratio, began = random.Random(seed), 3.0, time.monotonic()
    add_history(database, ratio)
    add_worker(database, "one", 2)
    add_worker(database, "two", 1, ("gpu", "default"))
    ids = submit(
        database,
        [
            {
                "owner": chance.choice(owners), "queue": chance.choice(["default", "default", "gpu"]),
                "expected_seconds": chance.uniform(5, 40),
            }
            for _ in range(15)
        ],
    )  # fmt: skip
    expected = {
        job_id: (place.expected_start_at - utc_now()).total_seconds() for job_id, place in places(database, ids).items()
    }
    slots = [(0.0, "one", ["default"]), (0.0, "one", ["default"]), (0.0, "two", ["gpu", "default"])]
    under_way: dict[int, str] = {}
    clock, moved = 0.0, time.monotonic()
    starts: dict[str, float] = {}
    while slots and len(starts) < len(ids):
        number = min(range(len(slots)), key=lambda n: slots[n][0])
        at, worker, queues = slots[number]
        # The database's clock goes on by itself too: what has passed since is not moved again.
        passed, moved = time.monotonic() - moved, time.monotonic()
        move_clock(database, at - clock - passed)
        clock = at
        if number in under_way:
            with database.transaction() as session:
                assert jobs.cancelled(session, under_way.pop(number), 1)
        with database.transaction() as session:
            claimed = jobs.claim(session, worker, 600.0, queues=queues)
        if claimed is None:
            slots[number] = (float("inf"), worker, queues)
            continue
        starts[claimed.id] = clock
        left = [job_id for job_id in ids if job_id not in starts]
        for job_id, place in places(database, left).items():  # what is told later is right too
            expected.setdefault(f"{job_id} at {clock}", (place.expected_start_at - utc_now()).total_seconds() + clock)
        slots[number] = (clock + ratio * (world.job_of(database, claimed.id).expected_seconds or 0), worker, queues)
        under_way[number] = claimed.id
    # The clock of the database goes on by itself too, as long as the test takes.
    tolerance = 1.0 + (time.monotonic() - began)
    for key, told in expected.items():
        assert abs(told - starts[key.partition(" ")[0]]) <= tolerance, (key, told, starts[key.partition(" ")[0]])


def test_a_queue_that_nobody_serves_is_said_to_be_so(database: Database) -> None:
    add_worker(database, "one", 1)
    served, other = submit(database, [{"expected_seconds": 3.0}, {"queue": "night", "expected_seconds": 3.0}])
    found = places(database, [served, other])
    assert (found[served].is_served, found[served].expected_start_at is not None) == (True, True)
    assert (found[other].position, found[other].is_served, found[other].expected_start_at) == (1, False, None)


def test_far_back_in_a_long_line_the_pace_of_the_front_is_kept(database: Database) -> None:
    add_worker(database, "one", 1)
    ids = submit(database, [{"expected_seconds": 2.0}] * (MAX_AHEAD + 50))
    [place] = places(database, [ids[-1]]).values()
    assert place.position == MAX_AHEAD + 50
    seconds = (place.expected_start_at - utc_now()).total_seconds()
    assert seconds == pytest.approx(2.0 * (MAX_AHEAD + 49), abs=3)
