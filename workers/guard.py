"""What is asked of one running trainer, and the force behind it: ask, wait, SIGTERM, SIGKILL.

Several threads may ask; one thread calls `tick`. A stronger wish replaces a weaker one:

    lost > cancel > drain > keep > pause

`lost` (another attempt owns the job) and `stalled` kill at once. A `drain` is above `keep`, a cancel that
still publishes the best model, because a worker must be gone within 30 s and publishing may take 120.
"""

import signal
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, Literal, Protocol

from app.core.settings import Settings

Wish = Literal["pause", "keep", "drain", "cancel", "stalled", "lost"]

_STRENGTH: Final[dict[Wish, int]] = {"pause": 1, "keep": 2, "drain": 3, "cancel": 4, "stalled": 5, "lost": 6}
_MESSAGES: Final[dict[Wish, dict[str, Any]]] = {
    "pause": {"type": "pause"},
    "keep": {"type": "cancel", "keep": "best"},
    "drain": {"type": "drain"},
    "cancel": {"type": "cancel", "keep": "none"},
}
DRAIN_GRACE_SECONDS = 18.0  # of the 30 s that a worker has to be gone
TERM_SECONDS = 2.0  # between SIGTERM and SIGKILL: cancel is over in 1 + 8 + 2 s, under the 15 s promised
EXIT_SECONDS = 10.0  # a trainer that has reported its end has nothing left to do
TICK_SECONDS = 0.2


class Signallable(Protocol):
    """The part of `workers.child.Trainer` that a guard uses."""

    def send(self, message: dict[str, Any]) -> None:
        """Pass a control message on."""

    def signal_group(self, number: signal.Signals) -> None:
        """Signal the trainer and its children."""


@dataclass(frozen=True)
class Graces:
    """Seconds a trainer has to follow each wish by itself."""

    cancel: float
    keep: float
    pause: float
    drain: float = DRAIN_GRACE_SECONDS
    stall: float = 600.0

    @classmethod
    def of(cls, settings: Settings) -> "Graces":
        """Return those of a deployment. A pause writes a checkpoint, so it has as long as a keep."""
        return cls(
            cancel=settings.cancel_grace_seconds,
            keep=settings.keep_grace_seconds,
            pause=settings.keep_grace_seconds,
            stall=settings.stall_seconds,
        )


class Guard:
    """Carries wishes to a trainer and sees to it that they are followed in time."""

    def __init__(self, graces: Graces, draining: Callable[[], bool], clock: Callable[[], float] = time.monotonic):
        self.graces = graces
        self.wish: Wish | None = None
        self.killed = False
        self.lost = threading.Event()
        self._draining = draining
        self._clock = clock
        self._lock = threading.RLock()
        self._trainer: Signallable | None = None
        self._deadline: float | None = None
        self._termed_at: float | None = None
        self._heard_at = clock()
        self._over = threading.Event()

    def attach(self, trainer: Signallable) -> None:
        """Watch `trainer` from now on; what was wished before it started is said to it first."""
        with self._lock:
            self._trainer = trainer
            self._heard_at = self._clock()
            if self.wish in _MESSAGES:
                trainer.send(_MESSAGES[self.wish])

    def detach(self) -> None:
        """The trainer has ended: nothing is sent or signalled any more."""
        with self._lock:
            self._trainer = None

    def ask(self, wish: Wish) -> None:
        """Pass a wish on, unless a stronger one, or the same, is being carried out."""
        with self._lock:
            if self.wish is not None and _STRENGTH[wish] <= _STRENGTH[self.wish]:
                return
            self.wish = wish
            if wish == "lost":
                self.lost.set()
            now = self._clock()
            if wish in ("lost", "stalled"):
                self._deadline, self._termed_at = now, now - TERM_SECONDS  # no grace, and again at each tick
                self._kill()
                return
            self._deadline, self._termed_at = now + getattr(self.graces, wish), None
            if self._trainer is not None:
                self._trainer.send(_MESSAGES[wish])

    def heard(self) -> None:
        """The trainer has reported something: it is not stalled."""
        self._heard_at = self._clock()

    def expect_exit(self) -> None:
        """The trainer has reported its end: it must be gone soon."""
        with self._lock:
            soon = self._clock() + EXIT_SECONDS
            self._deadline = soon if self._deadline is None else min(self._deadline, soon)

    def tick(self) -> None:
        """Look at the drain flag, the time since the last report, and the deadline."""
        with self._lock:
            now = self._clock()
            if self._draining():
                self.ask("drain")
            if self._trainer is None:
                return
            if now - self._heard_at > self.graces.stall:
                self.ask("stalled")
            if self._deadline is None or now < self._deadline:
                return
            if self._termed_at is None:
                self._termed_at = now
                self.killed = True
                self._trainer.signal_group(signal.SIGTERM)
            elif now - self._termed_at >= TERM_SECONDS:
                self._kill()

    def run(self) -> None:
        """Tick until `stop`: the body of a thread."""
        while not self._over.wait(TICK_SECONDS):
            self.tick()

    def stop(self) -> None:
        """End `run`."""
        self._over.set()

    def _kill(self) -> None:
        if self._trainer is not None:
            self.killed = True
            self._trainer.signal_group(signal.SIGKILL)
