"""`trace.jsonl`, open to be added to: whole lines, in order, none cut short."""

from __future__ import annotations

import os
import time
import weakref
from contextlib import suppress
from io import FileIO
from pathlib import Path

from dux_agent.errors import RunFolderUnusable
from dux_agent.trace import Event

# A system call for every step's loss would be most of what a trace costs.
_GATHERED_SECONDS = 1.0


class TraceFile:
    """Appends events to a trace; one thread at a time.

    What was gathered is written at the latest when it is collected as garbage or the
    process ends; only what kills a process loses it, and the steps that a resumed run
    repeats tell it again.
    """

    def __init__(self, path: Path) -> None:
        """Open it, made where there is none.

        Raises:
            OSError: it cannot be opened.
        """
        self._path = path
        # Unbuffered: one write for whole lines, which only a dying system tears.
        self._file = FileIO(path, "ab")
        self._gathered: list[Event] = []
        self._written = 0.0
        self._last = weakref.finalize(
            self, _write_the_last, self._file, self._gathered, os.getpid()
        )

    def fileno(self) -> int:
        """The open file's number, for locks."""
        return self._file.fileno()

    def append(self, event: Event, *, sync: bool = False) -> None:
        """Write an event now, after all that was gathered.

        Args:
            sync: have it on the disk before this returns.

        Raises:
            RunFolderUnusable: the disk refused it, as when it is full; it is lost with
                what was gathered, and no half line is left.
        """
        self._gathered.append(event)
        self._write(sync)

    def gather(self, event: Event) -> None:
        """Write an event with the next one, or now if the last write is a second ago.

        So in a training of slow steps every event is written at once.

        Raises:
            RunFolderUnusable: as for `append`.
        """
        self._gathered.append(event)
        if time.monotonic() - self._written >= _GATHERED_SECONDS:
            self._write(sync=False)

    def length(self) -> int:
        """Bytes of the trace, all of them on the disk.

        Raises:
            RunFolderUnusable: as for `append`.
        """
        self._write(sync=True)
        return os.fstat(self._file.fileno()).st_size

    def close(self) -> None:
        """Write what is left and close the file; may be called twice.

        Raises:
            RunFolderUnusable: as for `append`; it is closed nevertheless.
        """
        if self._last.detach() is None:
            return
        try:
            self._write(sync=True)
        finally:
            self._file.close()

    def _write(self, sync: bool) -> None:
        try:
            _write_all(self._file, self._gathered, sync=sync)
        except OSError as error:
            raise RunFolderUnusable(
                f"the trace {self._path} cannot be written: "
                f"{error.strerror or error}; make room on the disk."
            ) from None
        finally:
            self._gathered.clear()
            self._written = time.monotonic()


def _write_all(file: FileIO, events: list[Event], *, sync: bool) -> None:
    """Write their lines, all or none."""
    left = b"".join(event.line().encode("ascii") + b"\n" for event in events)
    begin = os.fstat(file.fileno()).st_size
    try:
        # An unbuffered write may take only a part, on a full disk or at a signal.
        while left:
            left = left[file.write(left) or 0 :]
        if sync:
            os.fsync(file.fileno())
    except OSError:
        # What is written next must not follow half a line.
        with suppress(OSError):
            os.ftruncate(file.fileno(), begin)
        raise


def _write_the_last(file: FileIO, events: list[Event], process: int) -> None:
    if os.getpid() == process:  # a fork holds the same events
        with suppress(OSError, ValueError):
            _write_all(file, events, sync=False)
            file.close()
