"""When a queued job is expected to start: the queue played forward on the slots that serve it.

Each slot that is free takes the job that it would claim. How long a job takes is its estimate, corrected by what like
jobs took of late beside their estimates. Jobs under way end when their progress says so. What is not known is not
guessed: no estimate and no like job, no forecast.
"""

import heapq
import itertools
import statistics
from collections import Counter, deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from app.core.clock import utc_now
from app.core.settings import Settings
from app.jobs.repository import line
from app.jobs.repository.fairness import raise_level
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
    """A place where one job at a time runs: free in so many seconds, None where nobody can say; and who holds it."""

    queues: tuple[str, ...]
    free_in: float | None
    holder: Running | None = None


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
        left = seconds - job.trained_seconds - job.elapsed_seconds
        return left if left > 0 else OVERDUE_SHARE * job.elapsed_seconds


def _median(known: dict[Any, list[float]], key: tuple[str, str | None]) -> float | None:
    alike = known.get(key, [])
    found = alike if len(alike) >= LEAST_ALIKE else known.get(None, [])
    return statistics.median(found) if found else None


class Play:
    """The queue played forward by the rules of `app.jobs.repository.fairness`, from the present state."""

    def __init__(
        self,
        slots: Sequence[Slot],
        waiting: Sequence[Waiting],
        pace: Pace,
        *,
        owner_slots: int = 0,
        now_seconds: float = 0,
    ) -> None:
        """`waiting` is in the order of turns; `now_seconds` is Unix time, from which use fades."""
        self._pace = pace
        self._owner_slots = owner_slots
        self._now = now_seconds
        self._lines: dict[str, dict[tuple[int, str, str], deque[Waiting]]] = {}
        self._levels: dict[tuple[str, str], float] = {}
        for job in waiting:
            group = (job.priority, job.project, job.owner)
            self._lines.setdefault(job.queue, {}).setdefault(group, deque()).append(job)
            self._levels[job.project, job.owner] = job.level
        self._running: Counter[tuple[str, str, str]] = Counter()
        self._held: Counter[tuple[str, str]] = Counter()
        self._number = itertools.count()
        self._ends: list[tuple[float, int, tuple[str, ...], Waiting | Running | None, float]] = []
        for slot in slots:
            if slot.holder is not None:
                self._count(slot.holder, 1)
            if slot.free_in is not None:
                used = slot.free_in + (slot.holder.elapsed_seconds if slot.holder is not None else 0.0)
                heapq.heappush(self._ends, (slot.free_in, next(self._number), slot.queues, slot.holder, used))

    def starts(self) -> dict[str, float]:
        """Return in how many seconds each job starts; those that nobody can tell of are left out."""
        starts: dict[str, float] = {}
        idle: list[tuple[str, ...]] = []
        while self._ends and any(self._lines.values()):
            at, _, queues, ended, used = heapq.heappop(self._ends)
            if ended is not None:
                self._count(ended, -1)
                owner = (ended.project, ended.owner)
                self._levels[owner] = raise_level(self._levels.get(owner, 0.0), used, self._now + at)
            idle.append(queues)
            for queues in idle.copy():
                job = self._next(queues)
                if job is None:
                    continue
                idle.remove(queues)
                starts[job.id] = at
                self._count(job, 1)
                seconds = self._pace.seconds(job)
                if seconds is not None:
                    heapq.heappush(self._ends, (at + seconds, next(self._number), queues, job, seconds))
        return starts

    def _count(self, job: Waiting | Running, by: int) -> None:
        self._running[job.queue, job.project, job.owner] += by
        self._held[job.project, job.owner] += by

    def _next(self, queues: tuple[str, ...]) -> Waiting | None:
        best: tuple[int, int, float, str] | None = None
        found: tuple[str, tuple[int, str, str]] | None = None
        for queue in queues:
            for group, jobs in self._lines.get(queue, {}).items():
                priority, project, owner = group
                if self._owner_slots and self._held[project, owner] >= self._owner_slots:
                    continue
                key = (-priority, self._running[queue, project, owner], self._levels[project, owner], jobs[0].id)
                if best is None or key < best:
                    best, found = key, (queue, group)
        if found is None:
            return None
        queue, group = found
        job = self._lines[queue][group].popleft()
        if not self._lines[queue][group]:
            del self._lines[queue][group]
        return job


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
        now = utc_now()
        starts = Play(
            slots, waiting[:MAX_AHEAD], pace, owner_slots=self._settings.owner_slots, now_seconds=now.timestamp()
        ).starts()
        _extend(starts, waiting)
        served = {queue for worker in workers for queue in queues_of(worker)}
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
    held: dict[str, list[Running]] = {}
    for job in running:
        held.setdefault(job.worker, []).append(job)
    slots = []
    for worker in workers:
        queues = queues_of(worker)
        busy = held.get(worker.name, [])
        slots += [Slot(queues, pace.remaining(job), job) for job in busy[: worker.slots]]
        slots += [Slot(queues, 0.0)] * (worker.slots - len(busy))
    return slots


def _extend(starts: dict[str, float], waiting: Sequence[Waiting]) -> None:
    """Add the jobs beyond `MAX_AHEAD`, at the pace at which the jobs of their queue start before."""
    near, far = waiting[:MAX_AHEAD], waiting[MAX_AHEAD:]
    for job in far:
        before = [(one.position, starts[one.id]) for one in near if one.queue == job.queue and one.id in starts]
        if len(before) > 1:
            (first, began), (last, ends) = before[0], before[-1]
            starts[job.id] = ends + (job.position - last) * (ends - began) / (last - first)
