"""No process outlives the one that started it.

`tethered(command)` is how every long-lived child is started: a tiny program asks the kernel for
SIGKILL at the parent's death (prctl(2), PR_SET_PDEATHSIG, kept over execve) and then becomes the
command. So a `kill -9` of the topmost process takes the whole tree down, also programs that are
not ours, such as the broker (measured: valkey-server outlives a killed parent otherwise).

The signal comes when the *thread* that started the child ends: start children from the main
thread, or from one that lives as long as the process. Other systems than Linux have no such
signal; there only the pipes of `workers.child` end what was started.
"""

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1  # linux/prctl.h


def die_with_parent(parent_pid: int) -> None:
    """Have this process killed when `parent_pid`, its parent, ends; exit at once where it has ended already."""
    if sys.platform.startswith("linux"):
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0) != 0:
            raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG) was refused")
    if os.getppid() != parent_pid:  # it died before the call: nobody would ever send the signal
        os._exit(1)


def tethered(command: list[str]) -> list[str]:
    """Return the command line that runs `command` (an absolute program first) tied to the calling process."""
    # -I -S: 12 ms of start-up instead of 40; this file needs nothing but the standard library.
    return [sys.executable, "-I", "-S", os.path.abspath(__file__), str(os.getpid()), *command]  # noqa: PTH100


def main(arguments: list[str]) -> None:
    """Become the command in `arguments[1:]`, tied to the process `arguments[0]`."""
    die_with_parent(int(arguments[0]))
    os.execv(arguments[1], arguments[1:])  # noqa: S606  (an argument list, no shell)


if __name__ == "__main__":
    main(sys.argv[1:])
