"""uvicorn's HTTP protocol with one system call an answer instead of two, and one timer a connection.

uvicorn writes an answer's head and its body one after the other, and uvloop hands each to the kernel at once:
two system calls and two packets, a sixth of what a small answer costs (5 of 27 µs, measured). Here the first
write of a turn of the event loop waits for the next one, at most until the turn ends.

uvicorn also starts a keep-alive timer after every answer and cancels it at the next request (1 µs). Here a
connection has one timer, which looks how long the connection has been idle when it ends.
"""

import asyncio
import weakref
from collections.abc import Callable
from typing import Any, cast

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

# Joining copies; from this size on a second system call is cheaper.
_JOINED_BYTES = 64 << 10


class Turn:
    """Flushes, when a turn of the event loop ends, every transport that began to hold something in it."""

    def __init__(self, call_soon: Callable[[Callable[[], None]], object]) -> None:
        self._call_soon = call_soon
        self._holding: list[GatheringTransport] = []

    def add(self, transport: "GatheringTransport") -> None:
        """Flush `transport` at the end of this turn; one callback serves all that are added in it."""
        if not self._holding:
            self._call_soon(self._end)
        self._holding.append(transport)

    def _end(self) -> None:
        holding, self._holding = self._holding, []
        for transport in holding:
            transport.flush()


class GatheringTransport:
    """A transport that joins two writes in a row; everything else goes straight to the one it wraps."""

    def __init__(self, transport: asyncio.Transport, turn: Turn) -> None:
        self._transport = transport
        self._turn = turn
        self._held: bytes | None = None
        # What uvicorn asks at every request, without the detour over __getattr__ (1 µs).
        self.is_closing = transport.is_closing
        self.pause_reading = transport.pause_reading
        self.resume_reading = transport.resume_reading

    def write(self, data: bytes) -> None:
        """Write `data`, with what is held before it; hold it when nothing is."""
        held = self._held
        if held is None:
            self._held = data
            self._turn.add(self)
            return
        self._held = None
        if len(data) < _JOINED_BYTES:
            self._transport.write(held + data)
        else:
            self._transport.write(held)
            self._transport.write(data)

    def flush(self) -> None:
        """Write what is held."""
        held, self._held = self._held, None
        if held is not None:
            self._transport.write(held)

    def close(self) -> None:
        """Close after what is held has been written."""
        self.flush()
        self._transport.close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)


_turns: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, Turn] = weakref.WeakKeyDictionary()


class OneWriteProtocol(HttpToolsProtocol):
    """For `uvicorn.Config(http=…)`."""

    _idle_timer: asyncio.TimerHandle | None = None
    _idle_since = 0.0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Take over a connection."""
        turn = _turns.get(self.loop)
        if turn is None:
            turn = _turns[self.loop] = Turn(self.loop.call_soon)
        super().connection_made(cast("asyncio.Transport", GatheringTransport(transport, turn)))

    def connection_lost(self, exc: Exception | None) -> None:
        """Let go of a connection."""
        if self._idle_timer is not None:
            self._idle_timer.cancel()
        super().connection_lost(exc)

    def on_response_complete(self) -> None:
        """Note since when the connection has been idle, unless a further request waits on it."""
        if self.pipeline or self.transport.is_closing():
            super().on_response_complete()
            return
        self.server_state.total_requests += 1
        self.flow.resume_reading()
        self._idle_since = self.loop.time()
        if self._idle_timer is None:
            self._idle_timer = self.loop.call_later(self.timeout_keep_alive, self._look_whether_idle)

    def _look_whether_idle(self) -> None:
        self._idle_timer = None
        if self.cycle is not None and not self.cycle.response_complete:
            return  # busy: its answer starts the timer again
        left = self._idle_since + self.timeout_keep_alive - self.loop.time()
        if left > 0:
            self._idle_timer = self.loop.call_later(left, self._look_whether_idle)
        else:
            self.timeout_keep_alive_handler()
