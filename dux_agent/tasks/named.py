"""Finds the function that builds a task: ours, an installed package's, or anybody's.

A name is one of ours ("digits"; of the family, "conv-net@adam-slow"), one that an
installed package declares in the group `dux_agent.tasks` of its entry points,
"package.module:build" or "file.py:build". No name but those of the first two kinds is
looked up for a run folder alone, since to look it up is to run it; see
`dux_agent.tasks.vouched`.
"""

import hashlib
import importlib.util
import os
import sys
import traceback
from collections.abc import Callable
from difflib import get_close_matches
from functools import lru_cache, partial
from importlib import import_module, invalidate_caches
from importlib.metadata import entry_points
from pathlib import Path
from types import ModuleType
from typing import Any

from dux_agent.errors import BadArgument
from dux_agent.tasks.family.members import MEMBERS, is_member, parts_of

GROUP = "dux_agent.tasks"

# Name: what it is, as `dux run --help` and its errors say it.
TASKS = {
    "digits": "sigmoid MLP on scikit-learn's digits; needs no download",
    "mnist": "sigmoid MLP on MNIST (the paper's)",
    "sine": "RNN that forecasts a noisy sine (the paper's); needs no data",
    "imdb": "small Transformer on IMDB sentiment (the paper's)",
}

Builder = Callable[..., Any]


def in_full(name: str) -> str:
    """The name that means the same in every working directory, as far as one does.

    >>> in_full("digits"), in_full("mine.tasks:build")
    ('digits', 'mine.tasks:build')
    """
    place, colon, attribute = name.rpartition(":")
    if not is_file(place):
        return name
    return f"{Path(place).expanduser().absolute()}{colon}{attribute}"


def needs_import(name: str) -> bool:
    """Whether the name says itself what is imported, as "package.module:build"."""
    return ":" in name


def listed() -> str:
    """Every task that has a name of its own, and of which package it is."""
    others = [
        f"{entry.name} (of {entry.dist.name if entry.dist else entry.module})"
        for entry in entry_points(group=GROUP)
        if entry.name not in TASKS
    ]
    return ", ".join([*TASKS, *sorted(set(others))])


def builder_of(name: str) -> Builder:
    """The function that builds the task `name`; imports the module that it is in.

    Raises:
        BadArgument: there is none.
    """
    if name in TASKS:
        builder: Builder = import_module(f"dux_agent.tasks.{name}").build
        return builder
    if is_member(name):
        parts_of(name)  # before torch is imported
        return partial(import_module("dux_agent.tasks.family.building").build, name)
    if needs_import(name):
        return _imported(name)
    declared = {
        f"{entry.module}:{entry.attr}" for entry in entry_points(group=GROUP, name=name)
    }
    if len(declared) > 1:
        raise BadArgument(
            f"{len(declared)} installed packages have a task {name!r}: "
            f"{', '.join(sorted(declared))}; one was wanted; name the one you mean so."
        )
    for value in declared:
        return _imported(value)
    raise BadArgument(
        f"there is no task {name!r}; it must be one of {listed()}, or name a function "
        f"that builds one, as package.module:build or file.py:build; pick one of them, "
        f"or of the family: {', '.join(MEMBERS)}."
    )


def is_file(place: str) -> bool:
    """Whether what stands before the colon names a file, and no module."""
    return place.endswith(".py")


def _imported(name: str) -> Builder:
    place, _, attribute = name.rpartition(":")
    parts = place.split(".")
    if not attribute or not (is_file(place) or all(map(str.isidentifier, parts))):
        raise BadArgument(
            f"{name!r} names no function; package.module:build or file.py:build was "
            f"wanted; name the module, a colon, and the function that builds the task."
        )
    module = _file(Path(place)) if is_file(place) else _module(place)
    found: Any = module
    for part in attribute.split("."):
        if not hasattr(found, part):
            near = get_close_matches(part, vars(module), n=3)
            raise BadArgument(
                f"{place} has no {attribute!r}; the function that builds the task was "
                f"wanted; {'did you mean ' + ', '.join(near) if near else 'name it'}."
            )
        found = getattr(found, part)
    if not callable(found):
        raise BadArgument(
            f"{name} is a {type(found).__name__}; a function that builds a task was "
            f"wanted; write build(seed) and name that."
        )
    builder: Builder = found
    return builder


def _module(place: str) -> ModuleType:
    """The module of that name; the working directory is looked in last."""
    here = os.getcwd()
    invalidate_caches()  # it may have been written a moment ago
    if here not in sys.path and "" not in sys.path:
        # For good: a task may import its neighbours while it trains.
        sys.path.append(here)
    try:
        return import_module(place)
    except ModuleNotFoundError as error:
        if error.name and (place == error.name or place.startswith(f"{error.name}.")):
            raise BadArgument(
                f"there is no module {error.name!r}; one that can be imported here was "
                f"wanted for the task {place}; install it, or go to the folder that "
                f"holds it ({here} was looked in)."
            ) from None
        raise failed(f"{place} cannot be imported", error) from error
    # Whatever a module of anybody's raises while it is read.
    except (Exception, SystemExit) as error:
        raise failed(f"{place} cannot be imported", error) from error


def _file(path: Path) -> ModuleType:
    path = path.expanduser().absolute()
    try:
        changed = path.stat().st_mtime_ns
    except OSError as error:
        raise BadArgument(
            f"the file {path} cannot be read: {error.strerror or error}; the one that "
            f"builds the task was wanted; put it there, or name another."
        ) from None
    return _executed(path, changed)


@lru_cache
def _executed(path: Path, changed: int) -> ModuleType:
    """The module that a file holds; read again where it was `changed` since, ns."""
    name = f"dux_task_{path.stem}_{hashlib.sha256(bytes(path)).hexdigest()[:8]}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise BadArgument(
            f"{path} cannot be loaded; a file of Python was wanted; name one."
        )
    if str(path.parent) not in sys.path:
        sys.path.append(str(path.parent))
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    # As for a module.
    except (Exception, SystemExit) as error:
        sys.modules.pop(name, None)
        raise failed(f"{path} cannot be imported", error) from error
    return module


def failed(what: str, error: BaseException) -> BadArgument:
    """The error for code of a task that raised `error`, with the line it was at."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if not frame.filename.startswith("<")]
    where = f" ({own[-1].filename}:{own[-1].lineno})" if own else ""
    said = str(error)
    if isinstance(error, SyntaxError):  # no frame is in what cannot be read
        said, where = error.msg, f" ({error.filename}:{error.lineno})"
    return BadArgument(
        f"{what}: {type(error).__name__}: {said}{where}; code that runs was wanted; "
        f"mend it there."
    )
