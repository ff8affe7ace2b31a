"""What is asked of a trainer, and how long it has: with a clock that the test moves."""

import signal
from typing import Any

import pytest

from workers.guard import EXIT_SECONDS, TERM_SECONDS, Graces, Guard, Wish

GRACES = Graces(cancel=8, keep=120, pause=100, drain=18, stall=600)


class FakeTrainer:
    def __init__(self) -> None:
        self.sent: list[dict[str, Any]] = []
        self.signals: list[int] = []

    def send(self, message: dict[str, Any]) -> None:
        self.sent.append(message)

    def signal_group(self, number: signal.Signals) -> None:
        self.signals.append(number)


class Scene:
    def __init__(self) -> None:
        self.now = 1000.0
        self.draining = False
        self.trainer = FakeTrainer()
        self.guard = Guard(GRACES, lambda: self.draining, lambda: self.now)

    def after(self, seconds: float) -> list[int]:
        """Tick every half second for so long; return the signals sent meanwhile."""
        before = len(self.trainer.signals)
        for _ in range(int(seconds * 2)):
            self.now += 0.5
            self.guard.tick()
        return self.trainer.signals[before:]


@pytest.fixture
def scene() -> Scene:
    scene = Scene()
    scene.guard.attach(scene.trainer)
    return scene


@pytest.mark.parametrize(
    ("wish", "message", "grace"),
    [
        ("cancel", {"type": "cancel", "keep": "none"}, 8),
        ("keep", {"type": "cancel", "keep": "best"}, 120),
        ("pause", {"type": "pause"}, 100),
        ("drain", {"type": "drain"}, 18),
    ],
)
def test_a_wish_is_sent_once_then_enforced_after_its_grace(
    scene: Scene, wish: Wish, message: dict[str, Any], grace: int
) -> None:
    scene.guard.ask(wish)
    scene.guard.ask(wish)
    assert scene.trainer.sent == [message]
    assert scene.after(grace - 1) == []
    assert scene.after(1) == [signal.SIGTERM]
    assert scene.after(TERM_SECONDS - 0.5) == []
    assert scene.after(1)[0] == signal.SIGKILL
    assert scene.guard.killed


def test_a_wish_before_the_trainer_is_sent_when_it_starts() -> None:
    scene = Scene()
    scene.guard.ask("pause")
    scene.guard.attach(scene.trainer)
    assert scene.trainer.sent == [{"type": "pause"}]


@pytest.mark.parametrize(
    ("first", "second", "in_force"),
    [
        ("pause", "keep", "keep"),
        ("keep", "cancel", "cancel"),
        ("keep", "drain", "drain"),
        ("pause", "drain", "drain"),
        ("cancel", "drain", "cancel"),
        ("cancel", "pause", "cancel"),
        ("drain", "lost", "lost"),
    ],
)
def test_the_stronger_wish_is_in_force(scene: Scene, first: Wish, second: Wish, in_force: Wish) -> None:
    scene.guard.ask(first)
    scene.guard.ask(second)
    assert scene.guard.wish == in_force


def test_a_lost_job_is_killed_at_once_and_again_until_it_is_gone(scene: Scene) -> None:
    scene.guard.ask("lost")
    assert scene.trainer.signals == [signal.SIGKILL]
    assert scene.guard.lost.is_set()
    assert set(scene.after(2)) == {signal.SIGKILL}
    scene.guard.detach()
    assert scene.after(2) == []


def test_silence_is_a_stall_and_a_report_is_a_sign_of_life(scene: Scene) -> None:
    assert scene.after(599) == []
    scene.guard.heard()
    assert scene.after(599) == []
    assert scene.after(2)[0] == signal.SIGKILL
    assert scene.guard.wish == "stalled"


def test_the_drain_flag_is_seen(scene: Scene) -> None:
    scene.draining = True
    scene.guard.tick()
    assert scene.trainer.sent == [{"type": "drain"}]


def test_who_has_reported_the_end_must_be_gone_soon(scene: Scene) -> None:
    scene.guard.expect_exit()
    assert scene.after(EXIT_SECONDS - 1) == []
    assert scene.after(1) == [signal.SIGTERM]
    assert scene.guard.wish is None


def test_a_cancel_and_its_kill_fit_into_fifteen_seconds() -> None:
    from app.core.settings import Settings

    settings = Settings()
    assert settings.control_seconds + settings.cancel_grace_seconds + TERM_SECONDS < 15
    assert Graces.of(settings).drain + TERM_SECONDS < 24  # the launcher's patience
