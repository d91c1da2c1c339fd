"""Plays a finished run's events to a listener that was made for a live one."""

from collections.abc import Callable
from pathlib import Path

from dux_agent.run_folder.run_facts import read_facts
from dux_agent.run_folder.trace import Event, iterate


def play(folder: str | Path, listener: Callable[[Event], None]) -> int:
    """Hand every event of a run folder to `listener`, in the order written.

    Args:
        folder: a run folder; nothing in it is changed.
        listener: such as `RunFolder.subscribe` takes.

    Returns:
        How many events there were.

    Raises:
        RunFolderUnusable: it is no run folder, or its trace is damaged.
    """
    read_facts(folder)
    total = 0
    for event in iterate(folder):
        listener(event)
        total += 1
    return total
