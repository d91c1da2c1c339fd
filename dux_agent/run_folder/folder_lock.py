"""Lets one process at a time write a run folder, and tells others whether one does."""

import sys
import time
from pathlib import Path

from filelock import lock_descriptor

from dux_agent.errors import RunFolderUnusable
from dux_agent.run_folder.own_files import open_own

# The children of a trainer that was killed hold its files for a moment longer.
_PATIENCE_SECONDS = 2.0
_BETWEEN_LOOKS_SECONDS = 0.05


def lock(handle: int, folder: Path) -> None:
    """Keep other writers out until this file is closed; the system lets go at a crash.

    Does nothing where the system has no such locks.

    Args:
        handle: of the folder's open trace.
        folder: for the message.

    Raises:
        RunFolderUnusable: another process has it.
    """
    until = time.monotonic() + _PATIENCE_SECONDS
    while not take(handle):
        if time.monotonic() > until:
            raise RunFolderUnusable(
                f"the run in {folder} is still being written by another process; one "
                f"that is over was wanted; wait for it or end it."
            )
        time.sleep(_BETWEEN_LOOKS_SECONDS)


def is_locked(trace: Path) -> bool:
    """Whether a process writes this trace now; False where nobody can tell."""
    try:
        with open_own(trace) as opened:
            return not take(opened.fileno())
    except OSError:
        return False


def take(handle: int) -> bool:
    """Whether the lock of an open file could be had, or there are no locks here."""
    if sys.platform == "win32":
        return True  # a lock keeps readers out, too, there
    try:
        return lock_descriptor(handle, blocking=False)
    except OSError:
        return True  # a file system without locks
