"""A rule's process that is forked and locked before it is known which rule it is for.

Both take as long as some steps of a dry run, and so does touching for the first time
what a fork shares with its parent. Where another rule is sure to follow, that is done
while the last one steps. Such a process has seen nothing of any rule.
"""

import os
import threading
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from dux_sandbox.process.child import Child, wait_for_deaths
from dux_sandbox.process.mirror import new_memory
from dux_sandbox.process.spawning import Begun, IsolationUnavailable, Zygote, zygote


@dataclass(frozen=True)
class _Waiting:
    """What the next rule gets: a process, and the memory of its mirror."""

    request: dict[str, Any]
    memory: int
    warm: Zygote
    begun: Begun

    def child(self) -> Child | None:
        """The process, unless it is lost; then the memory is closed."""
        if self.warm.usable:  # and not that of a trainer whose fork this is
            with suppress(IsolationUnavailable):
                child = self.warm.child(self.begun)
                if child.lives:
                    return child
                child.kill()
        self.begun.channel.close()
        os.close(self.memory)
        return None


_lock = threading.Lock()
_waiting: _Waiting | None = None


def fork_ahead(request: dict[str, Any]) -> None:
    """Have a process forked as `request` says; waits for nothing.

    `nothing_lingers` must follow, also where no rule does.
    """
    global _waiting
    with _lock:
        if _waiting is not None:
            return
        memory = new_memory(request["mirror"])
        try:
            warm = zygote()
            begun = warm.begin({**request, "rehearse": True}, (memory,))
        except IsolationUnavailable:  # whoever forks next is told of it
            os.close(memory)
            return
        _waiting = _Waiting(request, memory, warm, begun)


def forked_ahead(request: dict[str, Any]) -> tuple[Child, int] | None:
    """A process as `request` says and the memory of its mirror, if one waits."""
    global _waiting
    with _lock:
        waiting = _waiting
        if waiting is None or waiting.request != request:
            return None
        _waiting = None
    child = waiting.child()
    return None if child is None else (child, waiting.memory)


def nothing_lingers() -> None:
    """See that all are dead that wait here, or were killed without waiting for it."""
    global _waiting
    with _lock:
        waiting, _waiting = _waiting, None
    child = None if waiting is None else waiting.child()
    if waiting is not None and child is not None:
        child.kill(wait=False)
        os.close(waiting.memory)
    wait_for_deaths()
