"""Batches for one model version: whatever has come together by the time the model is free.

An idle model starts at once. A model of microseconds runs on the event loop, on all rows that
arrived in one turn of it; a slower one runs in threads, several batches side by side, each on one
core. Every method runs on the event loop; only `_compute` may run in a thread.
"""

import asyncio
import collections
import concurrent.futures
import functools
import time
import types
from collections.abc import Awaitable, Callable, Generator, MutableMapping
from typing import Any, Generic, TypeVar

import numpy as np

from app.core.errors import DeadlineExceeded, Overloaded, TooLarge, TrainyardError, Unprocessable
from app.inference.batching import Computes, Encodes, Limits
from app.inference.cost import Cost
from app.inference.figures import ModelFigures
from app.inference.rows import slice_rows
from app.inference.runtime import InputRefused, ModelAway, ModelUnusable
from app.inference.work import Work

Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]

# A batch that is expected to take longer goes to a thread: on the loop it would hold up every
# other request. Handing it over and back costs about 0.1 ms.
LOOP_SECONDS = 500e-6


P = TypeVar("P", bound=Computes)


class ClientGone(Exception):
    """The client hung up; there is nobody to answer."""


class Failed(TrainyardError):
    """The model broke down on these rows (500)."""


@types.coroutine
def next_turn() -> Generator[None, None, None]:
    """Let every other request that has arrived be queued, at a tenth of the cost of a future."""
    yield


class Batcher(Generic[P]):
    """The bounded queue in front of one model version.

    `is_even`: whether every row costs what `cost` says; of texts, which do not, no batch runs on the event loop.
    """

    def __init__(
        self,
        predictor: P,
        encoder: Encodes,
        cost: Cost,
        limits: Limits,
        pool: concurrent.futures.Executor,
        figures: ModelFigures,
        *,
        is_even: bool = True,
    ) -> None:
        self.predictor = predictor
        self.encoder = encoder
        self.cost = cost
        self.limits = limits
        self.figures = figures
        self.queued_rows = 0
        self.running = 0
        """Batches in threads."""
        self._batch_rows = cost.batch_rows(limits.batch_rows)
        self._loop_seconds = LOOP_SECONDS if is_even else 0.0
        self._pool = pool
        self._pending: collections.deque[Work] = collections.deque()
        self._timer: asyncio.TimerHandle | None = None

    def add(self, work: Work) -> None:
        """Queue `work`; Overloaded when the queue is full. To be followed by `next_turn` and `finish`."""
        if self.queued_rows + work.size > self.limits.queue_rows:
            self._refuse(work)
        self.queued_rows += work.size
        self.figures.queued_rows += work.size
        self._pending.append(work)

    async def finish(self, work: Work, receive: Receive) -> None:
        """Return when `work` has its body.

        Raises DeadlineExceeded when `work.deadline` passes, ClientGone when `receive` tells that
        the client hung up (in both cases the rows never reach the model, if they have not yet),
        and Failed when the model breaks down.
        """
        if not work.is_done:
            self._start()
            if not work.is_done:
                await self._wait(work, receive)
        if work.error is not None:
            raise work.error

    def _refuse(self, work: Work) -> None:
        if work.size > self.limits.queue_rows:
            raise too_many_rows(work.size, self.limits.queue_rows)
        seconds = self.cost.seconds(self.queued_rows) / self.limits.slots
        raise Overloaded(
            "The queue of this model is full; try again.", retry_after_seconds=max(1, min(30, round(seconds)))
        )

    def _start(self) -> None:
        if self.cost.seconds(self.queued_rows) > self._loop_seconds:
            self._dispatch()
        elif batch := self._take(self._batch_rows):
            self._run_here(batch)

    def _run_here(self, batch: list[Work]) -> None:
        finished = False
        try:
            self._compute(batch)
            finished = True
        finally:
            if not finished:
                _fail(batch)
            self._settle(batch)

    def _dispatch(self) -> None:
        """Start batches in threads while there are rows, free slots and no reason to wait."""
        while self._pending and self.running < self.limits.slots:
            if (pause := self._pause_seconds()) > 0:
                if self._timer is None:
                    self._timer = asyncio.get_running_loop().call_later(pause, self._pause_over)
                return
            most = self._batch_rows
            if not self.cost.company_pays:
                most = min(most, -(-self.queued_rows // (self.limits.slots - self.running)))
            if batch := self._take(most):
                self.running += 1
                future = asyncio.get_running_loop().run_in_executor(self._pool, self._compute, batch)
                future.add_done_callback(functools.partial(self._end, batch))

    def _pause_seconds(self) -> float:
        """How long the oldest row still waits for company: only beside a batch that runs, where company pays."""
        if self.running == 0 or not self.cost.company_pays or self.queued_rows >= self._batch_rows:
            return 0.0
        return self.limits.wait_seconds - (time.perf_counter() - self._pending[0].arrived)

    def _pause_over(self) -> None:
        self._timer = None
        self._dispatch()

    def _take(self, most_rows: int) -> list[Work]:
        """Take whole requests off the queue, up to `most_rows`; what nobody waits for is dropped here."""
        batch: list[Work] = []
        rows = 0
        pending = self._pending
        now = time.perf_counter()
        while pending and (not batch or rows + pending[0].size <= most_rows):
            work = pending.popleft()
            if work.is_left:
                continue
            self._release(work)
            if work.deadline < now:
                work.error = _too_late()
                work.wake()
                continue
            work.queue_ms = (now - work.arrived) * 1e3
            rows += work.size
            batch.append(work)
        if batch:
            self.figures.batch_rows.observe(rows)
        return batch

    def _end(self, batch: list[Work], done: "asyncio.Future[None]") -> None:
        self.running -= 1
        if done.cancelled() or done.exception() is not None:
            _fail(batch)
        self._settle(batch)
        self._dispatch()

    def _settle(self, batch: list[Work]) -> None:
        """Count what was answered, and let the requests go on that wait in `finish`."""
        now = time.perf_counter()
        for work in batch:
            if work.body is not None and not work.is_left:
                self.figures.count(200, now - work.arrived)
            if work.future is not None:
                work.wake()

    def _compute(self, batch: list[Work]) -> None:
        """Give every work of `batch` its body or its error; may run in a thread."""
        started = time.perf_counter()
        try:
            bodies = self.encoder.encode(batch, self._outputs(batch))
        except ModelAway as error:
            for work in batch:
                work.error = away(error)
            return
        except ModelUnusable as error:
            if len(batch) > 1:
                # Rows that break the model must not take others with them.
                for work in batch:
                    self._compute([work])
                return
            if isinstance(error, InputRefused):
                batch[0].error = Unprocessable(f"instances: {error}.", param="instances")
                return
            batch[0].error = Failed(f"The model could not predict these instances: {error}.")
            return
        milliseconds = (time.perf_counter() - started) * 1e3
        for work, body in zip(batch, bodies, strict=True):
            work.inference_ms = milliseconds
            work.body = body

    def _outputs(self, batch: list[Work]) -> np.ndarray:
        predictor = self.predictor
        most = self.limits.batch_rows
        if batch[0].size <= most:
            return predictor.run(predictor.prepare_rows([work.rows for work in batch]))
        # One request larger than a batch is alone in its batch; in pieces it keeps memory bounded.
        (work,) = batch
        pieces = [slice_rows(work.rows, start, start + most) for start in range(0, work.size, most)]
        return np.concatenate([predictor.run(predictor.prepare_rows([piece])) for piece in pieces])

    async def _wait(self, work: Work, receive: Receive) -> None:
        loop = asyncio.get_running_loop()
        work.future = loop.create_future()
        gone = loop.create_task(_hung_up(receive))
        try:
            left = max(0.0, work.deadline - time.perf_counter())
            await asyncio.wait({work.future, gone}, timeout=left, return_when=asyncio.FIRST_COMPLETED)
        finally:
            gone.cancel()
            if not work.is_done:
                self._leave(work)
        if not work.is_done:
            raise ClientGone if gone.done() and not gone.cancelled() else _too_late()

    def _leave(self, work: Work) -> None:
        if not work.is_left and work in self._pending:
            self._release(work)
        work.is_left = True

    def _release(self, work: Work) -> None:
        self.queued_rows -= work.size
        self.figures.queued_rows -= work.size


async def _hung_up(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def too_many_rows(rows: int, most_rows: int) -> TooLarge:
    """Return the error for a request that no queue takes."""
    return TooLarge(f"One request may have {most_rows} instances, not {rows}.")


def away(error: ModelAway) -> Overloaded:
    """Return the 503 for a model that cannot be run now."""
    message = f"The model cannot be run now: {error}."
    seconds = error.retry_after_seconds
    if error.is_unhealthy:
        return Overloaded(message, code="model_unhealthy", retry_after_seconds=seconds)
    return Overloaded(message, code="unavailable", retry_after_seconds=seconds)


def _too_late() -> DeadlineExceeded:
    return DeadlineExceeded("The prediction was not ready in time.")


def _fail(batch: list[Work]) -> None:
    for work in batch:
        if not work.is_done:
            work.error = Failed("The prediction failed.")
