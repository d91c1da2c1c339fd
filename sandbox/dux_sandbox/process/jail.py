"""What a rule's process gives up before it sees a line of generated code.

Each layer is used where the system has it. A child locks itself in after the fork
and before the source is read; nothing can be unlocked again.
"""

from __future__ import annotations

import ctypes
import os
import platform
import resource
import struct
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

_CLONE_NEWUSER = 0x10000000
_CLONE_NEWNET = 0x40000000
_CLONE_NEWIPC = 0x08000000
_CLONE_NEWUTS = 0x04000000
_PR_SET_PDEATHSIG = 1
_PR_SET_DUMPABLE = 4
_PR_SET_NO_NEW_PRIVS = 38
_LANDLOCK_CREATE_RULESET = 444
_LANDLOCK_RESTRICT_SELF = 446
_LANDLOCK_VERSION_FLAG = 1
_CLONE_THREAD = 0x00010000
_CLONE_VM = 0x00000100
_DESCRIPTORS = 64

# Everything a rule's arithmetic needs: memory, threads of its own, clocks, and the
# sockets and memory it was given. No file, no process, no network, no signal.
_ALLOWED_CALLS = (
    "read write readv writev recvfrom recvmsg sendto sendmsg poll ppoll "
    "select pselect6 close lseek fstat newfstatat fcntl ioctl "
    "mmap munmap mprotect mremap madvise brk mincore "
    "futex futex_waitv sched_yield sched_getaffinity set_robust_list rseq membarrier "
    "clock_gettime clock_getres clock_nanosleep nanosleep gettimeofday time times "
    "rt_sigreturn rt_sigprocmask rt_sigaction sigaltstack restart_syscall "
    "getpid gettid getppid getuid geteuid getgid getegid getrusage getrandom "
    "sysinfo uname getcpu exit exit_group set_tid_address arch_prctl"
).split()


@dataclass(frozen=True)
class Layer:
    """One layer of the jail, as `dux doctor` shows it.

    Attributes:
        name: short stable name, as `Limits(require=...)` takes it.
        active: the layer holds on this system.
        detail: what it does, or why it is missing.
        milliseconds: what it cost to put on, in a fresh child.
    """

    name: str
    active: bool
    detail: str
    milliseconds: float


class LayerMissing(Exception):
    """This system does not have the layer; the message says why."""


def _libc() -> Any:
    return ctypes.CDLL(None, use_errno=True)


def _call(name: str, result: int) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise LayerMissing(f"{name}: {os.strerror(number)}")


def _linux_only() -> None:
    if sys.platform != "linux":
        raise LayerMissing(f"not on {platform.system()}")


def _session() -> None:
    """A session of its own: no terminal, and one group to kill."""
    os.setsid()


def _follow_parent() -> None:
    """Die with the process that made this one."""
    _linux_only()
    parent = os.getppid()
    _call("prctl", _libc().prctl(_PR_SET_PDEATHSIG, 9, 0, 0, 0))
    if os.getppid() != parent:
        os._exit(9)


def _rlimits() -> None:
    """No files, no core dumps; processor time is bounded by deadlines instead."""
    for name, bound in (("RLIMIT_FSIZE", 0), ("RLIMIT_CORE", 0)):
        resource.setrlimit(getattr(resource, name), (bound, bound))
    resource.setrlimit(resource.RLIMIT_NOFILE, (_DESCRIPTORS, _DESCRIPTORS))


def _namespaces() -> None:
    """A user, network, IPC and host name of its own: no interface, no rights."""
    _linux_only()
    flags = _CLONE_NEWUSER | _CLONE_NEWNET | _CLONE_NEWIPC | _CLONE_NEWUTS
    _call("unshare", _libc().unshare(flags))


def _privileges() -> None:
    """No program may ever raise its rights again; no debugger may attach."""
    _linux_only()
    libc = _libc()
    _call("prctl", libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
    _call("prctl", libc.prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0))


def _landlock() -> None:
    """No path of any file system can be opened, made, changed or run."""
    _linux_only()
    libc = _libc()
    version = libc.syscall(_LANDLOCK_CREATE_RULESET, None, 0, _LANDLOCK_VERSION_FLAG)
    if version < 1:
        raise LayerMissing("the kernel has no Landlock")
    bits = {1: 13, 2: 14}.get(version, 15 if version < 5 else 16)
    network = 0b11 if version >= 4 else 0
    scoped = 0b11 if version >= 6 else 0
    rules = struct.pack("=QQQ", (1 << bits) - 1, network, scoped)
    size = 8 if version < 4 else (16 if version < 6 else 24)
    ruleset = libc.syscall(
        _LANDLOCK_CREATE_RULESET, ctypes.c_char_p(rules), ctypes.c_size_t(size), 0
    )
    if ruleset < 0:
        raise LayerMissing(f"landlock: {os.strerror(ctypes.get_errno())}")
    try:
        _call("landlock", libc.syscall(_LANDLOCK_RESTRICT_SELF, ruleset, 0))
    finally:
        os.close(ruleset)


def _seccomp() -> None:
    """Only the system calls of arithmetic; all others fail with EPERM."""
    _linux_only()
    try:
        import pyseccomp as seccomp
    except (ImportError, RuntimeError, OSError) as error:
        raise LayerMissing(f"pyseccomp or libseccomp2: {error}") from None
    import errno

    rules = seccomp.SyscallFilter(defaction=seccomp.ERRNO(errno.EPERM))
    for name in _ALLOWED_CALLS:
        try:
            rules.add_rule(seccomp.ALLOW, name)
        except (OSError, ValueError):
            continue  # not a call of this architecture
    threads = _CLONE_THREAD | _CLONE_VM
    only_threads = seccomp.Arg(0, seccomp.MASKED_EQ, threads, threads)
    rules.add_rule(seccomp.ALLOW, "clone", only_threads)
    # glibc falls back to clone, whose flags can be looked at.
    rules.add_rule(seccomp.ERRNO(errno.ENOSYS), "clone3")
    rules.load()


LAYERS: dict[str, Callable[[], None]] = {
    "session": _session,
    "rlimits": _rlimits,
    "namespaces": _namespaces,
    "no-new-privs": _privileges,
    # After the namespaces: a change of credentials takes the death signal back.
    "parent-death": _follow_parent,
    "landlock": _landlock,
    "seccomp": _seccomp,
}


def lock(memory: int | None = None) -> list[Layer]:
    """Put every layer on this process; for good.

    Args:
        memory: bytes of address space this process may add to what it has.

    Returns:
        What holds now, in the order it was put on.
    """
    with suppress(ImportError, RuntimeError, OSError):
        import pyseccomp  # noqa: F401  (no file can be read once Landlock holds)
    held = []
    for name, put_on in LAYERS.items():
        began = time.perf_counter()
        detail = (put_on.__doc__ or "").splitlines()[0]
        active = True
        if name == "rlimits" and memory is not None:
            bound_memory(memory)
        try:
            put_on()
        except (LayerMissing, OSError, ValueError) as error:
            active, detail = False, str(error)
        held.append(Layer(name, active, detail, (time.perf_counter() - began) * 1e3))
    return held


def bound_memory(extra: int) -> None:
    """Let the address space of this process grow by at most `extra` bytes."""
    bound = address_space() + extra
    try:
        resource.setrlimit(resource.RLIMIT_AS, (bound, bound))
    except (ValueError, OSError):
        # macOS refuses; there the trainer watches the resident size.
        return


def address_space() -> int:
    """Bytes of address space in use, 0 where the system does not tell."""
    try:
        with open("/proc/self/statm") as figures:
            return int(figures.read().split()[0]) * resource.getpagesize()
    except OSError:
        return 0
