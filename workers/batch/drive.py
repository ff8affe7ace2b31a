"""Drives rows through a model into parts: progress, checkpoints, and what the supervisor asks meanwhile."""

import itertools
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from typing import Any, Final, Literal

from workers.batch.parts import PART_ROWS, Parts
from workers.batch.pipeline import ordered
from workers.batch.predicting import TRIAL_ROWS, BatchPredictor, Predicted
from workers.batch.source import Batch, Source
from workers.trainer.control import Control
from workers.trainer.order import Order
from workers.trainer.reports import Reports

Stop = Literal["cancelled", "paused", "drained"]
_STOPS: Final[dict[str, Stop]] = {"cancel": "cancelled", "pause": "paused", "drain": "drained"}
# The rate is that of the last seconds, so that the time left follows a machine that gets busy.
_RATE_SECONDS: Final = 10.0


@dataclass
class Drive:
    """What one attempt works with; `columns_of` makes the arrays of a part of what was predicted."""

    order: Order
    reports: Reports
    control: Control
    source: Source
    predictor: BatchPredictor
    parts: Parts
    columns_of: Callable[[Predicted], list[Any]]

    def run(self) -> Stop | None:
        """Predict for all rows that are not in a part yet; return why it stopped before the end, if it did."""
        state = self.parts.state
        if state.rows:
            self.reports.event("resumed", rows=state.rows)
        began, before = time.monotonic(), state.seconds
        saved_at = began
        if state.batch_rows is None:
            state.batch_rows = self.predictor.choose_rows(self._trial())
        rate = Rate(time.monotonic())
        batches = self.source.batches(state.batch_rows, skip=state.rows)
        with closing(ordered(batches, self.predictor.predict, max(1, self.order.threads))) as done:
            for predicted in _until(done, self.control):
                self._write(predicted)
                now = time.monotonic()
                state.seconds = before + now - began
                rate.add(now, predicted.batch.rows)
                self._tell(rate)
                if self.parts.waiting_rows >= PART_ROWS or now - saved_at >= self.order.checkpoint_seconds:
                    self._save()
                    saved_at = now
        request = self.control.request
        if state.rows < self.source.rows and request is not None:
            stop = _STOPS[request.wish]
            if stop != "cancelled":
                self._save()
            return stop
        self.parts.close_part()
        return None

    def _trial(self) -> Batch:
        return next(self.source.batches(TRIAL_ROWS))

    def _write(self, predicted: Predicted) -> None:
        state, batch = self.parts.state, predicted.batch
        if predicted.errors:
            state.failed += len(predicted.errors)
            row = min(predicted.errors)
            state.first_error = state.first_error or f"row {batch.first + row}: {predicted.errors[row]}"
        self.parts.write(self.columns_of(predicted))

    def _save(self) -> None:
        folder = self.parts.close_part()
        if folder is not None:
            state = self.parts.state
            self.reports.checkpoint(
                folder, epoch=1, step=state.rows, is_best=False, metrics={}, trained_seconds=state.seconds, chained=True
            )

    def _tell(self, rate: "Rate") -> None:
        state, rows = self.parts.state, self.source.rows
        per_second = rate.per_second
        self.reports.progress(
            urgent=state.rows == rows,
            epoch=1,
            epochs=1,
            step=state.rows,
            steps=rows,
            fraction=state.rows / rows,
            failed=state.failed,
            rows_per_second=per_second,
            samples_per_second=per_second,
            eta_seconds=None if not per_second else (rows - state.rows) / per_second,
        )


class Rate:
    """Rows a second of late."""

    def __init__(self, now: float) -> None:
        self._marks = [(now, 0)]
        self._rows = 0

    def add(self, now: float, rows: int) -> None:
        """Count `rows` that are done `now`."""
        self._rows += rows
        self._marks.append((now, self._rows))
        while len(self._marks) > 2 and self._marks[1][0] < now - _RATE_SECONDS:
            self._marks.pop(0)

    @property
    def per_second(self) -> float | None:
        """Rows a second; None before the first batch."""
        (first_at, first), (last_at, last) = self._marks[0], self._marks[-1]
        return (last - first) / (last_at - first_at) if last_at > first_at else None


def _until(done: Iterator[Predicted], control: Control) -> Iterator[Predicted]:
    """Yield what is done until something is asked."""
    return itertools.takewhile(lambda _: control.request is None, done)
