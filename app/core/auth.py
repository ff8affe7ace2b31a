"""API keys: kept as SHA-256 in a file, shown once, compared in constant time (API.md §1)."""

import hashlib
import hmac
import ipaddress
import secrets
import string
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from app.core.errors import Unauthorized
from app.core.settings import Settings

DEFAULT_PROJECT = "default"
_ALPHABET = string.ascii_letters + string.digits
_RELOAD_SECONDS = 1.0  # a revoked key is refused within this time
_NAME_CHARS = frozenset(string.ascii_lowercase + string.digits + "-_.")


def new_key() -> str:
    """Return a fresh key: 43 characters of base 62 hold 256 random bits."""
    return "ty_" + "".join(secrets.choice(_ALPHABET) for _ in range(43))


def key_line(name: str, key: str) -> str:
    """Return the line of the keys file for `key`; ValueError when the name is not fit."""
    if not name or len(name) > 63 or not set(name) <= _NAME_CHARS:
        raise ValueError("a key's name has 1 to 63 of a-z, 0-9, '-', '_' and '.'")
    return f"{name}:{hashlib.sha256(key.encode()).hexdigest()}"


@dataclass(frozen=True)
class Key:
    """A key as the file knows it."""

    name: str
    sha256: str


@dataclass(frozen=True)
class Caller:
    """Who sends a request: the project it works in, and the name of its key, "" where no key is asked for."""

    project: str
    key: str


def read_keys(path: Path) -> list[Key]:
    """Read `name:sha256` lines, `#` comments apart; ValueError names a line that is neither."""
    keys = []
    for number, line in enumerate(path.read_text("utf-8").splitlines(), 1):
        text = line.strip()
        if not text or text.startswith("#"):
            continue
        name, _, digest = text.partition(":")
        if not name or len(digest) != 64 or not set(digest) <= set(string.hexdigits):
            raise ValueError(f"line {number} of the keys file is not name:sha256")
        keys.append(Key(name, digest.lower()))
    return keys


def is_loopback(host: str) -> bool:
    """Tell whether `host` can only be reached from this machine."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


class Authenticator:
    """Checks the `Authorization` header against the keys file, which is read again when it changes."""

    def __init__(self, settings: Settings) -> None:
        self._path = settings.api_keys_file
        self._keys: list[Key] = []
        self._stamp: tuple[int, int] | None = None
        self._checked_at = -_RELOAD_SECONDS
        if self._path is None and not is_loopback(settings.host):
            raise ValueError(
                f"without keys the service listens on a loopback address only, not on {settings.host}; "
                "make a key with `trainyard key create NAME` and set TRAINYARD_API_KEYS_FILE"
            )
        if self._path is not None:
            self._reload()

    @property
    def is_open(self) -> bool:
        """True when no key is asked for."""
        return self._path is None

    def check(self, headers: Iterable[tuple[bytes, bytes]]) -> str:
        """Return the caller's project; raise Unauthorized without a hint of what was wrong."""
        return self.identify(headers).project

    def identify(self, headers: Iterable[tuple[bytes, bytes]]) -> Caller:
        """Return who calls; raise Unauthorized without a hint of what was wrong."""
        if self._path is None:
            return Caller(DEFAULT_PROJECT, "")
        self._reload()
        given = next((value for name, value in headers if name == b"authorization"), b"")
        scheme, _, key = given.partition(b" ")
        digest = hashlib.sha256(key.strip()).hexdigest()
        # Every key is compared, so that the time tells nothing of which one came near.
        matches = [hmac.compare_digest(digest, known.sha256) for known in self._keys]
        if scheme.lower() != b"bearer" or not any(matches):
            raise Unauthorized("Send a valid key as Authorization: Bearer <key>.")
        return Caller(DEFAULT_PROJECT, self._keys[matches.index(True)].name)

    def _reload(self) -> None:
        if self._path is None or time.monotonic() - self._checked_at < _RELOAD_SECONDS:
            return
        self._checked_at = time.monotonic()
        status = self._path.stat()
        stamp = (status.st_mtime_ns, status.st_size)
        if stamp != self._stamp:
            self._keys, self._stamp = read_keys(self._path), stamp
