"""Child processes that are kept running: tied to this process, in their own group, started again when they end."""

import logging
import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping
from contextlib import suppress

from app.lifeline import tethered

log = logging.getLogger(__name__)

# A child that ends within this time was not up: the next start waits longer.
STEADY_SECONDS = 10.0
MAX_BACKOFF_SECONDS = 10.0
_TICK_SECONDS = 0.02


class KeptChild:
    """A program that is started again whenever it ends, 0.2 s, 0.4 s … 10 s later.

    Call every method from one thread, the main one: the tie of `app.lifeline` is to a thread.
    """

    def __init__(
        self,
        name: str,
        command: list[str],
        *,
        environment: Mapping[str, str] | None = None,
        pass_fds: tuple[int, ...] = (),
        output: int | None = None,
    ) -> None:
        """`output` is the descriptor for its standard output and error; None: those of this process."""
        self.name = name
        self.starts = 0
        self.exit_code: int | None = None
        self._command = command
        self._environment = None if environment is None else dict(environment)
        self._pass_fds = pass_fds
        self._output = output
        self._process: subprocess.Popen[bytes] | None = None
        self._started_at = 0.0
        self._quick_ends = 0
        self._start_at = 0.0

    @property
    def pid(self) -> int | None:
        """Its process id while it runs."""
        return self._process.pid if self._process is not None and self._process.poll() is None else None

    @property
    def quick_ends(self) -> int:
        """How often in a row it ended soon after it was started."""
        return self._quick_ends

    def start(self) -> None:
        """Start it now."""
        self._process = subprocess.Popen(
            tethered(self._command),
            stdin=subprocess.DEVNULL,
            stdout=self._output,
            stderr=self._output,
            env=self._environment,
            pass_fds=self._pass_fds,
            process_group=0,  # Ctrl-C goes to this process alone, which stops its children in order
        )
        self.starts += 1
        self._started_at = time.monotonic()

    def keep(self) -> bool:
        """Start it again where it has ended and its pause is over; return True when it was found ended."""
        if self._process is not None and self._process.poll() is None:
            return False
        now = time.monotonic()
        if self._process is not None:
            self.exit_code = self._process.returncode
            self._process = None
            self._quick_ends = self._quick_ends + 1 if now - self._started_at < STEADY_SECONDS else 0
            pause = min(0.2 * 2**self._quick_ends, MAX_BACKOFF_SECONDS)
            self._start_at = now + pause
            log.warning("a process ended", extra={"child": self.name, "exit_code": self.exit_code, "again_in": pause})
            return True
        if now >= self._start_at:
            self.start()
        return False

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal, if it runs."""
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(number)

    def stop(self, grace_seconds: float, hurried: Callable[[], bool] = lambda: False) -> bool:
        """SIGTERM, then SIGKILL to its group after `grace_seconds`, or as soon as `hurried`.

        Return True when it went by itself.
        """
        if self._process is None:
            return True
        self.signal(signal.SIGTERM)
        until = time.monotonic() + grace_seconds
        while self._process.poll() is None and time.monotonic() < until and not hurried():
            time.sleep(_TICK_SECONDS)
        in_time = self._process.poll() is not None
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._process = None
        return in_time
