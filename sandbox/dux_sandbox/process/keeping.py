"""Who needs the warm processes: with the last of their users they end."""

import atexit
import threading
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from dux_sandbox.process.spawning import making, zygotes

_users: weakref.WeakSet[Any] = weakref.WeakSet()


def keep_warm(user: Any) -> None:
    """Keep warm processes until `user` lets them go, or is itself gone."""
    with making:
        _users.add(user)


def let_go(user: Any) -> None:
    """This one needs them no more; the last one ends those that have no child left."""
    with making:
        _users.discard(user)
        if len(_users):
            return
        for name, held in list(zygotes.items()):
            if held.end_if_idle():
                atexit.unregister(held.close)
                del zygotes[name]


@contextmanager
def kept_warm() -> Iterator[None]:
    """Inside, one agent after another finds the same warm processes."""
    user = threading.Event()  # any object that can be weakly referred to
    keep_warm(user)
    try:
        yield
    finally:
        let_go(user)
