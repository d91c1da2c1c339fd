"""Studies side by side: by what was tuned, then by all that differs but the seed."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from dux_agent.formatting import model_title
from dux_agent.report.comparison import Spread, spread_of
from dux_agent.run_folder.trace import plain
from dux_agent.showing import one_line
from dux_agent.tuning.plan import StudyPlan
from dux_agent.tuning.reading import StudyTold
from dux_agent.tuning.study import Trial, best_of

# Where two studies differ in these alone they are one method's.
_NO_METHOD = {"seed", "model", "budget", "workers", "control", "lm_timeout"}
_MOST_OF_OPTION = 60
_LARGEST = 1e150  # of what can be squared


@dataclass(frozen=True)
class StudyGroup:
    """Studies of one thing that differ in their seed, or in how far they came.

    Attributes:
        name: the language model, and the options that the others have otherwise.
        studies: them.
    """

    name: str
    studies: tuple[StudyTold, ...]


def studies_by_task(studies: Sequence[StudyTold]) -> dict[str, list[StudyGroup]]:
    """The studies by what they tuned, and within that by method."""
    tasks: dict[tuple[str, ...], list[StudyTold]] = {}
    for each in studies:
        named = one_line(str(each.facts.get("task") or "an objective"), 120)
        tasks.setdefault((named, each.plan.direction, *each.space), []).append(each)
    told: dict[str, list[StudyGroup]] = {}
    for (named, *_), together in tasks.items():
        name, again = named, 2
        while name in told:
            name, again = f"{named} ({again})", again + 1
        told[name] = _by_method(together)
    return told


def _by_method(studies: Sequence[StudyTold]) -> list[StudyGroup]:
    facts = [plain(each.plan.facts()) for each in studies]
    differing = [
        name
        for name in facts[0]
        if name not in _NO_METHOD and any(f[name] != facts[0][name] for f in facts)
    ]
    # What a study has as it is by default goes without saying.
    usual = plain(StudyPlan().facts())
    groups: dict[str, list[StudyTold]] = {}
    for each, options in zip(studies, facts, strict=True):
        # A task of many words that another lacks differs too: it is cut, not left out.
        told = [
            _option(name, options[name])
            for name in differing
            if options[name] != usual[name]
        ]
        named = str(each.facts.get("model"))
        model = "no model" if named == "none" else model_title(named)
        groups.setdefault(", ".join([model, *told]), []).append(each)
    return [StudyGroup(name, tuple(held)) for name, held in groups.items()]


def _option(name: str, value: Any) -> str:
    return one_line(f"{name} {json.dumps(value)}", _MOST_OF_OPTION)


def finite(value: Any) -> float | None:
    """A number as a trace may hold it; None where it is none that can be drawn."""
    if not isinstance(value, int | float) or not abs(value) < _LARGEST:
        return None
    return float(value)


def best_after(study: StudyTold, count: int) -> Trial | None:
    """The best of the first trials; None where none of them has a value."""
    return best_of(study.over[:count], study.plan.maximize)


def measured_course(group: StudyGroup) -> list[tuple[int, Spread]]:
    """The measured value of the best so far, after each evaluation that all reached.

    Where values are shown with noise, the best is the best that was shown, as whoever
    proposes has it, and its measured value is what it is worth.
    """
    reached = min((len(each.over) for each in group.studies), default=0)
    course = []
    for count in range(1, reached + 1):
        best = [best_after(each, count) for each in group.studies]
        found = [None if t is None else finite(t.measured) for t in best]
        values = [each for each in found if each is not None]
        if len(values) == len(best):
            course.append((count, spread_of(values)))
    return course


def control_of(groups: Sequence[StudyGroup]) -> list[float]:
    """Values of the random searches beside the studies, each seed once."""
    by_seed: dict[int, list[float]] = {}
    for group in groups:
        for each in group.studies:
            found = [finite(trial.value) for trial in each.control]
            values = [value for value in found if value is not None]
            if len(values) > len(by_seed.get(each.plan.seed, ())):
                by_seed[each.plan.seed] = values
    return [value for values in by_seed.values() for value in values]
