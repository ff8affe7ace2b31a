"""The time left, on made-up jobs with a clock of their own: within 20 % from a quarter of the way on."""

import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.trainer.orders import Sink, line_csv, order_of
from tests.trainer.running import run
from workers.trainer.time_left import TimeLeft

# What tracing costs, beside the first execution of 1 s: judging an epoch, and the export.
FINISH_SECONDS = 0.8


@dataclass
class Made:
    """A job: seconds of an update, of judging an epoch, of a checkpoint; what compiles, and what goes wrong."""

    epochs: int = 10
    steps_per_epoch: int = 400
    step_seconds: float = 0.01
    epoch_seconds: float = 0.5
    compile_seconds: float = 3.0
    first_epoch_seconds: float = 0.5
    finish_seconds: float = 1.5
    save_seconds: float = 0.0
    noise: float = 0.0
    frozen: tuple[int, float] | None = None
    slower_from: tuple[int, float] | None = None
    rows_per_step: int = 32
    validation_rows: int = 4000

    def play(self) -> list[tuple[float, float | None]]:
        """Return (seconds since the start, seconds left as told) after every execution, and the end as the last."""
        self.now = 0.0
        rng = np.random.default_rng(3)
        told = TimeLeft(self.rows_per_step, self.validation_rows, 0, 60.0, now=lambda: self.now)
        heard: list[tuple[float, float | None]] = []
        saved_at, done, total = 0.0, 0, self.epochs * self.steps_per_epoch
        for epoch in range(self.epochs):
            left = self.steps_per_epoch
            while left:
                count = min(left, 1 if done == 0 else 25)
                self.now += self._execution(done, count, rng)
                told.stepped(count)
                left, done = left - count, done + count
                heard.append((self.now, told.seconds(total - done, self.epochs - epoch)))
                if self.save_seconds and self.now - saved_at >= 60.0:
                    self.now += self.save_seconds
                    told.saved()
                    saved_at = self.now
            self.now += self.epoch_seconds + (self.first_epoch_seconds if epoch == 0 else 0.0)
            told.epoch_ended()
        heard.append((self.now + self.finish_seconds, 0.0))
        return heard

    def _execution(self, done: int, count: int, rng: np.random.Generator) -> float:
        step = self.step_seconds
        if self.slower_from is not None and done >= self.slower_from[0]:
            step *= self.slower_from[1]
        seconds = count * step * float(rng.lognormal(0.0, self.noise)) + (self.compile_seconds if done == 0 else 0.0)
        if self.frozen is not None and done <= self.frozen[0] < done + count:
            seconds += self.frozen[1]
        return seconds


def errors(heard: list[tuple[float, float | None]], since: float) -> list[float]:
    """Return how far each figure was off, as a share of what was really left, from `since` on."""
    end = heard[-1][0]
    return [
        abs(told - (end - at)) / (end - at) for at, told in heard[:-1] if at >= since and told is not None and end > at
    ]


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"noise": 0.5},
        {"epochs": 1, "steps_per_epoch": 4000},
        {"epochs": 2, "steps_per_epoch": 2000, "validation_rows": 40_000, "epoch_seconds": 4.0},
        {"epochs": 400, "steps_per_epoch": 10, "epoch_seconds": 0.1},
        {"epochs": 4000, "steps_per_epoch": 5, "step_seconds": 0.0004, "epoch_seconds": 0.004},
        {"step_seconds": 0.1, "save_seconds": 6.0},
        {"compile_seconds": 20.0, "first_epoch_seconds": 3.0, "finish_seconds": 8.0},
        {"epochs": 20, "validation_rows": 0, "epoch_seconds": 0.001},
    ],
    ids=lambda changes: "-".join(changes) or "plain",
)
def test_the_time_left_is_right_from_a_quarter_of_the_way_on(changes: dict[str, Any]) -> None:
    heard = Made(**changes).play()
    assert max(errors(heard, heard[-1][0] / 4)) < 0.2


def test_a_frozen_process_and_a_compilation_do_not_spoil_the_pace() -> None:
    made = Made(frozen=(500, 300.0))
    heard = made.play()
    thawed = next(at for at, _ in heard if at > 300.0)
    assert max(errors(heard, thawed + 1.0)) < 0.2


def test_a_machine_that_becomes_half_as_fast_is_followed_within_a_window() -> None:
    made = Made(epochs=50, steps_per_epoch=800, slower_from=(4000, 2.0))
    heard = made.play()
    slowed = 4000 * made.step_seconds * 1.3
    assert max(errors(heard, slowed + 35.0)) < 0.2


def test_nothing_is_told_before_the_pace_is_known() -> None:
    told = TimeLeft(32, 100, 100, 60.0, now=lambda: 0.0)
    assert told.seconds(100, 1) is None
    told.stepped(1)
    assert told.seconds(99, 1) is None, "the first execution compiled"


def test_the_time_budget_ends_training_before_its_steps_do() -> None:
    clock = iter([0.0, 1.0, 3.0, 5.0, 5.0])
    told = TimeLeft(32, 0, 0, 60.0, budget_seconds=20.0, now=lambda: next(clock))
    told.stepped(1)
    told.stepped(10)
    told.stepped(10)
    assert told.seconds(100_000, 1) == pytest.approx(15.0 + FINISH_SECONDS, abs=0.2)


def test_what_is_judged_at_the_end_counts() -> None:
    now = 0.0
    told = TimeLeft(10, 0, 3000, 60.0, now=lambda: now)
    for seconds in (10.0, 1.0, 1.0):
        now += seconds
        told.stepped(10)
    # 0.1 s an update of 10 rows; a row in inference costs a third of one in training.
    assert told.seconds(20, 1) == pytest.approx(2.0 + FINISH_SECONDS + 3000 * 0.01 / 3, abs=0.1)


@pytest.mark.recipes
@pytest.mark.timeout(300)
def test_a_real_job_tells_when_it_will_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # The processor's time, which is the wall's on an idle machine, and does not depend on who else runs there.
    now = time.process_time
    monkeypatch.setattr("workers.trainer.fit.TimeLeft", partial(TimeLeft, now=now))
    heard: list[tuple[float, float | None]] = []

    def hear(report: dict[str, Any]) -> None:
        if report["type"] == "progress":
            heard.append((now(), report["eta_seconds"]))

    order = order_of(
        tmp_path, line_csv(4000), "tabular-regression", "value",
        training={"epochs": 130, "batch_size": 8, "early_stopping": False},
    )  # fmt: skip
    sink, started = Sink(hear), now()
    assert run(order, sink).lines[-1]["type"] == "done"
    ended = now()
    told = [(ended - at, seconds) for at, seconds in heard if at >= started + (ended - started) / 4]
    assert len(told) > 10
    # The last second is the export's.
    wrong = [(left, seconds) for left, seconds in told if abs((seconds or 0.0) - left) > max(0.2 * left, 1.0)]
    assert not wrong, wrong
