"""One POST to one pinned address: no redirects, no proxies, bounded in time and bytes.

httpcore follows no redirect and reads no environment. What it is given here is a way into the network that
connects to the addresses that were checked, whatever the URL says, while `Host` and the name in the TLS
handshake stay those of the URL; and one deadline for everything, which a slow drip of bytes cannot move.
"""

import ssl
import time
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Any

import httpcore

from app.core.clock import utc_now
from app.webhooks.addresses import Resolver, Target, UrlRefused, addresses_of

DEADLINE_SECONDS = 5.0
MAX_ANSWER_BYTES = 64 << 10
_PIECE_BYTES = 4096
_LONGEST_DATE = 64


@dataclass(frozen=True)
class Outcome:
    """What became of one try. `error` never holds anything that the other side sent."""

    status: int | None
    error: str | None
    duration_ms: int
    retry_after_seconds: float | None = None
    """How long the endpoint asked to be left in peace."""

    @property
    def delivered(self) -> bool:
        """True for an answer 200 to 299."""
        return self.error is None


class _AnswerTooLong(httpcore.ReadError):
    pass


class _Deadline:
    def __init__(self, seconds: float) -> None:
        self._at = time.monotonic() + seconds

    def left(self) -> float:
        """Return the seconds left, more than none; raise ConnectTimeout when there are none."""
        seconds = self._at - time.monotonic()
        if seconds <= 0:
            raise httpcore.ConnectTimeout
        return seconds


class _PinnedStream(httpcore.NetworkStream):
    def __init__(self, stream: httpcore.NetworkStream, deadline: _Deadline) -> None:
        self._stream = stream
        self._deadline = deadline
        self._left_bytes = MAX_ANSWER_BYTES

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        if self._left_bytes <= 0:
            raise _AnswerTooLong
        data = self._stream.read(min(max_bytes, self._left_bytes), self._deadline.left())
        self._left_bytes -= len(data)
        return data

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        # In small pieces: the library's loop gives each `send` the whole time anew.
        for start in range(0, len(buffer), _PIECE_BYTES):
            self._stream.write(buffer[start : start + _PIECE_BYTES], self._deadline.left())

    def close(self) -> None:
        self._stream.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        secured = self._stream.start_tls(ssl_context, server_hostname, self._deadline.left())
        return _PinnedStream(secured, self._deadline)

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)


class _PinnedBackend(httpcore.NetworkBackend):
    def __init__(self, addresses: list[str], deadline: _Deadline) -> None:
        self._addresses = addresses
        self._deadline = deadline
        self._backend = httpcore.SyncBackend()

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.NetworkStream:
        problem: Exception = httpcore.ConnectError()
        for address in self._addresses:
            try:
                stream = self._backend.connect_tcp(address, port, self._deadline.left(), None, socket_options)
            except httpcore.ConnectError as error:
                problem = error
            else:
                return _PinnedStream(stream, self._deadline)
        raise problem


def send(
    target: Target,
    headers: dict[str, str],
    body: bytes,
    *,
    resolver: Resolver,
    tls: ssl.SSLContext,
    deadline_seconds: float = DEADLINE_SECONDS,
) -> Outcome:
    """POST `body`; never raise for what the other side does."""
    began = time.monotonic()
    status: int | None = None
    error: str | None = None
    retry_after: float | None = None
    try:
        deadline = _Deadline(deadline_seconds)
        addresses = addresses_of(target, resolver, deadline.left())
        status, asked = _post(target, headers, body, addresses, deadline, tls)
        if not 200 <= status < 300:
            moved = ": redirects are not followed" if 300 <= status < 400 else ""
            error = f"the endpoint answered {status}{moved}"
            retry_after = parse_retry_after(asked)
    except UrlRefused as refused:
        error = str(refused)
    except (httpcore.TimeoutException, httpcore.NetworkError, httpcore.ProtocolError, OSError) as problem:
        error = _reason(problem, deadline_seconds)
    return Outcome(status, error, round((time.monotonic() - began) * 1000), retry_after)


def parse_retry_after(value: bytes | None) -> float | None:
    """Return the seconds that `Retry-After` names, as a number or as a date (RFC 9110 §10.2.3); None for neither."""
    if value is None or len(value) > _LONGEST_DATE:
        return None
    text = value.decode("ascii", "replace").strip()
    if text.isascii() and text.isdigit():
        return float(text)
    try:
        until = parsedate_to_datetime(text)
    except (ValueError, OverflowError):
        return None
    until = until if until.tzinfo is not None else until.replace(tzinfo=UTC)
    return max(0.0, (until - utc_now()).total_seconds())


def _post(
    target: Target, headers: dict[str, str], body: bytes, addresses: list[str], deadline: _Deadline, tls: ssl.SSLContext
) -> tuple[int, bytes | None]:
    url = httpcore.URL(
        scheme=target.scheme.encode(), host=target.host.encode(), port=target.port, target=target.path.encode()
    )
    sent = {"Host": host_header(target), "Content-Length": str(len(body)), "Connection": "close", **headers}
    backend = _PinnedBackend(addresses, deadline)
    with (
        httpcore.ConnectionPool(ssl_context=tls, network_backend=backend, retries=0) as pool,
        pool.stream("POST", url, headers=list(sent.items()), content=body) as answer,
    ):
        # The status and when to come again are all that count; the rest of the answer is neither read nor kept.
        asked = next((value for name, value in answer.headers if name.lower() == b"retry-after"), None)
        return answer.status, asked


def host_header(target: Target) -> str:
    """Return `Host` as RFC 9110 §7.2 has it."""
    host = f"[{target.host}]" if ":" in target.host else target.host
    usual = 443 if target.scheme == "https" else 80
    return host if target.port == usual else f"{host}:{target.port}"


def _reason(problem: Exception, deadline_seconds: float) -> str:
    """Say what went wrong in our words: the library's would quote what the other side sent."""
    if isinstance(problem, httpcore.TimeoutException | TimeoutError):
        return f"no answer within {deadline_seconds:g} s"
    if isinstance(problem, _AnswerTooLong):
        return f"the answer's head is larger than {MAX_ANSWER_BYTES} bytes"
    cause = problem.__cause__ or problem.__context__ or problem
    if isinstance(cause, ssl.SSLCertVerificationError):
        return f"TLS: {cause.verify_message}"
    if isinstance(cause, ssl.SSLError):
        return "TLS: the handshake failed"
    if isinstance(problem, httpcore.ConnectError):
        return "no connection"
    if isinstance(problem, httpcore.ProtocolError):
        return "the answer is not HTTP"
    return "the connection broke off"
