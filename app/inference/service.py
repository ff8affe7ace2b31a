"""Predictions of one API process: which models there are, which are in memory, and who answers."""

import asyncio
import concurrent.futures
import contextlib
import logging
import os
import time
from collections.abc import Callable
from typing import TypeVar

from app.core.errors import DeadlineExceeded, TrainyardError
from app.core.settings import Settings
from app.inference.batching import Limits
from app.inference.cache import LoadedModel, ModelCache
from app.inference.catalogue import EMPTY, Catalogue, ModelSource, Selector, VersionEntry, format_ref, model_not_found
from app.inference.figures import FIGURES
from app.inference.store import BundleStore
from app.storage.blobs import BlobStore

T = TypeVar("T")

_log = logging.getLogger(__name__)

# A change is seen everywhere within two of these (DESIGN.md §5).
POLL_SECONDS = 1.0
# How long the old version answers while the new one is loaded; then requests wait for the load.
AHEAD_SECONDS = 0.8
_LOADERS = 2


class InferenceService:
    """Models by ref, ready to predict. `start` and `stop` are the application's lifespan."""

    def __init__(self, blobs: BlobStore, settings: Settings, models: ModelSource) -> None:
        """`models` tells which versions there are; `blobs` holds their bundles."""
        self.settings = settings
        self.figures = FIGURES
        self.catalogue: Catalogue = EMPTY
        self._models = models
        self._slots = max(1, os.cpu_count() or 1)
        self._pool = concurrent.futures.ThreadPoolExecutor(self._slots, "predict")
        self._loader = concurrent.futures.ThreadPoolExecutor(_LOADERS, "model-load")
        self._store = BundleStore(blobs, settings.work_dir / "models")
        self.cache = ModelCache(
            self._store,
            Limits(
                queue_rows=settings.predict_queue_rows,
                batch_rows=settings.predict_batch_rows,
                wait_seconds=settings.predict_wait_ms / 1000,
                slots=self._slots,
            ),
            settings.model_cache_bytes,
            self._pool,
            self._loader,
            self.figures,
        )
        self._refreshing: asyncio.Task[None] | None = None
        self._poll: asyncio.Task[None] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    async def start(self) -> None:
        """Read the catalogue and begin to follow it; a database that is away is tried again every second."""
        self._loop = asyncio.get_running_loop()
        await self._try_refresh()
        self._start_following()

    async def stop(self) -> None:
        """Stop following, drop the models and end the threads."""
        for task in (self._poll, self._refreshing):
            if task is not None:
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError, TrainyardError):
                    await task
        self.cache.clear()
        self._loop = None
        self._pool.shutdown(wait=False, cancel_futures=True)
        self._loader.shutdown(wait=False, cancel_futures=True)

    async def find(self, project: str, name: str, selector: Selector) -> VersionEntry:
        """Return the version that a ref means; a ref not in the snapshot is looked up before it is NotFound."""
        entry = self.catalogue.find(project, name, selector)
        if entry is None:
            await self.refresh()
            entry = self.catalogue.find(project, name, selector)
        if entry is None:
            raise model_not_found(format_ref(name, selector))
        return entry

    async def get(self, project: str, name: str, selector: Selector, timeout_seconds: float) -> LoadedModel:
        """Return a loaded model by ref.

        Raises NotFound, Overloaded when it cannot be loaded, DeadlineExceeded when not in time.
        """
        entry = await self.find(project, name, selector)
        try:
            return await self.cache.get(entry, timeout_seconds)
        except TimeoutError:
            raise DeadlineExceeded("The model was not loaded in time.") from None

    async def refresh(self) -> None:
        """Read the catalogue if its counter has changed; callers at the same time share one read.

        The read begins after the call, so that what the caller knows to be written is seen.
        """
        if self._refreshing is not None:
            await asyncio.wait([self._refreshing])
        if self._refreshing is None:
            self._refreshing = asyncio.get_running_loop().create_task(self._refresh())
            self._refreshing.add_done_callback(self._refreshed)
        await asyncio.shield(self._refreshing)

    def refresh_from_thread(self, timeout_seconds: float = 2.0) -> None:
        """See a change that this process has just made, before it is answered; called off the event loop."""
        if self._loop is not None and self._loop.is_running():
            future = asyncio.run_coroutine_threadsafe(self._try_refresh(), self._loop)
            with contextlib.suppress(concurrent.futures.TimeoutError):
                future.result(timeout_seconds)

    async def run_in_thread(self, call: Callable[[], T]) -> T:
        """Run what would hold up the event loop in the pool of predictions."""
        return await asyncio.get_running_loop().run_in_executor(self._pool, call)

    def _start_following(self) -> None:
        self._poll = asyncio.get_running_loop().create_task(self._follow())
        self._poll.add_done_callback(self._following_ended)

    def _following_ended(self, done: "asyncio.Task[None]") -> None:
        if not done.cancelled():
            # A defect; but a process that follows no change would serve what was deleted.
            _log.error("following the catalogue failed; starting again", exc_info=done.exception())
            self._start_following()

    async def _follow(self) -> None:
        while True:
            await asyncio.sleep(POLL_SECONDS)
            await self._try_refresh()

    async def _try_refresh(self) -> None:
        try:
            await self.refresh()
        except TrainyardError as error:
            _log.warning("catalogue not read", extra={"reason": error.message})

    async def _refresh(self) -> None:
        loop = asyncio.get_running_loop()
        counter = await loop.run_in_executor(self._loader, self._models.read_counter)
        if counter == self.catalogue.counter:
            return
        read = await loop.run_in_executor(self._loader, self._models.read_catalogue)
        new = Catalogue(*read)
        await self._load_ahead(new)
        self.catalogue = new
        digests = new.digests()
        self.cache.keep_only(digests)
        await loop.run_in_executor(self._loader, self._store.prune, digests)

    def _refreshed(self, done: "asyncio.Task[None]") -> None:
        self._refreshing = None
        if not done.cancelled():
            done.exception()

    async def _load_ahead(self, new: Catalogue) -> None:
        """Load what replaces a version in memory, so that the switch is not felt."""
        before = self.catalogue.targets()
        wanted = {
            entry
            for target, entry in new.targets().items()
            if (old := before.get(target)) is not None and old != entry and self.cache.peek(old)
        }
        if wanted:
            started = time.perf_counter()
            loads = [asyncio.ensure_future(self.cache.get(entry)) for entry in wanted]
            await asyncio.wait(loads, timeout=AHEAD_SECONDS)
            for load in loads:
                load.add_done_callback(lambda done: done.cancelled() or done.exception())
            _log.info("switched versions", extra={"seconds": round(time.perf_counter() - started, 3)})
