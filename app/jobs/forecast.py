"""When a queued job is expected to start: the queue played forward on the slots that serve it.

How long a job takes is its estimate, corrected by what like jobs took of late beside their estimates. Jobs under
way end when their progress says so. What is not known is not guessed: no estimate and no like job, no forecast.
"""

import heapq
import itertools
import statistics
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from app.core.clock import utc_now
from app.core.settings import Settings
from app.jobs.repository import line
from app.jobs.repository.line import Ended, Running, Waiting
from app.jobs.views import Place
from app.system.repository import live_workers, queues_of

# So far ahead the queue is played; behind, starts go on at the pace of those before.
MAX_AHEAD = 1000
RECENT_JOBS = 100
# Fewer than so many like jobs say less than all recent jobs together.
LEAST_ALIKE = 3
# A job that takes longer than expected is expected to take this share of its time so far yet.
OVERDUE_SHARE = 0.1


@dataclass(frozen=True)
class Slot:
    """A place where one job at a time runs: free in so many seconds, None where nobody can say."""

    queues: tuple[str, ...]
    free_in: float | None


class Pace:
    """How long jobs take, learnt from those that ended last."""

    def __init__(self, ended: Sequence[Ended]) -> None:
        self._ratios: dict[tuple[str, str | None] | None, list[float]] = {}
        self._seconds: dict[tuple[str, str | None] | None, list[float]] = {}
        for job in ended:
            for key in (None, (job.kind, job.recipe)):
                self._seconds.setdefault(key, []).append(job.seconds)
                if job.expected_seconds:
                    self._ratios.setdefault(key, []).append(job.seconds / job.expected_seconds)

    def seconds(self, job: Waiting | Running) -> float | None:
        """Return how long the job is expected to take from start to end; None where nothing is known."""
        key = (job.kind, job.recipe)
        if job.expected_seconds is None:
            return _median(self._seconds, key)
        ratio = _median(self._ratios, key)
        return job.expected_seconds * (1.0 if ratio is None else ratio)

    def remaining(self, job: Running) -> float | None:
        """Return how much longer a job under way is expected to take."""
        eta = (job.progress or {}).get("eta_seconds")
        if isinstance(eta, int | float):
            return max(0.0, eta - job.heard_seconds)
        seconds = self.seconds(job)
        if seconds is None:
            return None
        return max(seconds - job.trained_seconds - job.elapsed_seconds, OVERDUE_SHARE * job.elapsed_seconds)


def _median(known: dict[Any, list[float]], key: tuple[str, str | None]) -> float | None:
    alike = known.get(key, [])
    found = alike if len(alike) >= LEAST_ALIKE else known.get(None, [])
    return statistics.median(found) if found else None


def play(slots: Iterable[Slot], waiting: Sequence[Waiting], pace: Pace) -> dict[str, float]:
    """Return in how many seconds each job starts; those that nobody can tell of are left out.

    `waiting` is in the order of turns. The slot that is free first takes the first job of the queues it serves.
    """
    lines: dict[str, deque[Waiting]] = {}
    for job in waiting:
        lines.setdefault(job.queue, deque()).append(job)
    number = itertools.count()
    free = [(slot.free_in, next(number), slot.queues) for slot in slots if slot.free_in is not None]
    heapq.heapify(free)
    starts: dict[str, float] = {}
    while free and any(lines.values()):
        at, _, queues = heapq.heappop(free)
        heads = [lines[queue][0] for queue in queues if lines.get(queue)]
        if not heads:
            continue
        job = min(heads, key=lambda head: head.turn)
        lines[job.queue].popleft()
        starts[job.id] = at
        seconds = pace.seconds(job)
        if seconds is not None:
            heapq.heappush(free, (at + seconds, next(number), queues))
    return starts


class Forecast:
    """Tells places and starts of queued jobs."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def places(self, session: Any, job_ids: list[str]) -> dict[str, Place]:
        """Return the place of each of the jobs that is queued."""
        wanted = line.waiting_ids(session, job_ids) if job_ids else []
        if not wanted:
            return {}
        waiting = line.read_line(session, wanted, self._settings.owner_slots, MAX_AHEAD)
        workers = live_workers(session, self._settings.lease_seconds)
        pace = Pace(line.read_ended(session, RECENT_JOBS))
        slots = _slots(workers, line.read_running(session), pace)
        starts = play(slots, waiting[:MAX_AHEAD], pace)
        _extend(starts, waiting)
        served = {queue for worker in workers for queue in queues_of(worker)}
        now = utc_now()
        found = {job.id: job for job in waiting}
        return {
            job_id: Place(
                found[job_id].position,
                now + timedelta(seconds=starts[job_id]) if job_id in starts else None,
                found[job_id].queue in served,
            )
            for job_id in wanted
            if job_id in found
        }


def _slots(workers: Iterable[Any], running: Iterable[Running], pace: Pace) -> list[Slot]:
    held: dict[str, list[float | None]] = {}
    for job in running:
        held.setdefault(job.worker, []).append(pace.remaining(job))
    slots = []
    for worker in workers:
        busy = held.get(worker.name, [])[: worker.slots]
        free: list[float | None] = [*busy, *[0.0] * (worker.slots - len(busy))]
        slots += [Slot(queues_of(worker), seconds) for seconds in free]
    return slots


def _extend(starts: dict[str, float], waiting: Sequence[Waiting]) -> None:
    """Add the jobs beyond `MAX_AHEAD`, at the pace at which the jobs of their queue start before."""
    near, far = waiting[:MAX_AHEAD], waiting[MAX_AHEAD:]
    for job in far:
        before = [(one.position, starts[one.id]) for one in near if one.queue == job.queue and one.id in starts]
        if len(before) > 1:
            (first, began), (last, ends) = before[0], before[-1]
            starts[job.id] = ends + (job.position - last) * (ends - began) / (last - first)
