"""Runs a function in a fork: a crash, a hang or a flood is an outcome like others."""

from __future__ import annotations

import os
import resource
import signal
import sys
from collections.abc import Callable

SECONDS = 20  # of processor time; what is mended takes milliseconds
BYTES = 3 << 30


def outcome(function: Callable[[], object], seconds: int = SECONDS) -> str:
    """How it ended: "returned", an exception's name, "memory" or a signal's name.

    Args:
        seconds: of the processor that it may take.
    """
    read, write = os.pipe()
    child = os.fork()
    if not child:
        os.close(read)
        try:
            os.write(write, _outcome_here(function, seconds).encode())
        finally:
            os._exit(0)
    os.close(write)
    with os.fdopen(read, "rb") as told:
        said = told.read().decode()
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        return signal.Signals(os.WTERMSIG(status)).name
    return said or "nothing"


def _outcome_here(function: Callable[[], object], seconds: int) -> str:
    signal.signal(signal.SIGXCPU, signal.SIG_DFL)
    # What the run so far has used does not count.
    used = int(sum(resource.getrusage(resource.RUSAGE_SELF)[:2])) + 1
    with open("/proc/self/statm") as held:
        size = int(held.read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_CPU, (used + seconds, used + seconds + 1))
    resource.setrlimit(resource.RLIMIT_AS, (size + BYTES, size + BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    sys.setrecursionlimit(1000)
    try:
        function()
    except MemoryError:
        return "memory"
    except Exception as error:
        text = str(error)[:2000]
        if "allocate memory" in text:
            return "memory"
        return f"{type(error).__name__}: {text}"
    return "returned"
