"""Whether this machine can lock a child in. Without it no uploaded model is opened at all.

Needed: Landlock for files (Linux 6.2, ABI 3: before it, a file may be cut short without the right to write it) and
seccomp with the library that writes its filters. A network namespace comes on top where the kernel allows one.
"""

import sys
from collections.abc import Callable

LEAST_LANDLOCK_ABI = 3


def landlock_abi() -> int:
    """Return the version of Landlock that the running kernel offers, 0 for none."""
    if not sys.platform.startswith("linux"):
        return 0
    import landlockpy

    return int(landlockpy.abi_version())


def seccomp_ready() -> bool:
    """Tell whether system calls can be filtered: pyseccomp finds its library, libseccomp."""
    if not sys.platform.startswith("linux"):
        return False
    try:
        import pyseccomp
    except (ImportError, OSError, RuntimeError):
        return False
    try:
        return bool(pyseccomp.get_api() > 0)
    except OSError:
        return False


def find_lack(landlock: Callable[[], int] = landlock_abi, seccomp: Callable[[], bool] = seccomp_ready) -> str | None:
    """Return what this machine lacks for taking in models from strangers, None when it lacks nothing."""
    if not sys.platform.startswith("linux"):
        return "uploaded models need Linux: nothing here can lock in the process that opens them"
    abi = landlock()
    if abi < LEAST_LANDLOCK_ABI:
        has = f"this kernel has version {abi} of Landlock" if abi else "this kernel offers no Landlock"
        return f"{has}; uploaded models need version {LEAST_LANDLOCK_ABI} (Linux 6.2)"
    if not seccomp():
        return "libseccomp is not installed; uploaded models need it"
    return None
