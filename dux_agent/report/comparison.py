"""Mean and spread over seeds: runs of one task against their control."""

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from dux_agent.formatting import model_title
from dux_agent.run_history.records import EpochLosses, RunHistory
from dux_agent.showing import one_line

MEASURES = {"val": "validation loss", "test": "test loss", "train": "training loss"}


@dataclass(frozen=True)
class Spread:
    """Several losses of the same thing under different seeds.

    Attributes:
        count: how many finite ones there are.
        mean: of these; NaN where there is none.
        deviation: their sample standard deviation; 0 for a single one.
        low, high: the lowest and the highest.
        lost: how many were not finite; they count in none of the above.
    """

    count: int
    mean: float
    deviation: float
    low: float
    high: float
    lost: int = 0


@dataclass(frozen=True)
class Group:
    """Runs of one task that differ in their seed.

    Attributes:
        name: the language model's, or "control".
        seeds: of its runs, in order.
        courses: the epochs of each run.
    """

    name: str
    seeds: tuple[str, ...]
    courses: tuple[tuple[EpochLosses, ...], ...]


def spread_of(losses: Iterable[float]) -> Spread:
    """Mean and spread of some losses.

    >>> spread_of([1.0, 3.0, math.inf])
    Spread(count=2, mean=2.0, deviation=1.4142135623730951, low=1.0, high=3.0, lost=1)
    """
    given = list(losses)
    finite = [loss for loss in given if math.isfinite(loss) and abs(loss) < 1e150]
    lost = len(given) - len(finite)
    if not finite:
        return Spread(0, math.nan, math.nan, math.nan, math.nan, lost)
    deviation = statistics.stdev(finite) if len(finite) > 1 else 0.0
    mean = statistics.fmean(finite)
    return Spread(len(finite), mean, deviation, min(finite), max(finite), lost)


def groups_of(runs: Sequence[RunHistory]) -> dict[str, list[Group]]:
    """The runs by task, and within a task by language model; the control comes last.

    Two runs with the same seed have the same control: it counts once.
    """
    tasks: dict[str, list[RunHistory]] = {}
    for run in runs:
        tasks.setdefault(fact(run, "task") or "a training", []).append(run)
    return {task: _groups(together) for task, together in tasks.items()}


def fact(run: RunHistory, name: str) -> str:
    """What `run.json` says of a run, on one line; empty where it says nothing."""
    value = run.facts.get(name)
    return "" if value is None else one_line(str(value), 120)


def _groups(runs: Sequence[RunHistory]) -> list[Group]:
    by_model: dict[str, list[RunHistory]] = {}
    controls: dict[str, tuple[EpochLosses, ...]] = {}
    for place, run in enumerate(runs):
        model = model_title(fact(run, "model") or "unknown model")
        by_model.setdefault(model, []).append(run)
        if run.control:
            controls.setdefault(fact(run, "seed") or f"?{place}", run.control)
    groups = [
        Group(
            model,
            tuple(fact(run, "seed") for run in together),
            tuple(run.epochs for run in together),
        )
        for model, together in by_model.items()
    ]
    if controls:
        groups.append(Group("control", tuple(controls), tuple(controls.values())))
    return groups


def course(group: Group, measure: str) -> list[tuple[int, Spread]]:
    """The spread after each epoch that all runs of a group have reached."""
    reached: Mapping[int, list[float]] = _by_epoch(group, measure)
    return [
        (number, spread_of(losses))
        for number, losses in sorted(reached.items())
        if len(losses) == len(group.courses)
    ]


def final(group: Group, measure: str) -> Spread:
    """The spread of the last losses of each run."""
    last = (getattr(epochs[-1], measure) for epochs in group.courses if epochs)
    return spread_of(loss for loss in last if loss is not None)


def paired(group: Group, control: Group, measure: str) -> tuple[Spread, int] | None:
    """What a group's runs gain over the control of their own seed.

    Returns:
        The spread of `control - run`, above 0 where the run is better, and the number
        of runs that are; None where no seed has both.
    """
    beside = dict(zip(control.seeds, control.courses, strict=True))
    gains = []
    for seed, epochs in zip(group.seeds, group.courses, strict=True):
        other = beside.get(seed)
        if not epochs or not other:
            continue
        theirs = {each.number: getattr(each, measure) for each in other}
        ours, base = getattr(epochs[-1], measure), theirs.get(epochs[-1].number)
        if ours is not None and base is not None:
            gains.append(base - ours)
    return None if not gains else (spread_of(gains), sum(gain > 0 for gain in gains))


def _by_epoch(group: Group, measure: str) -> dict[int, list[float]]:
    reached: dict[int, list[float]] = {}
    for epochs in group.courses:
        for epoch in epochs:
            loss = getattr(epoch, measure)
            if loss is not None:
                reached.setdefault(epoch.number, []).append(loss)
    return reached
