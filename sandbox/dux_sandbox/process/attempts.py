"""What a rule's process may not do, each tried: runs in the child, under its layers.

`dux doctor` has these tried in a process as a rule gets it, and in one without layers:
a denial is only seen where the same thing works outside. All of it is harmless.
"""

import _thread
import ctypes
import errno
import fcntl
import mmap
import os
import socket
from collections.abc import Callable, Mapping
from contextlib import closing, suppress
from dataclasses import dataclass
from typing import Any

_PR_GET_NO_NEW_PRIVS = 39
_MANY_DESCRIPTORS = 80
_REFUSED = 77  # how a process ends that could not become another program

Surroundings = Mapping[str, Any]


@dataclass(frozen=True)
class Attempt:
    """One thing that is tried.

    Attributes:
        name: what it is, as a rule would want it.
        layers: each of these alone denies it.
        act: does it; raises OSError where it is denied.
    """

    name: str
    layers: tuple[str, ...]
    act: Callable[[Surroundings], None]


def _read(around: Surroundings) -> None:
    handle = os.open(around["file"], os.O_RDONLY)
    with closing(os.fdopen(handle)) as held:
        if held.read() != around["content"]:
            raise OSError(errno.EIO, "another file was read")


def _write(around: Surroundings) -> None:
    name = f"{around['file']}.{os.getpid()}"
    handle = os.open(name, os.O_WRONLY | os.O_CREAT, 0o600)
    try:
        os.write(handle, b"x")
    finally:
        os.close(handle)
        os.unlink(name)


def _look(around: Surroundings) -> None:
    os.stat(around["file"])


def _list(around: Surroundings) -> None:
    os.listdir(os.path.dirname(around["file"]))


def _fork(_: Surroundings) -> None:
    pid = os.fork()
    if pid == 0:
        os._exit(0)
    os.waitpid(pid, 0)


def _run(around: Surroundings) -> None:
    pid = os.fork()
    if pid == 0:
        with suppress(OSError):
            os.execv(around["program"], [around["program"]])
        os._exit(_REFUSED)
    if os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == _REFUSED:
        raise OSError(errno.EACCES, "the program was not run")


def _start_thread(_: Surroundings) -> None:
    done = _thread.allocate_lock()
    done.acquire()
    try:
        _thread.start_new_thread(done.release, ())
    except RuntimeError as error:
        raise OSError(errno.EPERM, str(error)) from None
    done.acquire()


def _connect(around: Surroundings) -> None:
    with closing(socket.socket()) as made:
        made.settimeout(5.0)
        made.connect(("127.0.0.1", around["port"]))


def _signal(around: Surroundings) -> None:
    os.kill(around["trainer"], 0)


def _own_signals(around: Surroundings) -> None:
    for owner in (around["trainer"], 0):
        fcntl.fcntl(around["descriptor"], fcntl.F_SETOWN, owner)


def _peek(around: Surroundings) -> None:
    """One byte of the trainer's memory."""
    held = ctypes.create_string_buffer(1)
    ours = (ctypes.c_void_p * 2)(ctypes.addressof(held), 1)
    theirs = (ctypes.c_void_p * 2)(around["address"], 1)
    libc = around["libc"]
    if libc.process_vm_readv(around["trainer"], ours, 1, theirs, 1, 0) != 1:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def _join_group(around: Surroundings) -> None:
    os.setpgid(0, around["group"])


def _learn_name(around: Surroundings) -> None:
    name = os.uname().nodename
    if name != around["host"]:
        raise OSError(errno.EPERM, f"it is told {name!r}")


def _open_many(around: Surroundings) -> None:
    held: list[int] = []
    try:
        for _ in range(_MANY_DESCRIPTORS):
            held.append(os.dup(around["descriptor"]))
    finally:
        for each in held:
            os.close(each)


def _take_memory(around: Surroundings) -> None:
    with closing(mmap.mmap(-1, around["more"])) as taken:
        taken[0] = 1


def _gain_rights(around: Surroundings) -> None:
    """The kernel's own answer: a set-user-id program would have to be there else."""
    libc = around["libc"]
    held = libc.prctl(_PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0)
    if held != 0:
        number = ctypes.get_errno() if held < 0 else errno.EPERM
        raise OSError(number, os.strerror(number))


ATTEMPTS = (
    Attempt("read a file", ("landlock", "seccomp"), _read),
    Attempt("write a file", ("rlimits", "landlock", "seccomp"), _write),
    Attempt("list a folder", ("landlock", "seccomp"), _list),
    Attempt("learn whether a path is there", ("seccomp",), _look),
    Attempt("start a process", ("seccomp",), _fork),
    Attempt("run a program", ("landlock", "seccomp"), _run),
    Attempt("start a thread", ("seccomp",), _start_thread),
    Attempt("connect to this machine", ("namespaces", "seccomp"), _connect),
    Attempt("learn the name of this machine", ("namespaces", "seccomp"), _learn_name),
    Attempt("signal the trainer", ("seccomp",), _signal),
    Attempt("have the trainer signalled", ("seccomp",), _own_signals),
    Attempt("read the trainer's memory", ("namespaces", "seccomp"), _peek),
    Attempt("join the trainer's processes", ("session", "seccomp"), _join_group),
    Attempt("hold 80 descriptors", ("rlimits", "seccomp"), _open_many),
    Attempt("take more memory than it may", ("rlimits",), _take_memory),
    Attempt("gain rights by a program", ("no-new-privs", "seccomp"), _gain_rights),
)


def prepare(request: Mapping[str, Any], descriptor: int) -> Surroundings:
    """What the attempts need, fetched while files can still be read.

    Args:
        request: "file", "content", "port", "trainer", "address", "program", "host" and
            "more" (bytes), see `dux_sandbox.process.witnessing`.
        descriptor: one that this process holds.
    """
    return {
        **request,
        "descriptor": descriptor,
        "group": os.getpgid(os.getppid()),
        "libc": ctypes.CDLL(None, use_errno=True),
    }


def make(around: Surroundings) -> list[list[Any]]:
    """Try everything; for each attempt whether it worked, and what was said if not."""
    told = []
    for attempt in ATTEMPTS:
        try:
            attempt.act(around)
        # Whatever a layer makes of it is its answer.
        except Exception as error:
            said = error.strerror if isinstance(error, OSError) else str(error)
            told.append([attempt.name, False, str(said or type(error).__name__)])
        else:
            told.append([attempt.name, True, ""])
    return told
