"""`dux bench experience`: what a library is worth on tasks that gave it no entry.

A scripted explorer trains the family's `train` tasks: the offline rules' proposals with
another kind and rate each time, so that the library knows of good ones and bad ones.
Then the tasks of another purpose are trained without it and with it, from the same
weights: by the offline rules, which draw on none, by a drawer, which takes a kind and a
rate from it, and by a follower, which takes a whole source.
"""

from __future__ import annotations

import math
import tempfile
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from dux_agent.benchmarks.code_digest import code_digest
from dux_agent.benchmarks.experience_models import Drawer, Explorer, Follower
from dux_agent.benchmarks.family import names_of
from dux_agent.benchmarks.kept_rows import KeptRows
from dux_agent.benchmarks.paired import Paired, geometric_mean
from dux_agent.benchmarks.table1.dux_rows import OFFLINE, dux_row
from dux_agent.errors import BadArgument
from dux_agent.experience.library import learn_entries
from dux_agent.learning.runs import entries_of_run
from dux_agent.runs.training import resume, torch_threads, train
from dux_graphs.offline.model import OfflineRules

TAUGHT_BY, BASES, LESSONS = "train", ("sgd", "adam"), 2
"""Whose tasks, with which bases, and from how many seeds the library is made of."""

_WITHOUT, _WITH = OFFLINE, ("drawer", "follower")
_MODELS = {_WITHOUT: OfflineRules, "drawer": Drawer, "follower": Follower}
_MADE_OF = (
    *(__name__, Explorer.__module__, "dux_agent.experience", "dux_agent.learning"),
    "dux_prompts.experience",
)


@dataclass(frozen=True)
class Worth:
    """Final test losses on one task, seed by seed, with a library and without.

    Attributes:
        task: its name, with its base.
        drawer, follower: losses with it beside the offline rules' without it.
    """

    task: str
    drawer: Paired
    follower: Paired

    def __str__(self) -> str:
        said = []
        for name in _WITH:
            pair: Paired = getattr(self, name)
            mean, half = pair.change
            ratio = math.nan if pair.ratio is None else pair.ratio
            said.append(
                f"{name} {ratio:6.3f} ({100 * mean:+6.1f} % ± {100 * half:.1f}: "
                f"{pair.word})"
            )
        return f"{self.task:22} {'  '.join(said)}"


def measure(
    names: Sequence[str],
    seeds: int,
    folder: Path | None,
    say: Callable[[str], None] = lambda line: None,
    *,
    teaching: Sequence[str] | None = None,
    lessons: int = LESSONS,
) -> list[Worth]:
    """Make the library, and train each task without and with it.

    Args:
        names: of the tasks; none may be one that the library is made of.
        seeds: of each.
        folder: keeps the library's runs and every training; None: nothing is kept.
        say: is told of each task as it is over.
        teaching: of the tasks that the library is made of; None: the family's.
        lessons: seeds of each of those.

    Raises:
        BadArgument: a task would be judged by what it taught.
        DuxError: the folder cannot be written.
    """
    teaching = names_for_bases(TAUGHT_BY) if teaching is None else teaching
    judged, taught = ({e.partition("@")[0] for e in s} for s in (names, teaching))
    both = judged & taught
    if both:
        raise BadArgument(
            f"{sorted(both)[0]} is among the tasks that the library is made of; tasks "
            f"that gave it no entry were wanted; name others."
        )
    found = []
    with ExitStack() as stack:
        place = folder or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        stack.enter_context(torch_threads(1))
        library, key = _library(place, teaching, lessons, say)
        rows = KeptRows(folder)
        for name in names:
            losses: dict[str, list[float]] = {
                _WITHOUT: [],
                **{row: [] for row in _WITH},
            }
            for seed in range(seeds):
                for row, of_row in losses.items():
                    told = {"task": name, "seed": seed, "row": row, **key}
                    find = partial(_loss, row, name, seed, library)
                    loss = rows.row(f"{name}-{row}-{seed}", told, find)
                    of_row.append(math.nan if loss is None else loss)
            pairs = (Paired(losses[row], losses[_WITHOUT]) for row in _WITH)
            found.append(Worth(name, *pairs))
            say(str(found[-1]))
    return found


def tell(
    purpose: str, seeds: int, folder: Path | None, say: Callable[[str], None]
) -> bool:
    """Measure it on the family's tasks of that purpose, and say each figure.

    Returns:
        Whether no task ends worse for who draws on the library.

    Raises:
        BadArgument: there is no such purpose, or it is the one that taught.
        DuxError: as for `measure`.
    """
    found = measure(names_for_bases(purpose), seeds, folder, say)
    for name in _WITH:
        pairs: list[Paired] = [getattr(each, name) for each in found]
        mean = geometric_mean([p.ratio for p in pairs if p.ratio is not None])
        words = Counter(pair.word for pair in pairs)
        counts = ", ".join(f"{words[w]} {w}" for w in ("better", "worse", "noise"))
        say(f"{name} with the library, beside offline without: {mean:.3f}; {counts}")
    return all(each.drawer.word != "worse" for each in found)


def names_for_bases(purpose: str) -> list[str]:
    """The family's tasks of that purpose with the bases of this benchmark."""
    return [name for name in names_of(purpose) if name.partition("@")[2] in BASES]


def _library(
    place: Path, teaching: Sequence[str], lessons: int, say: Callable[[str], None]
) -> tuple[Path, dict[str, Any]]:
    """Its file, and what the figures hang on; runs that are there are read."""
    code = [dux_row(OFFLINE, "", OFFLINE).code, code_digest(_MADE_OF)]
    key = {"code": code, "teaching": list(teaching), "lessons": lessons}
    file = place / f"experience-{code_digest(_MADE_OF)[:8]}.sqlite"
    count = 0
    for seed in range(lessons):
        for name in teaching:
            run = place / "lessons" / f"{name}-{seed}"
            explorer = Explorer(seed=seed)
            if (run / "run.json").is_file():
                resume(run, lm=explorer, execution="inline", task=name)
            else:
                train(name, lm=explorer, seed=seed, execution="inline", run_dir=run)
            entries = entries_of_run(run)
            count += len(entries)
            learn_entries(file, entries)
    say(f"{count} entries of {lessons * len(teaching)} runs on {', '.join(teaching)}")
    return file, key


def _loss(row: str, name: str, seed: int, library: Path) -> float | None:
    """The final test loss of one training; None: not finite."""
    how: dict[str, Any] = {"seed": seed, "execution": "inline"}
    if row != _WITHOUT:
        how["experience"] = str(library)
    loss = train(name, lm=_MODELS[row](), **how).epochs[-1].test
    return loss if math.isfinite(loss) else None
