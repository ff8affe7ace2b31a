"""The decision at a trainer's end, over every wish and every kind of end."""

import itertools
from typing import Any, get_args

import pytest

from workers.child import Exit
from workers.guard import Wish
from workers.outcome import OutOfMemoryWatch, decide

DONE = {"type": "done", "bundle": "/x"}
EMPTY = {"type": "done", "bundle": None}
FAILED = {"type": "failed", "error": {"code": "dataset_error", "message": "m", "retryable": False, "detail": {}}}
RETRY = {"type": "failed", "error": {"code": "storage_full", "message": "m", "retryable": True, "detail": {}}}
STOPPED = {"type": "stopped", "reason": "x"}
FINALS: list[dict[str, Any] | None] = [None, DONE, EMPTY, FAILED, RETRY, STOPPED]
EXITS = [Exit(0), Exit(3), Exit(signal=9), Exit(signal=11), Exit()]
WISHES: list[Wish | None] = [None, *get_args(Wish)]


@pytest.mark.parametrize(("final", "exit_", "wish"), list(itertools.product(FINALS, EXITS, WISHES)))
def test_every_end_has_one_edge_that_keeps_the_promises(
    final: dict[str, Any] | None, exit_: Exit, wish: Wish | None
) -> None:
    for killed in (False, True):
        outcome = decide(final, exit_, wish, killed=killed, ran_out_of_memory=False)
        if wish == "lost":
            assert outcome.edge == "nothing"
            continue
        assert outcome.edge != "nothing"
        assert (outcome.edge == "publish") == (final is DONE)
        if final is not DONE and wish in ("cancel", "keep"):
            assert outcome.edge == "cancelled"
        if outcome.edge == "paused":
            assert wish == "pause"
        if outcome.edge in ("fail",) or outcome.charge:
            assert outcome.error is not None
            assert set(outcome.error) == {"code", "message", "retryable", "detail"}
            assert set(outcome.error["detail"]) >= {"exit_code", "signal", "peak_memory_bytes"}


def test_a_drained_job_is_not_charged_but_a_crash_during_a_drain_is() -> None:
    stopped = decide(STOPPED, Exit(0), "drain", killed=False, ran_out_of_memory=False)
    assert (stopped.edge, stopped.charge, stopped.reason) == ("requeue", False, "drained")
    killed = decide(None, Exit(signal=9), "drain", killed=True, ran_out_of_memory=False)
    assert (killed.edge, killed.charge) == ("requeue", False)
    crashed = decide(None, Exit(signal=11), "drain", killed=False, ran_out_of_memory=False)
    assert (crashed.edge, crashed.charge) == ("requeue", True)


@pytest.mark.parametrize(
    ("final", "exit_", "log_tail", "is_lost"),
    [
        (None, Exit(20), "", True),
        (None, Exit(signal=6), "F gpu.cc: CUDA_ERROR_ECC_UNCORRECTABLE: uncorrectable ECC error", True),
        (None, Exit(signal=6), "terminate called after throwing an instance of 'std::logic_error'", False),
        (FAILED, Exit(0), "CUDA_ERROR_ECC_UNCORRECTABLE", False),
        (None, Exit(signal=11), "CUDA_ERROR_ECC_UNCORRECTABLE", False),
    ],
)
def test_a_lost_device_is_not_the_jobs_fault(
    final: dict[str, Any] | None, exit_: Exit, log_tail: str, is_lost: bool
) -> None:
    outcome = decide(final, exit_, None, killed=False, ran_out_of_memory=False, log_tail=log_tail)
    assert (outcome.reason == "device_lost") == is_lost
    if is_lost:
        assert (outcome.edge, outcome.charge) == ("requeue", False)


@pytest.mark.parametrize(
    ("exit_", "wish", "oom", "code", "part"),
    [
        (Exit(signal=9), None, True, "out_of_memory", "memory"),
        (Exit(signal=9), None, False, "worker_lost", "signal 9"),
        (Exit(signal=11), None, True, "worker_lost", "signal 11"),
        (Exit(70), None, False, "worker_lost", "exit code 70"),
        (Exit(), None, False, "worker_lost", "with the process that started it"),
        (Exit(signal=9), "stalled", False, "stalled", "no step"),
    ],
)
def test_crashes_are_told_apart(exit_: Exit, wish: Wish | None, oom: bool, code: str, part: str) -> None:
    outcome = decide(None, exit_, wish, killed=wish is not None, ran_out_of_memory=oom)
    assert outcome.error is not None
    assert (outcome.error["code"], outcome.charge) == (code, True)
    assert part in outcome.error["message"]


def test_no_memory_was_short_while_nothing_happened() -> None:
    assert not OutOfMemoryWatch().fired()


def test_a_risen_counter_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    watch = OutOfMemoryWatch()
    monkeypatch.setattr("workers.outcome._oom_kills", lambda: {"/proc/vmstat": 10**9})
    assert watch.fired()
