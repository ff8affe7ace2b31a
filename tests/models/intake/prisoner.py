"""A locked-in process that tries what it may not: `python prisoner.py ATTEMPT OWN_FILE OUTPUT SECRET`.

Prints `refused` for an attempt that the system stopped, `done` for one that it let pass, and ends with status 70 where
it was not locked in.
"""

import ctypes
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

from app.models.intake.child import NOT_LOCKED_IN
from workers.intake.sandbox import Bounds, SandboxFailed, enter

ATTEMPT, OWN, OUTPUT, SECRET = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]), Path(sys.argv[4])


def read_own() -> None:
    assert OWN.read_text() == "own"


def write_own() -> None:
    (OUTPUT / "made").mkdir()
    (OUTPUT / "made" / "file").write_text("x")
    (OUTPUT / "made" / "file").rename(OUTPUT / "moved")


def fork_bomb() -> None:
    while os.fork() >= 0:
        pass


def thread_bomb() -> None:
    over = threading.Event()
    for _ in range(20_000):
        threading.Thread(target=over.wait, daemon=True).start()


def eat_memory() -> None:
    kept = []
    while True:
        kept.append(bytearray(64 << 20))


def burn_time() -> None:
    while True:
        pass


def fill_disk() -> None:
    with (OUTPUT / "large").open("wb") as sink:
        while True:
            sink.write(bytes(1 << 20))
            sink.flush()


def raw_socket_call() -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.socket(socket.AF_INET, socket.SOCK_STREAM, 0) < 0:
        raise OSError(ctypes.get_errno(), "socket")


def raw_fork_call() -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    pid = libc.fork()
    if pid < 0:
        raise OSError(ctypes.get_errno(), "fork")
    if pid == 0:
        os._exit(0)


def link_to_secret() -> None:
    (OUTPUT / "link").symlink_to(SECRET)
    (OUTPUT / "link").read_text()


def hard_link_to_secret() -> None:
    (OUTPUT / "link").hardlink_to(SECRET)
    (OUTPUT / "link").read_text()


def raise_limits() -> None:
    import resource

    resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))


def enter_again() -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(0x10000000) != 0:
        raise OSError(ctypes.get_errno(), "unshare")


ATTEMPTS: dict[str, Callable[[], object]] = {
    "read own file": read_own,
    "write own folder": write_own,
    "read secret": SECRET.read_text,
    "read passwd": Path("/etc/passwd").read_text,
    "list root": lambda: list(Path("/").iterdir()),
    "list home": lambda: list(SECRET.parent.iterdir()),
    "read parent's environment": lambda: Path(f"/proc/{os.getppid()}/environ").read_bytes(),
    "read parent's memory": lambda: os.open(f"/proc/{os.getppid()}/mem", os.O_RDONLY),
    "write secret": lambda: SECRET.write_text("x"),
    "cut secret": lambda: os.truncate(SECRET, 0),
    "remove secret": SECRET.unlink,
    "write own file": lambda: OWN.write_text("x"),
    "write elsewhere": lambda: (SECRET.parent / "new").write_text("x"),
    "change mode of secret": lambda: SECRET.chmod(0o777),
    "link to secret": link_to_secret,
    "hard link to secret": hard_link_to_secret,
    "socket": socket.socket,
    "unix socket": lambda: socket.socket(socket.AF_UNIX),
    "socket pair": socket.socketpair,
    "socket by libc": raw_socket_call,
    "program": lambda: subprocess.run(["/bin/true"], check=True),
    "program in place": lambda: os.execv("/bin/true", ["true"]),
    "fork": os.fork,
    "fork by libc": raw_fork_call,
    "fork bomb": fork_bomb,
    "kill parent": lambda: os.kill(os.getppid(), 15),
    "kill all": lambda: os.kill(-1, 15),
    "raise limits": raise_limits,
    "new namespace": enter_again,
    "become another": lambda: os.setuid(12345),
    "thread bomb": thread_bomb,
    "eat memory": eat_memory,
    "burn time": burn_time,
    "fill disk": fill_disk,
}


def main() -> int:
    try:
        enter(os.getppid(), [OWN], OUTPUT, Bounds(1 << 30, 8 << 20, 2))
    except SandboxFailed:
        return NOT_LOCKED_IN
    try:
        ATTEMPTS[ATTEMPT]()
    except (OSError, RuntimeError, ValueError, MemoryError) as error:
        print("refused", type(error).__name__)
        return 0
    print("done")
    return 0


if __name__ == "__main__":
    sys.stdout.reconfigure(line_buffering=True)
    code = main()
    sys.stdout.flush()
    os._exit(code)
