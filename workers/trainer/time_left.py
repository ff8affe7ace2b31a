"""How long a job still takes: steps, ends of epochs, checkpoints, and the finish, each at its own recent pace."""

import statistics
import time
from collections import deque
from collections.abc import Callable

# Laps are put together up to this long, so that a window of them is few numbers.
BIN_SECONDS = 0.1
# How far back the pace is taken from: long enough for hiccups to even out, short enough to follow a busier machine.
WINDOW_SECONDS = 30.0
# A lap this many times slower than the usual one was no lap: the process was frozen, or something compiled.
OUTLIER = 4.0
# Export, its check and the publishing; most of it traces the network again, as the first execution did (measured on two
# cores, tables of 200 to 40,000 rows: 0.3 to 0.8 s after a first execution of 0.6 s).
EXPORT_SECONDS = 0.3
EXPORT_SHARE = 0.35
# Judging an epoch for the first time traces it too (0.1 s of those 0.6 s).
TRACE_SHARE = 0.15
# A row in inference against one in training, which also goes backward.
FORWARD_SHARE = 1.0 / 3.0


class Pace:
    """Seconds that each of things takes that repeat, from those of late."""

    def __init__(self) -> None:
        self._bins: deque[tuple[int, float]] = deque()
        self._seconds = 0.0
        self._first: float | None = None
        self._open = (0, 0.0)

    def add(self, count: int, seconds: float) -> None:
        """Take the seconds that `count` of them took. The first is set apart: it traced and compiled."""
        if self._first is None:
            self._first = seconds / count
            return
        count, seconds = self._open[0] + count, self._open[1] + seconds
        self._open = (count, seconds)
        if seconds < BIN_SECONDS:
            return
        self._bins.append(self._open)
        self._open = (0, 0.0)
        self._seconds += seconds
        while len(self._bins) > 4 and self._seconds - self._bins[0][1] > WINDOW_SECONDS:
            self._seconds -= self._bins.popleft()[1]

    @property
    def first(self) -> float | None:
        """Seconds of the first one."""
        return self._first

    @property
    def each(self) -> float | None:
        """Seconds of one; None before the second."""
        bins = [*self._bins, *([self._open] if self._open[0] and len(self._bins) < 4 else [])]
        if not bins:
            return None
        usual = statistics.median(seconds / count for count, seconds in bins)
        kept = [(count, seconds) for count, seconds in bins if seconds / count <= OUTLIER * usual]
        return sum(seconds for _, seconds in kept) / sum(count for count, _ in kept)


class TimeLeft:
    """Watches a fit and says how long the job still takes. All time between two marks belongs to the second.

    `rows_per_step`: of an update; `validation_rows`: judged at the end of an epoch; `finish_rows`: judged once, after
    the last one. `budget_seconds`: how long training may still go on, None where it may for ever.
    """

    def __init__(
        self,
        rows_per_step: float,
        validation_rows: int,
        finish_rows: int,
        checkpoint_seconds: float,
        budget_seconds: float | None = None,
        now: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._rows_per_step = rows_per_step
        self._validation_rows = validation_rows
        self._finish_rows = finish_rows
        self._checkpoint_seconds = checkpoint_seconds
        self._now = now
        self._budget_seconds = budget_seconds
        self._started = self._mark = now()
        self._steps, self._epochs, self._saves = Pace(), Pace(), Pace()

    def _lap(self) -> float:
        before, self._mark = self._mark, self._now()
        return self._mark - before

    def stepped(self, count: int) -> None:
        """`count` updates are done."""
        self._steps.add(count, self._lap())

    def epoch_ended(self) -> None:
        """An epoch was judged."""
        self._epochs.add(1, self._lap())

    def saved(self) -> None:
        """A checkpoint was written."""
        self._saves.add(1, self._lap())

    def seconds(self, steps: int, epochs: int) -> float | None:
        """Return how long the job still takes when `steps` updates and `epochs` ends of epochs are left.

        None until the pace of an update is known.
        """
        step, first = self._steps.each, self._steps.first
        if step is None or first is None:
            return None
        row = FORWARD_SHARE * step / max(self._rows_per_step, 1e-9)
        end = self._epochs.each
        if end is None:
            end = self._first_end(row * self._validation_rows, TRACE_SHARE * first)
        elif self._validation_rows:
            row = min(row, end / self._validation_rows)
        training = steps * step + epochs * end
        if self._epochs.first is None:
            training += TRACE_SHARE * first
        save = self._saves.each or self._saves.first
        if save is not None:
            training *= 1.0 + save / max(self._checkpoint_seconds, save)
        if self._budget_seconds is not None:
            training = min(training, max(self._budget_seconds - (self._now() - self._started), 0.0))
        return training + EXPORT_SECONDS + EXPORT_SHARE * first + row * self._finish_rows

    def _first_end(self, guess: float, trace_seconds: float) -> float:
        """Return what judging an epoch takes while at most one was: that one traced the network too."""
        first = self._epochs.first
        return guess if first is None else min(first, max(first - trace_seconds, guess))
