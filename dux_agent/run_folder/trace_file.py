"""`trace.jsonl`, open to be added to: whole lines, in order, none cut short."""

from __future__ import annotations

import atexit
import logging
import os
import threading
import time
import weakref
from contextlib import suppress
from io import FileIO
from pathlib import Path

from dux_agent.errors import RunFolderUnusable
from dux_agent.run_folder.own_files import carefully
from dux_agent.run_folder.trace import Event

log = logging.getLogger(__name__)

# A system call for every step's loss would be most of what a trace costs.
_GATHERED_SECONDS = 1.0

_open: weakref.WeakSet[TraceFile] = weakref.WeakSet()


class TraceFile:
    """Appends events to a trace; safe to use from several threads.

    What was gathered is written at the latest when the file is collected as garbage or
    the interpreter ends. What ends a process without that, as a signal does, loses it;
    the steps that a resumed run repeats tell it again.
    """

    def __init__(self, path: Path) -> None:
        """Open it, made where there is none.

        Raises:
            OSError: it cannot be opened, or leads out of its folder.
        """
        self._path = path
        # Unbuffered: one write for whole lines, which only a dying system tears.
        self._file = FileIO(path, "ab", opener=carefully)
        self._lock = threading.Lock()
        self._gathered: list[Event] = []
        self._written = 0.0
        self._ending = False
        _open.add(self)

    def fileno(self) -> int:
        """The open file's number, for locks."""
        return self._file.fileno()

    def append(self, event: Event, *, sync: bool = False) -> None:
        """Write an event now, after all that was gathered.

        Args:
            event: with data that JSON can hold.
            sync: have it on the disk before this returns.

        Raises:
            RunFolderUnusable: the disk refused it, as when it is full; it is lost with
                what was gathered, and no half line is left.
            ValueError: it is no event that could be read again; it alone is lost.
            TypeError: the same.
        """
        line = _line(event)
        with self._lock:
            self._write(line, sync=sync)

    def gather(self, event: Event) -> None:
        """Write an event with the next one, or now if the last write is a second ago.

        So in a training of slow steps every event is written at once.

        Raises:
            RunFolderUnusable: as for `append`.
        """
        with self._lock:
            self._gathered.append(event)
            waited = time.monotonic() - self._written
            if self._ending or waited >= _GATHERED_SECONDS:
                self._write()

    def sync(self) -> None:
        """Have all of it on the disk; what that refuses is lost with a warning."""
        with self._lock:
            self._write_rest(sync=True)

    def close(self) -> None:
        """As `sync`, and close the file; may be called twice."""
        _open.discard(self)
        with self._lock:
            self._write_rest(sync=True)
            self._file.close()

    def __del__(self) -> None:
        if hasattr(self, "_lock"):
            self.close()

    def _write(self, line: bytes = b"", *, sync: bool = False) -> None:
        """What was gathered and this line, all or none."""
        left = b"".join(map(_line, self._gathered)) + line
        self._gathered.clear()
        self._written = time.monotonic()
        try:
            begin = os.fstat(self._file.fileno()).st_size
            try:
                # An unbuffered write may take only a part, on a full disk or at a
                # signal.
                while left:
                    left = left[self._file.write(left) or 0 :]
                if sync:
                    os.fsync(self._file.fileno())
            except BaseException:
                # What is written next must not follow half a line.
                with suppress(OSError):
                    os.ftruncate(self._file.fileno(), begin)
                raise
        except OSError as error:
            raise RunFolderUnusable(
                f"the trace {self._path} cannot be written: "
                f"{error.strerror or error}; make room on the disk."
            ) from None

    def _end(self) -> None:
        """The interpreter ends: nothing waits any more."""
        with self._lock:
            self._ending = True
            self._write_rest(sync=False)

    def _write_rest(self, *, sync: bool) -> None:
        """What was gathered, where nobody can be told that it failed."""
        if self._file.closed:
            return
        try:
            self._write(sync=sync)
        except RunFolderUnusable as error:
            log.warning("%s The last losses are lost.", error)

    def _forget(self) -> None:
        """In a fork: what was gathered is its parent's to write."""
        self._lock = threading.Lock()
        self._gathered.clear()


def _line(event: Event) -> bytes:
    return event.line().encode("ascii") + b"\n"


@atexit.register
def _end_all() -> None:
    for each in list(_open):
        each._end()


def _forget_all() -> None:
    for each in list(_open):
        each._forget()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_all)
