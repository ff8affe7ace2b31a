"""Where uploads lie while they are read, and who reads them: a few at a time, beside the event loop."""

import asyncio
import contextvars
import shutil
import time
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final, TypeVar

from anyio import CancelScope, to_thread

from app.core.errors import Overloaded
from app.core.ids import new_id

_LEAST_STALE_SECONDS: Final = 6 * 3600.0

T = TypeVar("T")


class UploadDesk:
    """One kind of uploads: their folders, the threads that read them, and how many may wait."""

    def __init__(
        self,
        place: Path,
        *,
        at_once: int,
        most_waiting: int,
        retry_after_seconds: int,
        read_seconds: float,
        full: str,
    ) -> None:
        """`place`: where the folders are made; `read_seconds`: what reading may take; `full`: what the 503 says."""
        self._place = place
        self._most_waiting = most_waiting
        self._retry_after_seconds = retry_after_seconds
        self._full = full
        self._readers = ThreadPoolExecutor(at_once, thread_name_prefix=place.name)
        self._waiting = 0
        self._remove_stale(max(_LEAST_STALE_SECONDS, 4 * read_seconds))

    @asynccontextmanager
    async def folder(self) -> AsyncIterator[Path]:
        """Yield an empty folder for one upload; it is gone afterwards, whatever happens."""
        folder = self._place / new_id("up")
        folder.mkdir(parents=True, mode=0o700)
        try:
            yield folder
        finally:
            with CancelScope(shield=True):
                await to_thread.run_sync(shutil.rmtree, folder, True)  # of gigabytes: not on the event loop

    async def read(self, work: Callable[[], T]) -> T:
        """Run `work` beside the event loop; 503 when too many wait already."""
        if self._waiting >= self._most_waiting:
            raise Overloaded(self._full, retry_after_seconds=self._retry_after_seconds)
        self._waiting += 1
        try:
            context = contextvars.copy_context()
            return await asyncio.get_running_loop().run_in_executor(self._readers, lambda: context.run(work))
        finally:
            self._waiting -= 1

    def close(self) -> None:
        """Drop what waits."""
        self._readers.shutdown(wait=False, cancel_futures=True)

    def _remove_stale(self, seconds: float) -> None:
        """Remove what uploads of a killed process left."""
        if not self._place.is_dir():
            return
        oldest = time.time() - seconds
        for folder in self._place.iterdir():
            if folder.stat().st_mtime < oldest:
                shutil.rmtree(folder, ignore_errors=True)
