"""What a job's progress looks like, in a terminal and in a file."""

import io
from typing import Any, cast

import pytest
from rich.console import Console

from app.client.progress import BarProgress, LineProgress, describe_left, describe_loss, job_progress
from app.client.shapes import Job
from tests.client.fake_service import job, running, succeeded


def as_job(fields: dict[str, Any]) -> Job:
    return cast(Job, fields)


def test_a_terminal_gets_a_bar_and_a_file_gets_lines() -> None:
    assert isinstance(job_progress(Console(file=io.StringIO(), force_terminal=True)), BarProgress)
    assert isinstance(job_progress(Console(file=io.StringIO())), LineProgress)


def test_the_bar_shows_epoch_share_losses_and_time_left() -> None:
    screen = io.StringIO()
    with BarProgress(Console(file=screen, force_terminal=True, width=120, color_system=None)) as progress:
        progress.show(as_job(job("queued", queue_position=2)))
        progress.show(as_job(running(4)))
        progress._progress.refresh()
        text = screen.getvalue()
        assert "epoch 4/10" in text
        assert "40%" in text
        assert "loss 0.25, validation 0.5" in text
        assert "6 s left" in text
        progress.show(as_job(succeeded()))
    assert "100%" in screen.getvalue()


def test_lines_come_at_changes_of_state_and_not_at_every_poll() -> None:
    out = io.StringIO()
    with LineProgress(out) as progress:
        before_loss = job("running", progress={"epoch": 1, "epochs": 10, "fraction": 0.01})
        ended = {**running(2), "state": "succeeded"}
        for news in (job("queued"), job("queued"), before_loss, running(1), running(1), running(2), ended):
            progress.show(as_job(news))
    assert out.getvalue().splitlines() == [
        "  queued",
        "  epoch 1/10, loss …, …",
        "  epoch 1/10, loss 1, validation 2, 9 s left",
        "  succeeded, loss 0.5, validation 1",
    ]


def test_lines_come_again_after_two_seconds_unless_nothing_is_new(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr("app.client.progress.time.monotonic", lambda: now[0])
    out = io.StringIO()
    with LineProgress(out) as progress:
        for at, news in ((0.0, running(1)), (1.9, running(2)), (2.1, running(3)), (5.0, running(3))):
            now[0] = at
            progress.show(as_job(news))
    assert [line.split(",")[0] for line in out.getvalue().splitlines()] == ["  epoch 1/10", "  epoch 3/10"]


@pytest.mark.parametrize(
    ("progress", "text"),
    [
        (None, "…"),
        ({"epoch": 1}, "…"),
        ({"eta_seconds": 0.4, "fraction": 0.9}, "0 s left"),
        ({"eta_seconds": 89}, "89 s left"),
        ({"eta_seconds": 600}, "10 min left"),
        ({"eta_seconds": 0, "fraction": 1.0}, "testing and exporting"),
    ],
)
def test_time_left_is_said_in_a_fitting_unit(progress: dict[str, Any] | None, text: str) -> None:
    assert describe_left(as_job(job("running", progress=progress))) == text


def test_a_loss_that_is_not_known_yet_is_no_number() -> None:
    assert describe_loss(as_job(job("running"))) == "loss …"
    assert describe_loss(as_job(job("running", metrics={"train": {"loss": None}}))) == "loss …"
