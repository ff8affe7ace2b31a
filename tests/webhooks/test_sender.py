"""One POST against real servers: pinned, never redirected, bounded in time and bytes, nothing echoed."""

import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from app.webhooks.addresses import Allowed, Target, parse_url
from app.webhooks.sender import MAX_ANSWER_BYTES, Outcome, host_header, parse_retry_after, send
from tests.servers import free_port
from tests.webhooks.receiver import Receiver, make_certificate, raw_server, running_receiver

HOST = "hooks.test"
TLS = httpx.create_ssl_context()
HEADERS = {"webhook-id": "msg_1", "Content-Type": "application/json"}


class Resolver:
    """Answers one list of addresses after another, the last for ever."""

    def __init__(self, *answers: list[str]) -> None:
        self._answers = list(answers)
        self.asked: list[tuple[str, int]] = []

    def __call__(self, host: str, port: int) -> list[str]:
        self.asked.append((host, port))
        return self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with running_receiver() as running:
        yield running


def target_of(port: int, scheme: str = "http") -> Target:
    return parse_url(f"{scheme}://{HOST}:{port}/in?x=1", Allowed.parse(f"{HOST}:{port}"))


def post(target: Target, resolver: Resolver | None = None, *, seconds: float = 5.0) -> Outcome:
    here = resolver or Resolver(["127.0.0.1"])
    return send(target, HEADERS, b'{"a": 1}', resolver=here, tls=TLS, deadline_seconds=seconds)


def test_the_request_is_as_it_should_be(receiver: Receiver) -> None:
    outcome = post(target_of(receiver.port))
    assert (outcome.status, outcome.error, outcome.delivered) == (204, None, True)
    (got,) = receiver.requests
    assert (got.path, got.body) == ("/in?x=1", b'{"a": 1}')
    assert got.headers["host"] == f"{HOST}:{receiver.port}"
    assert got.headers["webhook-id"] == "msg_1"
    assert got.headers["content-length"] == "8"
    assert "transfer-encoding" not in got.headers


def test_host_is_written_as_rfc_9110_has_it() -> None:
    assert host_header(parse_url("https://a.example.com/", Allowed())) == "a.example.com"
    assert host_header(parse_url("https://[2606:4700::1111]/", Allowed())) == "[2606:4700::1111]"
    assert host_header(parse_url("http://[::1]:81/", Allowed.parse("loopback"))) == "[::1]:81"


@pytest.mark.parametrize("status", [200, 201, 202, 299])
def test_any_2xx_is_a_delivery(receiver: Receiver, status: int) -> None:
    receiver.answers.append((status, {}))
    assert post(target_of(receiver.port)).delivered


@pytest.mark.parametrize("status", [400, 404, 410, 429, 500, 503])
def test_no_other_status_is(receiver: Receiver, status: int) -> None:
    receiver.answers.append((status, {"X-Secret": "inside"}))
    outcome = post(target_of(receiver.port))
    assert (outcome.status, outcome.error, outcome.delivered) == (status, f"the endpoint answered {status}", False)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_not_followed(receiver: Receiver, status: int) -> None:
    with running_receiver() as inside:
        for location in ("http://169.254.169.254/latest/meta-data/", f"http://127.0.0.1:{inside.port}/", "/elsewhere"):
            receiver.answers.append((status, {"Location": location}))
            resolver = Resolver(["127.0.0.1"])
            outcome = post(target_of(receiver.port), resolver)
            assert outcome.status == status
            assert outcome.error == f"the endpoint answered {status}: redirects are not followed"
            assert len(resolver.asked) == 1
        assert inside.requests == []
    assert [request.path for request in receiver.requests] == ["/in?x=1"] * 3


def test_the_name_is_resolved_once_and_the_connection_goes_to_what_was_checked(receiver: Receiver) -> None:
    resolver = Resolver(["127.0.0.1"], ["127.0.0.2"])  # nobody listens on the second
    assert post(target_of(receiver.port), resolver).delivered
    assert resolver.asked == [(HOST, receiver.port)]


def test_a_public_name_that_is_bound_anew_to_this_machine_is_not_connected_to(receiver: Receiver) -> None:
    public = Target("http", "rebind.example.com", receiver.port, "/", "public")
    for addresses in (["127.0.0.1"], ["8.8.8.8", "127.0.0.1"], ["::ffff:127.0.0.1"], ["10.0.0.1"]):
        outcome = post(public, Resolver(addresses))
        assert outcome == Outcome(None, "the host resolves to an address that is not allowed", outcome.duration_ms)
    assert receiver.requests == []


def test_the_next_address_is_tried_where_one_refuses(receiver: Receiver) -> None:
    assert post(target_of(receiver.port), Resolver(["127.0.0.2", "127.0.0.1"])).delivered


def test_proxies_of_the_environment_are_not_used(receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    assert post(target_of(receiver.port)).delivered
    assert receiver.requests[0].path == "/in?x=1"


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_certificate(tmp_path_factory.mktemp("tls"), HOST)


class TestTls:
    def trusting(self, certificate: Path) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=str(certificate))

    def test_the_name_of_the_url_is_asked_for_and_checked_though_an_address_is_connected_to(
        self, certificate: Path
    ) -> None:
        with running_receiver(certificate) as receiver:
            outcome = send(
                target_of(receiver.port, "https"), HEADERS, b"{}",
                resolver=Resolver(["127.0.0.1"]), tls=self.trusting(certificate),
            )  # fmt: skip
            assert (outcome.status, outcome.error) == (204, None)
            assert receiver.names == [HOST]
            assert receiver.requests[0].headers["host"] == f"{HOST}:{receiver.port}"

    def test_a_certificate_of_another_name_is_refused(self, certificate: Path) -> None:
        with running_receiver(certificate) as receiver:
            other = Target("https", "other.test", receiver.port, "/", "listed")
            outcome = send(
                other, HEADERS, b"{}", resolver=Resolver(["127.0.0.1"]), tls=self.trusting(certificate)
            )  # fmt: skip
            assert outcome.status is None
            assert "other.test" in str(outcome.error)
            assert receiver.requests == []

    def test_an_unknown_authority_is_refused(self, certificate: Path) -> None:
        with running_receiver(certificate) as receiver:
            outcome = post(target_of(receiver.port, "https"))
            assert outcome.error is not None
            assert outcome.error.startswith("TLS: self")
            assert receiver.requests == []

    def test_what_is_no_tls_is_said_to_be_none(self, receiver: Receiver) -> None:
        assert post(target_of(receiver.port, "https")).error == "TLS: the handshake failed"
        assert receiver.requests == []


def drip(first: bytes, then: bytes, pause_seconds: float) -> Callable[[socket.socket, threading.Event], None]:
    def talk(connection: socket.socket, over: threading.Event) -> None:
        connection.recv(65536)
        connection.sendall(first)
        while not over.wait(pause_seconds):
            connection.sendall(then)

    return talk


@pytest.mark.parametrize(
    ("first", "then"),
    [
        (b"", b""),
        (b"HTTP/1.1 200 OK\r\n", b"X"),
        (b"HTTP/1.1 200 OK\r\n", b"X-A: b\r\n"),
        (b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
    ],
    ids=["silence", "a byte at a time", "a header at a time", "interim answers"],
)
def test_the_deadline_is_for_the_whole_and_not_moved_by_what_comes(first: bytes, then: bytes) -> None:
    with raw_server(drip(first, then, 0.02)) as port:
        began = time.monotonic()
        outcome = post(target_of(port), seconds=0.4)
    assert (outcome.status, outcome.error) == (None, "no answer within 0.4 s")
    assert time.monotonic() - began < 3
    assert 350 <= outcome.duration_ms < 3000


def test_a_resolver_that_hangs_takes_no_more_than_the_deadline(receiver: Receiver) -> None:
    gate = threading.Event()

    def hangs(_host: str, _port: int) -> list[str]:
        gate.wait(10)
        return ["127.0.0.1"]

    outcome = send(target_of(receiver.port), HEADERS, b"{}", resolver=hangs, tls=TLS, deadline_seconds=0.1)
    gate.set()
    assert outcome.error == "the host's name was not resolved in time"
    assert receiver.requests == []


def test_an_endless_head_is_cut_off() -> None:
    sent = [0]

    def flood(connection: socket.socket, over: threading.Event) -> None:
        connection.recv(65536)
        connection.sendall(b"HTTP/1.1 200 OK\r\n")
        while not over.is_set():
            sent[0] += connection.send(b"X-Filler: " + b"a" * 1000 + b"\r\n")

    with raw_server(flood) as port:
        outcome = post(target_of(port))
    assert outcome.error == f"the answer's head is larger than {MAX_ANSWER_BYTES} bytes"
    assert outcome.duration_ms < 3000


def test_an_endless_body_is_not_read() -> None:
    def flood(connection: socket.socket, over: threading.Event) -> None:
        connection.recv(65536)
        connection.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        while not over.is_set():
            connection.sendall(b"400\r\n" + b"a" * 1024 + b"\r\n")

    with raw_server(flood) as port:
        outcome = post(target_of(port))
    assert (outcome.status, outcome.error) == (200, None)
    assert outcome.duration_ms < 3000


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (b"SSH-2.0-OpenSSH_9.6 inside\r\n", "the answer is not HTTP"),
        (b"-ERR unknown command 'inside'\r\n", "the answer is not HTTP"),
        (b"HTTP/1.1 200 OK\r\nno colon inside\r\n\r\n", "the answer is not HTTP"),
        (b"HTTP/1.1 999999 inside\r\n\r\n", "the answer is not HTTP"),
        (b"", "the answer is not HTTP"),
    ],
)
def test_what_the_other_side_sends_is_never_in_the_error(answer: bytes, error: str) -> None:
    def talk(connection: socket.socket, _over: threading.Event) -> None:
        connection.recv(65536)
        connection.sendall(answer)

    with raw_server(talk) as port:
        outcome = post(target_of(port))
    assert (outcome.status, outcome.error) == (None, error)


def test_nobody_there() -> None:
    outcome = post(target_of(free_port()))
    assert (outcome.status, outcome.error) == (None, "no connection")


@pytest.mark.parametrize(
    ("sent", "seconds"),
    [
        (b"120", 120.0),
        (b" 7 ", 7.0),
        (b"Sun, 06 Nov 1994 08:49:37 GMT", 0.0),
        (b"-5", None),
        (b"1.5", None),
        (b"", None),
        (b"\xff\xfe", None),
        (b"9" * 65, None),
        (b"Wed, 01 Jan 99999999999 00:00:00 GMT", None),
        (None, None),
    ],
)
def test_retry_after_is_a_number_or_a_date(sent: bytes | None, seconds: float | None) -> None:
    assert parse_retry_after(sent) == seconds
