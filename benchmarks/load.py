"""A load client of raw sockets: what it costs is a fraction of what the server costs, so the server is measured.

`closed_loop`: each connection sends its next request when it has its answer (how many a second?).
`open_loop`: requests at a constant rate, whatever the answers do (how long does one take?).
"""

import select
import socket
import threading
import time
from dataclasses import dataclass


@dataclass
class Load:
    """What a run of requests did: `seconds` of each in order, and how long the run took."""

    seconds: list[float]
    run_seconds: float

    @property
    def per_second(self) -> float:
        """Answers a second."""
        return len(self.seconds) / self.run_seconds

    def quantile(self, share: float) -> float:
        """Return the time within which that share of the requests was answered, seconds."""
        ordered = sorted(self.seconds)
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def make_request(path: str, body: bytes) -> bytes:
    """Return a POST of JSON as bytes."""
    head = (
        f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAccept: */*\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def _connect(port: int) -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", port))
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connection


def _is_whole(answer: bytes) -> bool:
    end = answer.find(b"\r\n\r\n")
    if end < 0:
        return False
    start = answer.find(b"content-length: ") + 16
    return len(answer) >= end + 4 + int(answer[start : answer.find(b"\r", start)])


def closed_loop(port: int, request: bytes, connections: int, seconds: float, end: bytes) -> Load:
    """Keep `connections` requests under way for `seconds`; RuntimeError for an answer that is not a 200.

    An answer is whole when it ends with `end`: cheaper than reading its head, so that the server is what is measured.
    """
    poll = select.epoll()
    sockets, sent, parts = {}, {}, {}
    for _ in range(connections):
        connection = _connect(port)
        connection.setblocking(False)
        poll.register(connection.fileno(), select.EPOLLIN)
        sockets[connection.fileno()] = connection
    started = time.perf_counter()
    for number, connection in sockets.items():
        connection.send(request)
        sent[number] = started
    taken: list[float] = []
    while (now := time.perf_counter()) - started < seconds:
        for number, _ in poll.poll(1.0):
            connection = sockets[number]
            answer = connection.recv(1 << 16)
            if number in parts:
                answer = parts.pop(number) + answer
            if not answer.endswith(end):
                if _is_whole(answer):
                    raise RuntimeError(answer.decode(errors="replace"))
                parts[number] = answer
                continue
            connection.send(request)
            answered = time.perf_counter()
            taken.append(answered - sent[number])
            sent[number] = answered
    for connection in sockets.values():
        connection.close()
    poll.close()
    return Load(taken, now - started)


def open_loop(port: int, request: bytes, per_second: float, seconds: float, stop: threading.Event) -> Load:
    """Send `per_second` requests a second for `seconds`, or until `stop`.

    A request that a late answer held up counts from when it was due; one that this process itself sent late, because
    something else had its core, counts from when it was sent.
    """
    connection = _connect(port)
    taken: list[float] = []
    started = answered = time.perf_counter()
    for index in range(int(per_second * seconds)):
        due = started + index / per_second
        if stop.wait(max(0.0, due - time.perf_counter())):
            break
        begun = due if answered > due else time.perf_counter()
        connection.sendall(request)
        answer = b""
        while not _is_whole(answer):
            answer += connection.recv(1 << 16)
        if not answer.startswith(b"HTTP/1.1 200"):
            raise RuntimeError(answer.decode(errors="replace"))
        answered = time.perf_counter()
        taken.append(answered - begun)
    connection.close()
    return Load(taken, time.perf_counter() - started)
