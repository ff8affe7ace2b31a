"""Long polls and live streams of a job, for changes made by any process."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable

from app.core.json import dump_json
from app.db.engine import Database
from app.jobs.repository import queries
from app.jobs.repository.queries import Stamp
from app.jobs.schemas import EventView, JobView
from app.jobs.states import FINAL
from app.jobs.views import event_view
from app.jobs.watch import JobWatch

HEARTBEAT_SECONDS = 15.0  # below the idle time-outs of proxies, usually 30 or 60 s
_BATCH = 100


class JobEvents:
    """Waits for jobs without holding a connection or a thread."""

    def __init__(self, database: Database, get_job: Callable[[str, str], JobView]) -> None:
        self.database = database
        self.get_job = get_job
        self.watch = JobWatch(self._stamps)

    async def wait(self, project: str, job_id: str, seconds: float) -> JobView:
        """Return the job when its state changes, when it has ended, or after `seconds`."""
        deadline = time.monotonic() + seconds
        first = await asyncio.to_thread(self.get_job, project, job_id)
        if seconds <= 0 or first.state in FINAL:
            return first
        async with self.watch.watching(job_id, Stamp(first.state, 0)) as watcher:
            while watcher.stamp is not None and watcher.stamp.state == first.state:
                left = deadline - time.monotonic()
                if left <= 0 or not await watcher.change(left):
                    break
        return await asyncio.to_thread(self.get_job, project, job_id)

    async def stream(self, job_id: str, after_seq: int) -> AsyncIterator[bytes]:
        """Yield server-sent events past number `after_seq`, until the job has ended (WHATWG HTML §9.2)."""
        yield b"retry: 1000\n\n"
        sent = after_seq
        async with self.watch.watching(job_id, Stamp("queued", 0)) as watcher:
            while True:
                # Read after the stamp was taken: a final state whose events were read is the end.
                stamp = watcher.stamp
                rows = await asyncio.to_thread(self._read, job_id, sent)
                for row in rows:
                    yield _frame(row)
                    sent = row.seq
                if len(rows) == _BATCH:
                    continue
                if stamp is None or (stamp.state in FINAL and stamp.seq <= sent):
                    return
                if not await watcher.change(HEARTBEAT_SECONDS):
                    yield b": still here\n\n"

    def has_ended(self, job_id: str, after_seq: int) -> bool:
        """Tell whether the job has ended and `after_seq` is its last event."""
        stamp = self._stamps([job_id]).get(job_id)
        return stamp is not None and stamp.state in FINAL and stamp.seq <= after_seq

    def _stamps(self, job_ids: list[str]) -> dict[str, Stamp]:
        with self.database.reading() as session:
            return queries.read_stamps(session, job_ids)

    def _read(self, job_id: str, after_seq: int) -> list[EventView]:
        with self.database.reading() as session:
            rows, _ = queries.list_events(session, job_id, limit=_BATCH, after=after_seq, descending=False)
        return [event_view(row) for row in rows]


def _frame(event: EventView) -> bytes:
    data = dump_json(event.model_dump())
    return b"id: %d\nevent: %s\ndata: %s\n\n" % (event.seq, event.type.encode(), data)
