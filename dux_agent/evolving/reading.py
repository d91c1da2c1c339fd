"""Reads the run folder of a search; changes nothing in it."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dux_agent.errors import BadArgument, DuxError, RunFolderUnusable
from dux_agent.evolving.evolve import (
    REPORT,
    SEARCH,
    VALIDATION,
    is_search,
    require_search,
)
from dux_agent.evolving.journal import EXAMINED, PARTS
from dux_agent.evolving.plan import EvolvePlan
from dux_agent.run_folder.kept_sources import read_kept_source
from dux_agent.run_folder.run_facts import read_facts
from dux_agent.run_folder.trace import iterate
from dux_agent.showing import one_line
from dux_graphs.evolution.racing import difference
from dux_graphs.evolution.search import BY
from dux_graphs.evolution.simplifying import ablated
from dux_graphs.intervals import half_interval
from dux_sandbox.findings import digest_of

_LARGEST = 500.0


@dataclass
class Row:
    """One individual, as the journal tells of it.

    Attributes:
        arm: "search", or the baseline that it is of.
        number: in that arm.
        digest: of its source.
        operator, parents, island, thought: where it came from.
        stage: the last that it was in.
        why: what stopped it; "" where nothing did.
        values: by stage, logarithms of loss to the reference's loss.
        answers: by stage, what the stage gave.
        reported: the place of its last report in the journal; 0: none.
    """

    arm: str
    number: int
    digest: str
    operator: str
    parents: tuple[int, ...]
    island: int
    thought: str
    stage: str = ""
    why: str = ""
    values: dict[str, list[float]] = field(default_factory=dict)
    answers: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    reported: int = 0


@dataclass(frozen=True)
class Reported:
    """What the winner of an arm does on the tasks that nobody selected by.

    Attributes:
        row: the winner.
        seeds: for each seed, the mean over the tasks of the report.
        validation: the same of the tasks of the validation.
    """

    row: Row
    seeds: tuple[float, ...]
    validation: tuple[float, ...]


@dataclass(frozen=True)
class SearchTold:
    """A search as its run folder tells it.

    Attributes:
        path: the folder.
        plan: the options.
        rows: every individual, in the order in which they were met.
    """

    path: Path
    plan: EvolvePlan
    rows: tuple[Row, ...]

    def reported(self) -> dict[str, Reported]:
        """By arm, the winner; without those whose report is not whole."""
        found: dict[str, Reported] = {}
        stages = [f"{REPORT}: {task}" for task in self.plan.report]
        for row in self.rows:
            whole = [row.values.get(stage, []) for stage in stages]
            if any(len(each) != self.plan.report_seeds for each in whole):
                continue
            # With a higher budget another may have won since.
            if row.arm not in found or row.reported > found[row.arm].row.reported:
                seeds = tuple(map(_mean, zip(*whole, strict=True)))
                found[row.arm] = Reported(row, seeds, self._validation(row))
        return found

    def _validation(self, row: Row) -> tuple[float, ...]:
        """Also of a winner that was simplified: it takes the steps of its twin."""
        twins = [e for e in self.rows if (e.arm, e.number) == (row.arm, row.number)]
        values = [v for e in twins for v in e.values.get(VALIDATION, [])]
        tasks = len(self.plan.validation)  # of one seed, then of the next
        seeds = range(0, len(values), tasks)
        return tuple(_mean(values[at : at + tasks]) for at in seeds)

    def verdict(self) -> str:
        """Whether the search beats every tuned baseline, in one sentence.

        Told beside the one that it is least surely ahead of: to be ahead of the best
        on the validation alone says little where others do better in the report.
        """
        reported = self.reported()
        ours = reported.pop(SEARCH, None)
        if ours is None or not reported:
            return "The search is not over: nothing was reported yet."
        apart = {a: difference(ours.seeds, e.seeds) for a, e in reported.items()}
        arm = max(apart, key=lambda each: sum(apart[each]))
        told = f"{change(*apart[arm])} of its loss, paired over seeds"
        if sum(apart[arm]) < 0:
            return f"Beats the best tuned baseline, {arm}: {told}."
        return (
            f"None beats the best tuned baseline, {arm}, by more than its interval: "
            f"the best that was found gives {told}."
        )

    def beside(self, one: Reported) -> str:
        """The loss of the search's winner as a change of another's, paired over seeds.

        "" of itself, and before it is reported.
        """
        ours = self.reported().get(SEARCH)
        if ours is None or one.row.arm == SEARCH:
            return ""
        return change(*difference(ours.seeds, one.seeds))

    def source(self, row: Row) -> str:
        """The text of an individual. Raises RunFolderUnusable: it is not kept."""
        source = read_kept_source(self.path, row.digest)
        if source is None:
            raise RunFolderUnusable(
                f"the source {row.digest[:12]!r} is not in {self.path} under its "
                f"digest; the file that the search wrote was wanted; restore it."
            )
        return source

    def ablation(self) -> list[tuple[str, str]]:
        """Each part and option of the winner, and what it does without that.

        Empty where nothing was reported yet, or by a version that did not look.
        """
        winner = self.reported().get(SEARCH)
        whole = {} if winner is None else winner.row.answers.get(EXAMINED, {})
        if winner is None or whole.get("end") is None:
            return []
        tried = {row.digest: row.answers.get(PARTS) for row in self.rows}
        found = []
        for part, source in ablated(self.source(winner.row)):
            answer = tried.get(digest_of(source))
            if answer is not None:
                found.append((part, _effect(answer, whole)))
        return found

    def stopped_at(self, arm: str = SEARCH) -> dict[str, int]:
        """How many individuals each stage stopped."""
        own = [row for row in self.rows if row.arm == arm and PARTS not in row.answers]
        return dict(Counter(row.stage for row in own if row.why))

    def bred_by_models(self) -> dict[str, tuple[int, int]]:
        """Where several models were asked, how many each bred, and were stopped."""
        if len(self.plan.models) == 1:
            return {}
        own = [row for row in self.rows if row.arm == SEARCH]
        by = [(row.operator.partition(BY)[2], bool(row.why)) for row in own]
        return {
            name: (sum(e[0] == name for e in by), by.count((name, True)))
            for name in self.plan.models
        }


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values) if values else math.nan


def over_seeds(seeds: Sequence[float]) -> str:
    """The mean of what came at several seeds as a change, with its interval."""
    half = half_interval(seeds) if len(seeds) > 1 else None
    return change(_mean(seeds), half)


def _effect(answer: Mapping[str, Any], whole: Mapping[str, Any]) -> str:
    if "why" in answer:
        return f"does not run: {answer['why']}"
    if answer["fingerprint"] == whole["fingerprint"]:
        return "takes the same steps"
    if answer.get("end") is None:
        return "ends in no number"
    return f"ends at {change(answer['end'] - whole['end'])} of the loss"


def change(mean: float, half: float | None = None) -> str:
    """A difference of logarithms as a change, per cent, with its interval.

    >>> change(math.log(0.9), 0.01)
    '-10.0 % (-10.9 to -9.1)'
    """
    ends = [mean] if half is None else [mean, mean - half, mean + half]
    said = [f"{100 * math.expm1(each):+.1f}" for each in ends]
    return f"{said[0]} %" + (f" ({said[1]} to {said[2]})" if half is not None else "")


def refuse_search(path: str | Path) -> None:
    """Raise BadArgument where a training's folder was wanted and this is a search's."""
    if is_search(path):
        raise BadArgument(
            f"{path} holds a search of dux evolve; a training was wanted; see the "
            f"search with dux report {path}, go on with it with dux evolve --resume "
            f"{path}, take its winner with dux export {path}."
        )


def read_search(path: str | Path) -> SearchTold:
    """What a run folder tells, also of a search that goes on or died.

    Raises:
        RunFolderUnusable: it is no search, or its trace is damaged.
        BadArgument: its options are none.
    """
    path = Path(path)
    require_search(path)
    rows: dict[tuple[str, str], Row] = {}
    with read_in_words(path):
        for place, event in enumerate(iterate(path), 1):
            if event.kind == "trial":
                _take(rows, event.data, place)
        plan = EvolvePlan.of(read_facts(path)["arguments"])
    return SearchTold(path, plan, tuple(rows.values()))


@contextmanager
def read_in_words(path: str | Path) -> Iterator[None]:
    """Inside, what stands in a search's folder is told: it may be anybody's.

    Raises:
        RunFolderUnusable: there is something of another kind than a search writes.
    """
    try:
        yield
    except DuxError:
        raise
    except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError) as at:
        raise RunFolderUnusable(
            f"{path} holds no search that can be read: {one_line(str(at), 200)}; one "
            f"that `dux evolve` wrote was wanted; restore it."
        ) from None


def _bounded(value: Any) -> float:
    """A logarithm of which there can be told what it is of, or no number."""
    found = float(value)
    if math.isfinite(found) and abs(found) > _LARGEST:
        raise ValueError(f"{found} is no logarithm of a loss beside another")
    return found


def _take(
    rows: dict[tuple[str, str], Row], data: Mapping[str, Any], place: int
) -> None:
    told, digest = data["report"], str(data["config"]["source"])
    row = rows.get((told["arm"], digest))
    if row is None:
        row = rows[told["arm"], digest] = Row(
            arm=str(told["arm"]),
            number=int(data["number"]),
            digest=digest,
            operator=str(told["operator"]),
            parents=tuple(told["parents"]),
            island=int(told["island"]),
            thought=str(data["why"]),
        )
    row.stage, answer = str(told["stage"]), told["answer"]
    if row.stage.startswith(REPORT):
        row.reported = place
    row.answers[row.stage] = answer
    row.values[row.stage] = [_bounded(each) for each in told.get("values", ())]
    if "why" in answer:
        row.why = str(answer["why"])
        row.stage = str(answer.get("stage", row.stage))
