"""Remembers what somebody has said on this machine, and a run folder says again.

A folder may be anybody's, so its word alone does not have a module imported, nor a key
sent anywhere: both were said before, in a run that was begun here, or are said again.
"""

import hashlib
import json
import logging
import os
import sys
from collections.abc import Iterable
from importlib.machinery import PathFinder
from pathlib import Path

from dux_agent.runs.plan import Plan
from dux_agent.tasks.cache_folder import folder
from dux_agent.tasks.named import in_full, is_file, needs_import

log = logging.getLogger(__name__)


def vouch(plan: Plan) -> None:
    """Remember what a plan says that somebody has said here.

    In the user's cache; one that cannot be written remembers nothing.
    """
    remember([task_words(plan), model_words(plan), experience_words(plan)])


def remember(said: Iterable[str]) -> None:
    """The same of words."""
    for words in filter(None, said):
        try:
            _note(words).parent.mkdir(parents=True, exist_ok=True)
            _note(words).touch()
        except OSError as error:
            log.debug("what was said here is not remembered: %s", error)


def vouched(words: str) -> bool:
    """Whether they were said here before, or say nothing."""
    return not words or _note(words).is_file()


def task_words(plan: Plan) -> str:
    """A task that is imported, and where from; "" where none is, or none is there."""
    return words_of_task(plan.task)


def words_of_task(task: str) -> str:
    """The same of a task by its name."""
    task = in_full(task)
    place = _found_at(task) if needs_import(task) else None
    return "" if place is None else f"task {task}\n{place}"


def model_words(plan: Plan) -> str:
    """Options of the models that are more than numbers, such as an address."""
    options = plan.lm_options or {}
    more = {k: v for k, v in options.items() if not isinstance(v, (int, float))}
    return f"model {json.dumps(more, sort_keys=True)}" if more else ""


def experience_words(plan: Plan) -> str:
    """A library whose entries are shown to the models; "" where none is."""
    return f"experience {plan.experience}" if plan.experience else ""


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


def _note(words: str) -> Path:
    """An empty file that stands for them."""
    said = words.encode(errors="surrogatepass")
    return folder() / "said-here" / hashlib.sha256(said).hexdigest()
