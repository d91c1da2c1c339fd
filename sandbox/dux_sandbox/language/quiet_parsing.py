"""Lets Python's parser read a text without its warnings reaching anybody."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from dux_sandbox.told_warnings import no_warnings

_TURN = threading.Lock()


@contextmanager
def quiet_parser() -> Iterator[None]:
    """No warnings in here: odd literals ("\\d", `is 1`) are nothing to the trainer.

    Warning filters belong to the whole process: a lock keeps two threads from restoring
    each other's.
    """
    with _TURN, no_warnings():
        yield
