"""Waiting for something to happen to a job, which may happen in another process.

One task a process looks at all watched jobs with one query, so that a hundred open streams cost
what one costs, and none of them holds a connection or a thread while it waits.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from app.core.errors import TrainyardError
from app.jobs.repository.queries import Stamp

# 0.2 s: a waiting client notices no delay, and five cheap queries a second is nothing to a database.
POLL_SECONDS = 0.2
# The database is away: no need to hammer it.
RETRY_SECONDS = 1.0

_log = logging.getLogger("trainyard.jobs")


class Watcher:
    """One client's view of a job: `stamp` is the newest seen, None where the job is gone."""

    def __init__(self, stamp: Stamp | None) -> None:
        self.stamp = stamp
        self._changed = asyncio.Event()

    def show(self, stamp: Stamp | None) -> None:
        """Take over what the poll saw; a look that began before the last one is no news."""
        if stamp is None or self.stamp is None or stamp.seq > self.stamp.seq:
            self.stamp = stamp
            self._changed.set()

    async def change(self, timeout_seconds: float) -> bool:
        """Wait until the stamp changes; False when it did not in that time."""
        try:
            await asyncio.wait_for(self._changed.wait(), timeout_seconds)
        except TimeoutError:
            return False
        self._changed.clear()
        return True


class JobWatch:
    """The watched jobs of this process. `read_stamps` runs in a thread."""

    def __init__(self, read_stamps: Callable[[list[str]], dict[str, Stamp]]) -> None:
        self._read_stamps = read_stamps
        self._watchers: dict[asyncio.AbstractEventLoop, dict[Watcher, str]] = {}
        self._tasks: dict[asyncio.AbstractEventLoop, asyncio.Task[None]] = {}

    @property
    def open_watches(self) -> int:
        """How many clients of this process wait for a job or stream one."""
        return sum(len(watchers) for watchers in list(self._watchers.values()))

    @asynccontextmanager
    async def watching(self, job_id: str, stamp: Stamp | None) -> AsyncIterator[Watcher]:
        """Yield a watcher of the job, which was last seen as `stamp`."""
        loop = asyncio.get_running_loop()
        watcher = Watcher(stamp)
        self._watchers.setdefault(loop, {})[watcher] = job_id
        if loop not in self._tasks:
            self._tasks[loop] = asyncio.create_task(self._poll(loop))
        try:
            yield watcher
        finally:
            self._watchers.get(loop, {}).pop(watcher, None)

    async def _poll(self, loop: asyncio.AbstractEventLoop) -> None:
        try:
            while watchers := self._watchers[loop]:
                pause_seconds = POLL_SECONDS
                try:
                    asked = set(watchers.values())
                    stamps = await asyncio.to_thread(self._read_stamps, sorted(asked))
                except TrainyardError as error:
                    _log.warning("jobs cannot be watched: %s", error.message)
                    pause_seconds = RETRY_SECONDS
                else:
                    for watcher, job_id in list(watchers.items()):
                        if job_id in asked:
                            watcher.show(stamps.get(job_id))
                await asyncio.sleep(pause_seconds)
        finally:
            del self._tasks[loop], self._watchers[loop]
