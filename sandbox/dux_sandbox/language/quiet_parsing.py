"""Lets Python's parser read a text without its warnings reaching anybody."""

import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

_TURN = threading.Lock()


@contextmanager
def quiet_parser() -> Iterator[None]:
    """No warnings in here: odd literals ("\\d", `is 1`) are nothing to the trainer.

    Warning filters belong to the whole process: a lock keeps two threads from restoring
    each other's.
    """
    with _TURN, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
