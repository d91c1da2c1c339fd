"""Remembers which names of tasks somebody has said on this machine.

To look a name such as "package.module:build" up is to run what it names. A run folder
may be anybody's, so its word for it is not enough: it was said before, in a run that
was begun here, or it is said again.
"""

from __future__ import annotations

import hashlib
import logging
import os
import sys
from importlib.machinery import PathFinder
from pathlib import Path

from dux_agent.tasks.array_cache import folder
from dux_agent.tasks.named import needs_import

log = logging.getLogger(__name__)


def vouch(name: str) -> None:
    """Remember `name`, in the user's cache; one that cannot be written remembers none.

    Args:
        name: of a task, in full.
    """
    if not needs_import(name) or vouched(name):
        return
    try:
        _note(name).parent.mkdir(parents=True, exist_ok=True)
        _note(name).touch()
    except OSError as error:
        log.debug("that %s was named here is not remembered: %s", name, error)


def vouched(name: str) -> bool:
    """Whether a folder may have `name` looked up: it was said here, or is no import."""
    return not needs_import(name) or _note(name).is_file()


def _note(name: str) -> Path:
    """An empty file for a name and the place that it is found at from here."""
    top = name.rpartition(":")[0].partition(".")[0]
    # Finds the outermost package without running anything.
    spec = PathFinder.find_spec(top, [*sys.path, os.getcwd()])
    place = "" if spec is None else spec.origin or str(spec.submodule_search_locations)
    said = f"{name}\n{place}".encode(errors="surrogateescape")
    return folder() / "named-tasks" / hashlib.sha256(said).hexdigest()
