"""The answers that are being read, by thread: one that hangs can be hung up on."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

_OPEN: dict[int, Any] = {}


def reading(response: Any) -> None:
    """This thread reads an answer from now on; `response` is the HTTP client's."""
    _OPEN[threading.get_ident()] = response


@contextmanager
def one_call() -> Iterator[None]:
    """In here a thread makes one call, and reads at most one answer at a time."""
    try:
        yield
    finally:
        _OPEN.pop(threading.get_ident(), None)


def hang_up(thread: int | None) -> None:
    """Let what a thread reads from a server end now, with a lost connection.

    Closing a connection from another thread wakes nobody who reads from it; shutting
    its socket down does.
    """
    response = _OPEN.get(thread or 0)
    stream = (getattr(response, "extensions", None) or {}).get("network_stream")
    if stream is None:
        return
    with suppress(Exception):  # it may have ended by itself a moment ago
        stream.get_extra_info("socket").shutdown(socket.SHUT_RDWR)
