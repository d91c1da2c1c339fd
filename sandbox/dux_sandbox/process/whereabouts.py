"""Where a rule that is late has come to: the line, told by its own process.

A process that hangs cannot answer. A handler in C (Python's `faulthandler`) can: it
runs inside a call that never returns, and writes the frames into the channel, raw.
They are a claim of that process like any other: only one number is taken from them.
"""

import faulthandler
import re
import select
import signal
import socket
import time
from collections.abc import Callable

_SIGNAL = getattr(signal, "SIGUSR1", None)  # Windows has none
# Asked only of a process that is about to be ended: a stopped one costs all of it.
_SECONDS = 1.0
_MOST_BYTES = 1 << 16
_FRAME = re.compile(rb'File "<rule [0-9a-f]{12}>", line ([0-9]{1,6}) ')


def tell_when_asked(descriptor: int) -> None:
    """From now on this process answers the signal with its frames, innermost first."""
    if _SIGNAL is not None:
        faulthandler.register(_SIGNAL, file=descriptor, all_threads=True)


def line_reached(
    connection: socket.socket, send_signal: Callable[[int], None]
) -> int | None:
    """The line of the source that a process is at, or None where it does not tell.

    Args:
        connection: to the process; what is read from it is lost, so that it has to be
            ended afterwards.
        send_signal: sends a signal to the process.

    Returns:
        A 1-based line; not to be trusted beyond being a small number.
    """
    if _SIGNAL is None:
        return None
    try:
        send_signal(_SIGNAL)
        return _first_frame(connection, time.monotonic() + _SECONDS)
    except OSError:
        return None  # it is gone


def _first_frame(connection: socket.socket, deadline: float) -> int | None:
    said = bytearray()
    # Not select(): a trainer may hold more descriptors than that can name.
    more = select.poll()
    more.register(connection, select.POLLIN)
    while len(said) < _MOST_BYTES:
        left = deadline - time.monotonic()
        if left <= 0 or not more.poll(left * 1000):
            return None
        piece = connection.recv(4096, socket.MSG_DONTWAIT)
        if not piece:
            return None
        said += piece
        found = _FRAME.search(said)
        if found is not None:
            return int(found[1]) or None
    return None
