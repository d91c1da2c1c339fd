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
from dux_agent.tasks.named import is_file, needs_import

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
    """Whether a folder may have `name` looked up: it was said here, or runs nothing."""
    return not needs_import(name) or _found_at(name) is None or _note(name).is_file()


def _found_at(name: str) -> str | None:
    """The place of the outermost package or the file; None where there is none.

    Nothing is run to find it.
    """
    place = name.rpartition(":")[0]
    if is_file(place):
        return place if Path(place).exists() else None
    top = place.partition(".")[0]
    spec = PathFinder.find_spec(top, [*sys.path, os.getcwd()])
    if spec is not None:
        return spec.origin or str(spec.submodule_search_locations)
    return top if top in sys.modules or top in sys.builtin_module_names else None


def _note(name: str) -> Path:
    """An empty file for a name and the place that it is found at from here."""
    said = f"{name}\n{_found_at(name)}".encode(errors="surrogateescape")
    return folder() / "named-tasks" / hashlib.sha256(said).hexdigest()
