"""Locks this process in, for good, before it looks at a stranger's file.

Layers, each of which would do against most of what is known (RELIABILITY figures are those of the corpus of tests):

    rlimits        address space, processor time, file size, open files, no core dump, no further processes
    namespace      a network of its own without any interface, where the kernel allows it
    capabilities   none are left
    Landlock       reads the interpreter, the libraries and its own files; writes one folder; no signals outside
    seccomp        no sockets, no programs, no processes, no mounts, no owners and modes, no other process' memory

Entered in the main thread before any other is started: Landlock and seccomp bind the thread that calls them and what
it starts afterwards.
"""

import ctypes
import os
import resource
import signal
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import landlockpy
import pyseccomp
from landlockpy import AccessFS

import app
import workers
from app.lifeline import die_with_parent

_CLONE_NEWNET = 0x40000000  # linux/sched.h
_CLONE_NEWUSER = 0x10000000
_CLONE_THREAD = 0x00010000
_CAPABILITY_VERSION_3 = 0x20080522  # linux/capability.h
_NICE = 5  # predictions go first, trainers last
_OPEN_FILES = 256
_PROCESSES = 512  # threads count, those of the same user elsewhere too
_EPERM, _EACCES, _ENOSYS = 1, 13, 38

READ = AccessFS.READ_FILE | AccessFS.READ_DIR | AccessFS.EXECUTE
# TensorFlow, OpenBLAS and glibc ask these for the number of cores and the memory.
_SYSTEM = (
    "/lib", "/lib64", "/usr/lib", "/usr/lib64", "/usr/local/lib", "/etc/ld.so.cache", "/usr/share/zoneinfo",
    "/proc/self", "/proc/cpuinfo", "/proc/meminfo", "/proc/stat", "/proc/filesystems", "/sys/devices/system",
    "/dev/urandom", "/dev/random", "/dev/zero",
)  # fmt: skip

_REFUSED_CALLS = (
    # Programs, and the memory of others
    "execve", "execveat", "fork", "vfork", "ptrace", "process_vm_readv", "process_vm_writev", "process_madvise",
    "pidfd_open", "pidfd_getfd", "pidfd_send_signal", "kill", "tkill", "rt_sigqueueinfo", "rt_tgsigqueueinfo", "kcmp",
    # Networks
    "socket", "socketpair", "bind", "connect", "listen", "accept", "accept4",
    # The kernel's less travelled roads
    "io_uring_setup", "io_uring_enter", "io_uring_register", "bpf", "perf_event_open", "userfaultfd", "keyctl",
    "add_key", "request_key", "unshare", "setns", "mount", "umount2", "pivot_root", "chroot", "move_mount", "open_tree",
    "fsopen", "fsconfig", "fsmount", "fspick", "mount_setattr", "name_to_handle_at", "open_by_handle_at", "quotactl",
    "acct", "swapon", "swapoff", "reboot", "kexec_load", "kexec_file_load", "init_module", "finit_module",
    "delete_module", "iopl", "ioperm", "modify_ldt", "personality", "syslog", "lookup_dcookie", "sethostname",
    "setdomainname", "settimeofday", "clock_settime", "clock_adjtime", "adjtimex", "shmget", "shmat", "msgget",
    "semget", "mq_open",
    # What Landlock does not bind: owners, modes, times and attributes of files
    "chmod", "fchmod", "fchmodat", "fchmodat2", "chown", "fchown", "lchown", "fchownat", "setxattr", "lsetxattr",
    "fsetxattr", "removexattr", "lremovexattr", "fremovexattr", "utime", "utimes", "utimensat", "futimesat", "mknod",
    "mknodat", "fanotify_init", "inotify_init", "inotify_init1",
    # Its own limits
    "setrlimit", "setpriority", "sched_setscheduler", "setuid", "setgid", "setreuid", "setregid", "setresuid",
    "setresgid", "setgroups", "capset",
)  # fmt: skip


class SandboxFailed(Exception):
    """The process could not be locked in: nothing of the upload may be opened."""


@dataclass(frozen=True)
class Bounds:
    """What the process may use: bytes of address space, bytes of one file, seconds of processor time."""

    address_bytes: int
    file_bytes: int
    cpu_seconds: int


def enter(parent: int, read: Iterable[Path], write: Path, bounds: Bounds) -> None:
    """Lock this process in: it reads `read` and the libraries, writes below `write`, and dies with `parent`.

    Raises SandboxFailed unless every layer that must hold does; a namespace is taken where it can be had.
    """
    try:
        die_with_parent(parent)
        _limit(bounds)
        _leave_network()
        _drop_capabilities()
        _bind_files(read, write)
        _filter_calls()
    except (OSError, RuntimeError, ValueError) as error:
        raise SandboxFailed(f"{type(error).__name__} {getattr(error, 'errno', '')}".strip()) from error


def _limit(bounds: Bounds) -> None:
    for kind, value in (
        (resource.RLIMIT_AS, bounds.address_bytes),
        (resource.RLIMIT_FSIZE, bounds.file_bytes),
        (resource.RLIMIT_NOFILE, _OPEN_FILES),
        (resource.RLIMIT_NPROC, _PROCESSES),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_MEMLOCK, 0),
        (resource.RLIMIT_CPU, bounds.cpu_seconds),
    ):
        _, hard = resource.getrlimit(kind)
        bound = value if hard == resource.RLIM_INFINITY else min(value, hard)
        resource.setrlimit(kind, (bound, bound))
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # a file that grows too large is an OSError, not an end
    os.nice(_NICE)


def _leave_network() -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    # With a user namespace where the process is nobody special; without both, seccomp alone keeps it off the network.
    if libc.unshare(_CLONE_NEWNET) != 0:
        libc.unshare(_CLONE_NEWUSER | _CLONE_NEWNET)


def _drop_capabilities() -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION_3, 0)
    nothing = (ctypes.c_uint32 * 6)()
    if libc.capset(header, nothing) != 0:
        raise OSError(ctypes.get_errno(), "capset was refused")


def _bind_files(read: Iterable[Path], write: Path) -> None:
    everything = landlockpy.fs_for_abi(landlockpy.abi_version())
    scope = landlockpy.scope_for_abi(landlockpy.abi_version())
    if not everything & AccessFS.TRUNCATE:
        raise OSError(_ENOSYS, "Landlock is missing or too old")
    with landlockpy.Ruleset(scoped=scope) as rules:
        for path in {*map(Path, _SYSTEM), *_code_folders()}:
            _allow(rules, path, READ)
        for path in read:
            _allow(rules, path, AccessFS.READ_FILE | AccessFS.READ_DIR)
        rules.allow_path("/dev/null", AccessFS.READ_FILE | AccessFS.WRITE_FILE)
        written = everything & ~(
            AccessFS.EXECUTE | AccessFS.MAKE_CHAR | AccessFS.MAKE_BLOCK | AccessFS.MAKE_SOCK | AccessFS.MAKE_FIFO
            | AccessFS.MAKE_SYM
        )  # fmt: skip
        rules.allow_path(write, written)
        rules.restrict()


def _allow(rules: landlockpy.Ruleset, path: Path, access: AccessFS) -> None:
    if not path.exists():
        return
    if not path.is_dir():
        access &= ~AccessFS.READ_DIR
    rules.allow_path(path, access)


def _code_folders() -> set[Path]:
    """Return where the interpreter, its libraries and this program lie."""
    own = {Path(str(module.__file__)).resolve().parent for module in (app, workers)}
    found = {Path(sys.prefix), Path(sys.base_prefix), Path(sys.executable).resolve().parent, *own}
    # A system's Python lies in /usr, of which only the libraries are read.
    return {path for path in found if path not in (Path("/"), Path("/usr"), Path("/usr/bin"))}


def _filter_calls() -> None:
    rules = pyseccomp.SyscallFilter(pyseccomp.ALLOW)
    for name in _REFUSED_CALLS:
        _refuse(rules, name, _EPERM)
    # Threads are made, processes not. What clone3 is asked for lies in memory, which a filter cannot read: without it
    # glibc falls back to clone.
    rules.add_rule(pyseccomp.ERRNO(_ENOSYS), "clone3")
    rules.add_rule(pyseccomp.ERRNO(_EPERM), "clone", pyseccomp.Arg(0, pyseccomp.MASKED_EQ, _CLONE_THREAD, 0))
    # `abort` ends the process itself by a signal; no other process gets one.
    rules.add_rule(pyseccomp.ERRNO(_EPERM), "tgkill", pyseccomp.Arg(0, pyseccomp.NE, os.getpid()))
    rules.add_rule(pyseccomp.ERRNO(_EPERM), "prlimit64", pyseccomp.Arg(2, pyseccomp.NE, 0))
    rules.load()


def _refuse(rules: pyseccomp.SyscallFilter, name: str, errno: int) -> None:
    try:
        number = pyseccomp.resolve_syscall(pyseccomp.system_arch(), name)
    except (OSError, ValueError):
        return  # this libseccomp does not know the call, and this kernel's table is as old
    if number >= 0:
        rules.add_rule(pyseccomp.ERRNO(errno), name)
