"""Answers over real sockets: whole, in order, one packet where they are small, and not held back."""

import asyncio
import socket
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import uvicorn

from app.core.one_write import GatheringTransport, OneWriteProtocol, Turn

IDLE_SECONDS = 0.3


class Recorder:
    """Stands for the transport below."""

    def __init__(self) -> None:
        self.calls: list[Any] = []

    def write(self, data: bytes) -> None:
        self.calls.append(data)

    def close(self) -> None:
        self.calls.append("close")

    def is_closing(self) -> bool:
        return False

    def pause_reading(self) -> None:
        self.calls.append("pause")

    def resume_reading(self) -> None:
        self.calls.append("resume")

    def get_extra_info(self, name: str) -> str:
        return name


def gather() -> tuple[Recorder, GatheringTransport, list[Callable[[], None]]]:
    below, soon = Recorder(), []
    return below, GatheringTransport(below, Turn(soon.append)), soon  # type: ignore[arg-type]


def test_head_and_body_are_one_write() -> None:
    below, transport, soon = gather()
    transport.write(b"head")
    assert below.calls == []
    transport.write(b"body")
    assert below.calls == [b"headbody"]
    soon[0]()
    assert below.calls == [b"headbody"]


def test_a_head_alone_goes_when_the_turn_ends() -> None:
    below, transport, soon = gather()
    transport.write(b"head")
    soon[0]()
    assert below.calls == [b"head"]
    transport.write(b"event")
    soon[1]()
    assert below.calls == [b"head", b"event"]


def test_one_callback_serves_a_turn() -> None:
    soon: list[Callable[[], None]] = []
    turn = Turn(soon.append)
    below = [Recorder() for _ in range(3)]
    for number, one in enumerate(below):
        GatheringTransport(one, turn).write(b"%d" % number)  # type: ignore[arg-type]
    assert len(soon) == 1
    soon[0]()
    assert [one.calls for one in below] == [[b"0"], [b"1"], [b"2"]]
    GatheringTransport(below[0], turn).write(b"next")  # type: ignore[arg-type]
    assert len(soon) == 2


def test_nothing_is_lost_at_the_end() -> None:
    below, transport, _ = gather()
    transport.write(b"head")
    transport.close()
    assert below.calls == [b"head", "close"]
    assert transport.is_closing() is False
    assert transport.get_extra_info("peername") == "peername"


def test_large_bodies_are_not_copied() -> None:
    below, transport, _ = gather()
    large = b"x" * 100_000
    transport.write(b"head")
    transport.write(large)
    assert below.calls == [b"head", large]
    assert below.calls[1] is large


def serve(
    app: Callable[..., Awaitable[None]],
    talk: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]],
    keep_alive_seconds: float = 5.0,
) -> None:
    async def body() -> None:
        listener = socket.create_server(("127.0.0.1", 0))
        config = uvicorn.Config(
            app,
            http=OneWriteProtocol,
            log_config=None,
            access_log=False,
            lifespan="off",
            timeout_keep_alive=keep_alive_seconds,  # type: ignore[arg-type]  # seconds, as asyncio counts them
        )
        server = uvicorn.Server(config)
        serving = asyncio.create_task(server.serve(sockets=[listener]))
        reader, writer = await asyncio.open_connection(*listener.getsockname())
        try:
            async with asyncio.timeout(10):
                await talk(reader, writer)
        finally:
            writer.close()
            server.should_exit = True
            await serving

    asyncio.run(body())


async def echo(scope: Any, receive: Any, send: Any) -> None:
    message = await receive()
    body = message["body"]
    headers = [(b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


@pytest.mark.parametrize("size", [0, 1, 1000, 60_000])
def test_requests_of_one_connection(size: int) -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for letter in (b"a", b"b", b"c"):
            writer.write(b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n" % size + letter * size)
            head = await reader.readuntil(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 200")
            assert await reader.readexactly(size) == letter * size

    serve(echo, talk)


def test_pipelined_requests_are_answered_in_order() -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"".join(b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 1\r\n\r\n%d" % n for n in range(5)))
        for number in range(5):
            await reader.readuntil(b"\r\n\r\n")
            assert await reader.readexactly(1) == b"%d" % number

    serve(echo, talk)


def test_the_connection_is_closed_after_the_answer() -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"POST / HTTP/1.0\r\ncontent-length: 2\r\n\r\nok")
        assert (await reader.read()).endswith(b"\r\n\r\nok")

    serve(echo, talk)


def test_a_stream_is_not_held_back() -> None:
    go = asyncio.Event()

    async def stream(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await go.wait()
        go.clear()
        for part in (b"first", b"second"):
            await send({"type": "http.response.body", "body": part, "more_body": True})
            await go.wait()
            go.clear()
        await send({"type": "http.response.body", "body": b""})

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
        await reader.readuntil(b"\r\n\r\n")
        for part in (b"first", b"second"):
            go.set()
            assert await reader.readuntil(part + b"\r\n")
        go.set()
        await reader.readuntil(b"0\r\n\r\n")

    serve(stream, talk)


def test_an_idle_connection_is_closed_and_a_used_one_kept() -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        loop = asyncio.get_running_loop()
        started = loop.time()
        while loop.time() - started < 3 * IDLE_SECONDS:
            writer.write(b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 1\r\n\r\na")
            await reader.readuntil(b"\r\n\r\na")
        last = loop.time()
        assert await reader.read() == b""
        assert loop.time() - last >= 0.5 * IDLE_SECONDS

    serve(echo, talk, keep_alive_seconds=IDLE_SECONDS)


def test_a_long_answer_is_not_idle() -> None:
    async def slow(scope: Any, receive: Any, send: Any) -> None:
        go = asyncio.Event()
        asyncio.get_running_loop().call_later(3 * IDLE_SECONDS if scope["path"] == "/slow" else 0.0, go.set)
        await go.wait()
        await echo(scope, receive, send)

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for path in (b"/", b"/slow", b"/"):
            writer.write(b"POST %b HTTP/1.1\r\nhost: x\r\ncontent-length: 1\r\n\r\na" % path)
            await reader.readuntil(b"\r\n\r\na")

    serve(slow, talk, keep_alive_seconds=IDLE_SECONDS)
