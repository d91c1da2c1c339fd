"""`dux learn`: reads run folders into a library."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from dux_agent.arguments import language_models
from dux_agent.errors import BadArgument
from dux_agent.evolving.evolve import is_search
from dux_agent.experience.entry import Entry
from dux_agent.experience.library import learn_entries, without_lesson
from dux_agent.learning.lessons import lessons_by_model
from dux_agent.learning.runs import entries_of_run
from dux_agent.learning.searches import entries_of_search

_TIMEOUT = 600.0  # seconds until the first token


def learn(
    folders: Sequence[str | Path],
    library: str | Path,
    *,
    lm: Any = None,
    say: Callable[[str], None] = lambda line: None,
) -> tuple[int, int]:
    """Put what run folders teach into a library; the same again adds nothing.

    Args:
        folders: of runs with an agent, and of searches.
        library: the file, which is made where it is missing.
        lm: the language model that writes the lessons, as `dux_agent.attach` takes it;
            None or "offline": the rules write them.
        say: is told of each folder, one line.

    Returns:
        How many entries are new, and how many are changed.

    Raises:
        RunFolderUnusable: one of them is no run folder; nothing was learned.
        LibraryUnusable: the file is no library, or cannot be written.
        BadArgument: no folder is named, or `lm` means nothing.
    """
    if not folders:
        raise BadArgument(
            "no run folders were named; some were wanted; run for instance dux learn "
            "runs/digits-0."
        )
    asked = None if lm == "offline" else lm
    models = language_models(asked, None, seed=0, timeout=_TIMEOUT)
    read = [(Path(each), _entries_of(each)) for each in folders]
    added = changed = 0
    for folder, entries in read:
        if models:
            left = without_lesson(library, entries)
            written = {e.key: e for e in lessons_by_model(left, models[0])}
            entries = [written.get(each.key, each) for each in entries]
        new, other = learn_entries(library, entries)
        added, changed = added + new, changed + other
        more = f", {other} changed" if other else ""
        say(f"{folder}: {len(entries)} entries, {new} new{more}")
    return added, changed


def _entries_of(folder: str | Path) -> list[Entry]:
    return entries_of_search(folder) if is_search(folder) else entries_of_run(folder)
