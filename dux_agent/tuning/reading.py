"""Reads the run folder of a study; changes nothing in it."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dux_agent.run_folder.run_facts import read_facts
from dux_agent.run_folder.trace import Event, iterate
from dux_agent.tuning.plan import StudyPlan
from dux_agent.tuning.recorded_study import recorded_study
from dux_agent.tuning.study import Study, Trial, best_of
from dux_prompts.tuning.space import Space

_MOST_COUNTED = 10**12  # of anything that one call may have used
_LARGEST = 1e300


@dataclass
class TrialTold:
    """One trial as the trace tells it.

    Attributes:
        number: from 1.
        trial: what came of it; None where the trace ends before.
        prompts: messages of each call.
        replies: the texts that came.
        findings: of each reply, in order.
        troubles: what a call met instead of a reply.
    """

    number: int
    trial: Trial | None = None
    prompts: list[list[dict[str, Any]]] = field(default_factory=list)
    replies: list[str] = field(default_factory=list)
    findings: list[list[dict[str, Any]]] = field(default_factory=list)
    troubles: list[str] = field(default_factory=list)

    @property
    def found(self) -> list[str]:
        """Every finding, one line each."""
        return [
            f"[{each.get('rule')}] {each.get('message')}"
            for findings in self.findings
            for each in findings
        ]


@dataclass(frozen=True)
class StudyTold:
    """A study as its run folder tells it.

    Attributes:
        path: the folder.
        facts: its `run.json`.
        space: what was tuned.
        plan: the options.
        trials: each with what was said in it.
        control: random search beside it.
        usage: calls and tokens.
        began, ended: of the first and the last event, seconds since 1970 UTC.
    """

    path: Path
    facts: Mapping[str, Any]
    space: Space
    plan: StudyPlan
    trials: tuple[TrialTold, ...]
    control: tuple[Trial, ...]
    usage: dict[str, float]
    began: float
    ended: float

    @property
    def over(self) -> tuple[Trial, ...]:
        """The trials that have come to their end."""
        return tuple(each.trial for each in self.trials if each.trial is not None)

    @property
    def best(self) -> Trial | None:
        """The trial with the best shown value."""
        return best_of(self.over, self.plan.maximize)

    @property
    def study(self) -> Study:
        """As `dux_agent.tune` gave it."""
        return Study(
            trials=self.over,
            control=self.control,
            maximize=self.plan.maximize,
            usage=self.usage,
            model=str(self.facts.get("model")),
            complete=len(self.over) >= (self.plan.budget or 0),
            run_dir=self.path,
            seconds=self.ended - self.began,
        )


def read_study(path: str | Path) -> StudyTold:
    """What a run folder tells, also of a study that goes on or died.

    Raises:
        RunFolderUnusable: it is no study, or its trace is damaged.
    """
    path = Path(path)
    space, options, _ = recorded_study(path)
    told: dict[int, TrialTold] = {}
    control: dict[int, Trial] = {}
    usage: Counter[str] = Counter()
    began = ended = 0.0
    for event in iterate(path):
        began, ended = began or event.time, max(ended, event.time)
        if event.decision is not None:
            one = told.setdefault(event.decision, TrialTold(event.decision))
            _take(one, event, usage)
        elif event.kind == "trial":
            trial = _trial_of(event.data)
            if trial is not None:
                control[trial.number] = trial
    return StudyTold(
        path=path,
        facts=read_facts(path),
        space=space,
        plan=StudyPlan.of(options),
        trials=tuple(told[number] for number in sorted(told)),
        control=tuple(control[number] for number in sorted(control)),
        usage=dict(usage),
        began=began,
        ended=ended,
    )


def _take(one: TrialTold, event: Event, usage: Counter[str]) -> None:
    data = event.data
    if event.kind == "prompt":
        one.prompts.append([dict(each) for each in data.get("messages") or ()])
    elif event.kind == "reply":
        one.replies.append(str(data.get("content")))
        held = data.get("usage")
        for name, count in (held if isinstance(held, dict) else {}).items():
            if type(count) in (int, float) and 0 <= count < _MOST_COUNTED:
                usage[str(name)] += count
    elif event.kind == "static_check":
        found = data.get("findings")
        one.findings.append([dict(f) for f in found or () if isinstance(f, dict)])
    elif event.kind == "error":
        one.troubles.append(str(data.get("message")))
    elif event.kind == "trial":
        one.trial = _trial_of(data) or one.trial


def _trial_of(data: Mapping[str, Any]) -> Trial | None:
    """A trial of a trace, which may be anybody's; None where it is none."""
    numbers = (data.get("value"), data.get("measured"), data.get("seconds"))
    sound = all(each is None or _is_number(each) for each in numbers)
    number = data.get("number")
    if not sound or not isinstance(data.get("config"), dict) or type(number) is not int:
        return None
    try:
        trial = Trial.from_dict(data)
    except TypeError:
        return None
    texts = (trial.why, trial.by, trial.error, trial.state)
    return trial if all(isinstance(each, str) for each in texts) else None


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and abs(value) < _LARGEST
