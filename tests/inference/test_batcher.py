"""The queue in front of a model: bounded, dropped where nobody waits, and each request its own rows."""

import asyncio
import concurrent.futures
import itertools
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import numpy as np
import pytest

from app.core.errors import DeadlineExceeded, Overloaded, TooLarge
from app.inference.batcher import Batcher, ClientGone, Failed, next_turn
from app.inference.batching import Limits
from app.inference.cost import Cost
from app.inference.figures import ModelFigures
from app.inference.runtime import ModelUnusable
from app.inference.work import Form, Work
from tests.inference.serving import until

FAST = Cost(5e-6, 1e-6)
SLOW = Cost(5e-3, 5e-3)
SLOW_BUT_CHEAP_TOGETHER = Cost(5e-3, 1e-4)


class Model:
    """Stands for predictor and encoder: the answer to a row is the row. `gate` holds every run back."""

    def __init__(self) -> None:
        self.gate = threading.Event()
        self.gate.set()
        self.batches: list[list[float]] = []
        self.threads: set[int] = set()

    def prepare_rows(self, parts: list[Any]) -> Any:
        return [value for part in parts for value in part]

    def run(self, inputs: list[float]) -> np.ndarray:
        assert self.gate.wait(10)
        self.batches.append(inputs)
        self.threads.add(threading.get_ident())
        if any(value < 0 for value in inputs):
            raise ModelUnusable("negative")
        if any(value == 666 for value in inputs):
            raise KeyError("a defect that nobody foresaw")
        return np.array(inputs)

    def encode(self, batch: list[Work], outputs: np.ndarray) -> list[bytes]:
        bodies, start = [], 0
        for work in batch:
            bodies.append(str(outputs[start : start + work.size].tolist()).encode())
            start += work.size
        return bodies


class Desk:
    """A batcher over `Model`, and requests to it."""

    def __init__(self, model: Model, batcher: Batcher) -> None:
        self.model = model
        self.batcher = batcher

    async def ask(self, rows: list[float], seconds: float = 5.0, hang_up: asyncio.Event | None = None) -> str:
        """Send one request and return the body."""
        now = time.perf_counter()
        work = Work(rows, len(rows), Form.NATIVE, now, now + seconds)  # type: ignore[arg-type]
        self.batcher.add(work)
        await next_turn()

        async def receive() -> dict[str, str]:
            await (hang_up or asyncio.Event()).wait()
            return {"type": "http.disconnect"}

        if work.body is None:
            await self.batcher.finish(work, receive)
        assert work.body is not None
        return work.body.decode()

    @asynccontextmanager
    async def busy(self) -> AsyncIterator[None]:
        """Keep every slot of the model busy with the row 1000 until the block ends."""
        self.model.gate.clear()
        slots = self.batcher.limits.slots
        asked = []
        for _ in range(slots):
            asked.append(asyncio.create_task(self.ask([1000.0])))
            await until(lambda: self.batcher.running == len(asked))
        try:
            yield
        finally:
            self.model.gate.set()
        assert await asyncio.gather(*asked) == ["[1000.0]"] * slots


@pytest.fixture
def run() -> Callable[..., None]:
    def runner(test: Callable[[Desk], Awaitable[None]], cost: Cost = FAST, **limits: Any) -> None:
        async def body() -> None:
            model = Model()
            bounds = Limits(**{"queue_rows": 64, "batch_rows": 8, "wait_seconds": 0.0, "slots": 1, **limits})
            with concurrent.futures.ThreadPoolExecutor(4) as pool:
                batcher = Batcher(model, model, cost, bounds, pool, ModelFigures())  # type: ignore[arg-type]
                await test(Desk(model, batcher))
                await until(lambda: batcher.running == 0)
                assert batcher.queued_rows == batcher.figures.queued_rows == 0

        asyncio.run(body())

    return runner


def test_what_arrives_together_runs_together(run: Any) -> None:
    async def test(desk: Desk) -> None:
        answers = await asyncio.gather(*(desk.ask([float(number)]) for number in range(6)))
        assert answers == [f"[{number}.0]" for number in range(6)]
        assert desk.model.batches == [[0.0, 1.0, 2.0, 3.0, 4.0, 5.0]]
        # A model of microseconds costs no thread.
        assert desk.model.threads == {threading.get_ident()}

    run(test)


def test_a_batch_has_a_bound_and_a_request_is_never_split(run: Any) -> None:
    async def test(desk: Desk) -> None:
        sizes = [5, 3, 1, 8, 20, 2]
        asked = [[float(index)] * size for index, size in enumerate(sizes)]
        answers = await asyncio.gather(*(desk.ask(rows) for rows in asked))
        assert answers == [str(rows) for rows in asked]
        runs = [len(batch) for batch in desk.model.batches]
        # Five and three fill a batch; twenty run in pieces of a batch, alone.
        assert runs == [8, 1, 8, 8, 8, 4, 2]

    run(test)


def test_a_slow_model_does_not_hold_up_the_loop(run: Any) -> None:
    async def test(desk: Desk) -> None:
        async with desk.busy():
            assert threading.get_ident() not in desk.model.threads
        assert threading.get_ident() not in desk.model.threads

    run(test, SLOW)


def test_batches_run_side_by_side(run: Any) -> None:
    async def test(desk: Desk) -> None:
        async with desk.busy():
            assert desk.batcher.running == 3

    run(test, SLOW, slots=3)


def test_a_full_queue_refuses_at_once(run: Any) -> None:
    async def test(desk: Desk) -> None:
        async with desk.busy():
            waiting = asyncio.create_task(desk.ask([1.0] * 60))
            await until(lambda: desk.batcher.queued_rows == 60)
            with pytest.raises(Overloaded) as refused:
                await desk.ask([2.0] * 5)
            assert refused.value.retry_after_seconds is not None
            assert refused.value.retry_after_seconds >= 1
            fits = asyncio.create_task(desk.ask([3.0] * 4))
            await until(lambda: desk.batcher.queued_rows == 64)
        assert await waiting == str([1.0] * 60)
        assert await fits == str([3.0] * 4)
        with pytest.raises(TooLarge):
            await desk.ask([4.0] * 65)

    run(test, SLOW)


def test_a_client_that_hangs_up_costs_no_inference(run: Any) -> None:
    async def test(desk: Desk) -> None:
        hang_up = asyncio.Event()
        async with desk.busy():
            left = asyncio.create_task(desk.ask([1.0, 1.0], hang_up=hang_up))
            stays = asyncio.create_task(desk.ask([2.0]))
            await until(lambda: desk.batcher.queued_rows == 3)
            hang_up.set()
            with pytest.raises(ClientGone):
                await left
            assert desk.batcher.queued_rows == 1
        assert await stays == "[2.0]"
        assert 1.0 not in itertools.chain(*desk.model.batches)

    run(test, SLOW)


def test_a_deadline_is_kept_while_the_model_is_busy(run: Any) -> None:
    async def test(desk: Desk) -> None:
        async with desk.busy():
            late = asyncio.create_task(desk.ask([1.0], seconds=0.05))
            stays = asyncio.create_task(desk.ask([2.0]))
            started = time.perf_counter()
            with pytest.raises(DeadlineExceeded):
                await late
            assert time.perf_counter() - started < 2.0
        assert await stays == "[2.0]"
        assert 1.0 not in itertools.chain(*desk.model.batches)

    run(test, SLOW)


def test_what_is_late_already_never_reaches_the_model(run: Any) -> None:
    async def test(desk: Desk) -> None:
        with pytest.raises(DeadlineExceeded):
            await desk.ask([1.0], seconds=-0.001)
        assert desk.model.batches == []

    run(test)
    run(test, SLOW)


def test_a_deadline_is_kept_by_a_run_that_takes_too_long(run: Any) -> None:
    async def test(desk: Desk) -> None:
        desk.model.gate.clear()
        with pytest.raises(DeadlineExceeded):
            await desk.ask([1.0], seconds=0.05)
        desk.model.gate.set()
        await until(lambda: desk.batcher.running == 0)
        assert await desk.ask([2.0]) == "[2.0]"

    run(test, SLOW)


def test_an_idle_model_waits_for_nobody(run: Any) -> None:
    async def test(desk: Desk) -> None:
        started = time.perf_counter()
        assert await desk.ask([1.0]) == "[1.0]"
        assert time.perf_counter() - started < 30.0

    run(test, SLOW_BUT_CHEAP_TOGETHER, wait_seconds=3600.0)


def test_a_row_waits_for_company_beside_a_busy_model(run: Any) -> None:
    async def test(desk: Desk) -> None:
        desk.model.gate.clear()
        first = asyncio.create_task(desk.ask([1000.0]))
        await until(lambda: desk.batcher.running == 1)
        alone = asyncio.create_task(desk.ask([1.0]))
        await until(lambda: desk.batcher.queued_rows == 1)
        # The other slot is free, but company is worth waiting for, until a batch is full.
        assert desk.batcher.running == 1
        company = asyncio.create_task(desk.ask([2.0] * 7))
        await until(lambda: desk.batcher.running == 2)
        desk.model.gate.set()
        assert await asyncio.gather(first, alone, company) == ["[1000.0]", "[1.0]", str([2.0] * 7)]
        assert sorted(map(len, desk.model.batches)) == [1, 8]

    run(test, SLOW_BUT_CHEAP_TOGETHER, wait_seconds=3600.0, slots=2)


def test_the_clock_starts_at_the_first_row(run: Any) -> None:
    async def test(desk: Desk) -> None:
        desk.model.gate.clear()
        first = asyncio.create_task(desk.ask([1000.0]))
        await until(lambda: desk.batcher.running == 1)
        started = time.perf_counter()
        alone = asyncio.create_task(desk.ask([1.0]))
        await until(lambda: desk.batcher.running == 2)
        assert time.perf_counter() - started >= 0.05
        desk.model.gate.set()
        assert await asyncio.gather(first, alone) == ["[1000.0]", "[1.0]"]

    run(test, SLOW_BUT_CHEAP_TOGETHER, wait_seconds=0.05, slots=2)


@pytest.mark.parametrize("cost", [FAST, SLOW_BUT_CHEAP_TOGETHER])
def test_rows_that_break_the_model_fail_alone(run: Any, cost: Cost) -> None:
    async def test(desk: Desk) -> None:
        asked = [[1.0], [-1.0], [2.0]]
        answers = await asyncio.gather(*(desk.ask(rows) for rows in asked), return_exceptions=True)
        assert answers[0] == "[1.0]"
        assert isinstance(answers[1], Failed)
        assert answers[2] == "[2.0]"

    run(test, cost)


@pytest.mark.parametrize("cost", [FAST, SLOW_BUT_CHEAP_TOGETHER])
def test_a_defect_leaves_nobody_waiting(run: Any, cost: Cost) -> None:
    async def test(desk: Desk) -> None:
        async with asyncio.timeout(5):
            answers = await asyncio.gather(*(desk.ask([value]) for value in (1.0, 666.0, 2.0)), return_exceptions=True)
        assert all(isinstance(answer, Failed | KeyError) for answer in answers)
        assert await desk.ask([3.0]) == "[3.0]"

    run(test, cost)


def test_costs() -> None:
    assert Cost(1e-3, 1e-3).seconds(8) == pytest.approx(8e-3)
    assert not Cost(1e-3, 1e-3).company_pays
    assert Cost(1e-3, 1e-4).company_pays
    assert Cost(1e-3, 1e-3).batch_rows(256) == 10
    assert Cost(1e-3, 1e-4).batch_rows(256) == 256
    assert Cost(1.0, 1.0).batch_rows(256) == 1
