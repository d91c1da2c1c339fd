"""What a rule's process gives up before it sees a line of generated code.

Each layer is used where the system has it. A child locks itself in after the fork
and before the source is read; nothing can be unlocked again.
"""

import ctypes
import os
import platform
import resource
import socket
import struct
import sys
import time
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import suppress
from dataclasses import astuple, dataclass
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
_DESCRIPTORS = 64
_HOST_NAME = b"jail"

# Everything a rule's arithmetic needs: memory, clocks, and the socket and memory it
# was given. No path, no process, no new thread, no network, no signal; and none of
# the calls whose argument says what is done (ioctl, prctl), but for two of fcntl's.
_ALLOWED_CALLS = (
    "read write readv writev recvfrom recvmsg sendto sendmsg poll ppoll "
    "select pselect6 close lseek fstat "
    "mmap munmap mprotect mremap madvise brk "
    "futex futex_waitv sched_yield sched_getaffinity rseq membarrier "
    "clock_gettime clock_getres clock_nanosleep nanosleep gettimeofday time times "
    "rt_sigreturn rt_sigprocmask rt_sigaction sigaltstack restart_syscall "
    "getpid gettid getuid geteuid getgid getegid getrusage getrandom "
    "getcpu exit exit_group"
).split()
_ASKED_OF_FCNTL = (1, 3)  # F_GETFD, F_GETFL: what a descriptor is, and nothing more


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
    _call("prctl", _libc().prctl(_PR_SET_PDEATHSIG, 9, 0, 0, 0))


def _rlimits() -> None:
    """No files, no core dumps; processor time is bounded by deadlines instead."""
    for name, bound in (("RLIMIT_FSIZE", 0), ("RLIMIT_CORE", 0)):
        resource.setrlimit(getattr(resource, name), (bound, bound))
    resource.setrlimit(resource.RLIMIT_NOFILE, (_DESCRIPTORS, _DESCRIPTORS))


def _namespaces() -> None:
    """A user, network, IPC and host name of its own: no interface, no rights."""
    _linux_only()
    flags = _CLONE_NEWUSER | _CLONE_NEWNET | _CLONE_NEWIPC | _CLONE_NEWUTS
    libc = _libc()
    _call("unshare", libc.unshare(flags))
    _call("sethostname", libc.sethostname(_HOST_NAME, len(_HOST_NAME)))


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
        # Who has no rights to give up may not restrict itself without this.
        _call("prctl", libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
        _call("landlock", libc.syscall(_LANDLOCK_RESTRICT_SELF, ruleset, 0))
    finally:
        os.close(ruleset)


def _seccomp() -> None:
    """Only the system calls of arithmetic, no new thread; all others fail."""
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
    for asked in _ASKED_OF_FCNTL:
        rules.add_rule(seccomp.ALLOW, "fcntl", seccomp.Arg(1, seccomp.EQ, asked))
    # The threads that have been started already must not stay outside.
    rules.set_attr(seccomp.Attr.CTL_TSYNC, 1)
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


def lock(
    memory: int | None = None,
    start_threads: Callable[[], None] | None = None,
    only: Collection[str] | None = None,
    parent: int | None = None,
) -> list[Layer]:
    """Put every layer on this process; for good.

    Args:
        memory: bytes of address space this process may add to what it has.
        start_threads: starts every thread that this process will ever have. Called
            under all layers that a thread inherits, and before the last one, which
            holds for the threads there are and lets no other begin.
        only: names of layers, to see what these do without the others; None: all.
        parent: id of the process that made this one. Where that has ended before
            this one could ask to die with it, this one ends here. None: not looked at.

    Returns:
        What holds now, in the order it was put on.
    """
    with suppress(ImportError, RuntimeError, OSError):
        import pyseccomp  # noqa: F401  (no file can be read once Landlock holds)
    layers = []
    for name, put_on in LAYERS.items():
        if only is not None and name not in only:
            continue
        began = time.perf_counter()
        detail = (put_on.__doc__ or "").splitlines()[0]
        active = True
        if name == "rlimits" and memory is not None:
            bound_memory(memory)
        if name == "seccomp" and start_threads is not None:
            start_threads()
        try:
            put_on()
        except (LayerMissing, OSError, ValueError) as error:
            active, detail = False, str(error)
        if name == "parent-death" and parent not in (None, os.getppid()):
            os._exit(9)
        layers.append(Layer(name, active, detail, (time.perf_counter() - began) * 1e3))
    return layers


def rows_of(layers: Iterable[Layer]) -> list[tuple[Any, ...]]:
    """Layers as a child tells them to the trainer."""
    return [astuple(layer) for layer in layers]


def within_reach() -> Iterator[str]:
    """What a locked process can reach all the same, where nothing else keeps it."""
    reaches: tuple[tuple[str, Callable[[], object]], ...] = (
        ("a folder", lambda: os.open("/", os.O_RDONLY)),
        ("the network", socket.socket),
        ("a process", lambda: os.kill(os.getpid(), 0)),
    )
    for name, reach in reaches:
        with suppress(OSError):
            reach()
            yield name


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
