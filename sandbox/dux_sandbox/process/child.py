"""The trainer's handle on a process that was forked for it, and how it ends."""

import logging
import os
import select
import signal
import socket
import weakref
from contextlib import suppress

from dux_sandbox.process.channel import Channel
from dux_sandbox.process.whereabouts import line_reached

log = logging.getLogger(__name__)

_DEATH_SECONDS = 10.0  # a killed process has gigabytes to give back at most

# A DataLoader's workers are forks of the trainer: they must not keep these open, or
# a child would outlive a trainer that was killed.
open_sockets: weakref.WeakSet[socket.socket] = weakref.WeakSet()


def _close_sockets_of_parent() -> None:
    for connection in list(open_sockets):
        connection.close()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_close_sockets_of_parent)


class Child:
    """One forked process: its channel, and the means to end it.

    A fork of the trainer has a copy of this, of a process that is in use elsewhere: its
    channel is closed there, and no signal is sent.
    """

    def __init__(self, pid: int, channel: Channel) -> None:
        self.pid = pid
        self._owner = os.getpid()
        self.channel = channel
        self._handle = -1
        self._alive = True
        if hasattr(os, "pidfd_open"):
            try:
                self._handle = os.pidfd_open(pid)
            except ProcessLookupError:
                self._alive = False  # dead already: its channel will say so
        open_sockets.add(channel.socket)
        self._dropped = weakref.finalize(
            self, _end_dropped, pid, self._handle, self._owner, channel.socket
        )
        self._dropped.atexit = False

    @property
    def is_ours(self) -> bool:
        """Whether it was forked for this process, and not for one that forked this."""
        return self._owner == os.getpid()

    @property
    def lives(self) -> bool:
        """Whether it has not ended, as far as this system tells."""
        return self._alive and not (self._handle >= 0 and _ended(self._handle, 0.0))

    def last_line(self) -> int | None:
        """The line of its source that the process is at, or None; breaks the channel.

        For a process that is late; it has to be ended afterwards.
        """
        if not (self._alive and self.is_ours):
            return None
        return line_reached(self.channel.socket, self._send_signal)

    def pause(self) -> None:
        """Stop every thread of the process until `resume`."""
        self._try_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let it go on."""
        self._try_signal(signal.SIGCONT)

    def end(self) -> None:
        """Have it die; a thread that waits for its answer hears of that."""
        self._try_signal(signal.SIGKILL)

    def kill(self, *, wait: bool = True) -> None:
        """End the process; can be called twice.

        Args:
            wait: until it is dead; else that is left to `wait_for_deaths`.
        """
        self._dropped.detach()
        self.channel.close()
        if not (self._alive and self.is_ours):
            if self._alive and self._handle >= 0:  # a fork's own
                os.close(self._handle)
            self._alive = False
            return
        self._try_signal(signal.SIGKILL)
        self._alive = False
        if self._handle < 0:
            return
        if wait:
            _see_dead(self.pid, self._handle)
        else:
            _dying.append((self.pid, self._handle))

    def _try_signal(self, number: int) -> None:
        if self._alive and self.is_ours:
            with suppress(ProcessLookupError):
                self._send_signal(number)

    def _send_signal(self, number: int) -> None:
        if self._handle >= 0:
            signal.pidfd_send_signal(self._handle, number)
        else:
            os.kill(self.pid, number)

    def resident_bytes(self) -> int:
        """Memory the process holds now, in bytes; 0 where the system does not tell."""
        try:
            with open(f"/proc/{self.pid}/statm") as figures:
                fields = figures.read().split()
            return int(fields[1]) * os.sysconf("SC_PAGE_SIZE")
        except (OSError, IndexError, ValueError):
            return 0


def _end_dropped(pid: int, handle: int, owner: int, connection: socket.socket) -> None:
    """Nobody holds the `Child` any more: a paused process would wait for ever."""
    connection.close()
    if handle < 0:
        return  # its number may be another's by now; where it reads it hears the end
    if os.getpid() == owner:  # and not a fork's own copy, of a child that is in use
        with suppress(ProcessLookupError):
            signal.pidfd_send_signal(handle, signal.SIGKILL)
    os.close(handle)


# What was killed and nobody has waited for: process id and descriptor of each.
_dying: list[tuple[int, int]] = []


def wait_for_deaths() -> None:
    """Wait until every process is dead that was killed without waiting for it."""
    while _dying:
        _see_dead(*_dying.pop())


def _see_dead(pid: int, handle: int) -> None:
    if not _ended(handle, _DEATH_SECONDS):
        log.warning("process %d of a rule does not die", pid)
    os.close(handle)


def _ended(handle: int, seconds: float) -> bool:
    # Not select(): a trainer may hold more descriptors than that can name.
    death = select.poll()
    death.register(handle, select.POLLIN)
    return bool(death.poll(seconds * 1000))
