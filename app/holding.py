"""What a service holds while it runs, and nobody else may have: an address and a data folder."""

import errno
import fcntl
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class StartRefused(Exception):
    """The service cannot start, and the message says why and what to do."""


def listen(host: str, port: int) -> socket.socket:
    """Return a socket that listens there; StartRefused says what is in the way."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        sock = socket.socket(family, kind, protocol)
    except socket.gaierror as error:
        raise StartRefused(f"There is no address {host} (TRAINYARD_HOST).") from error
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(address)
        sock.listen(2048)
    except OSError as error:
        sock.close()
        raise StartRefused(_why_not(error, host, port)) from error
    return sock


def _why_not(error: OSError, host: str, port: int) -> str:
    if error.errno == errno.EADDRINUSE:
        return (
            f"Port {port} on {host} is in use by another program. Choose another with TRAINYARD_PORT "
            "or --port; 0 takes a free one."
        )
    if error.errno == errno.EACCES:
        return f"Port {port} on {host} needs rights that this account has not; choose one above 1023."
    return f"Cannot listen on {host}, port {port}: {error.strerror}."


@contextmanager
def hold_home(home: Path) -> Iterator[None]:
    """Hold the data folder against a second `up`; StartRefused names the process that has it."""
    try:
        home.mkdir(parents=True, exist_ok=True, mode=0o700)
        lock = (home / "up.lock").open("a+", encoding="utf-8")
    except OSError as error:
        raise StartRefused(f"The data folder {home} cannot be used: {error.strerror} (TRAINYARD_HOME).") from error
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            lock.seek(0)
            owner = lock.read().strip() or "?"
            raise StartRefused(
                f"Another `trainyard up` (process {owner}) runs on {home}. Stop it first, "
                "or give this one a folder of its own with TRAINYARD_HOME."
            ) from error
        lock.truncate(0)
        lock.write(f"{os.getpid()}\n")
        lock.flush()
        yield
