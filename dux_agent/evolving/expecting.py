"""What a search will come to, before it begins: trainings, calls, money and hours."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from dux_agent.evolving.asking import dollars_of_call
from dux_agent.evolving.plan import OFFLINE, EvolvePlan
from dux_agent.evolving.search import REFERENCE, Bench, Training, trainings_of
from dux_agent.formatting import plural
from dux_graphs.evolution.individual import Draft, Individual
from dux_graphs.evolution.racing import highest_rung
from dux_sandbox.zoo import entry

_ONE_IN = 3  # of those on a rung goes on to the next
_PARTS = 100  # shorter twins of a winner that are examined
_REPLIES = 3  # that a draft may cost


@dataclass(frozen=True)
class Expected:
    """What a search comes to, at most but for seeds beyond the budget's rungs.

    Attributes:
        arms: the search and its baselines.
        examined: individuals.
        short, full: trainings on the tasks that select.
        validation, report: trainings on the others, the reference's among them.
        calls: of the language models.
        dollars: that they cost, all of the dearest; None: a price is not known.
    """

    arms: int
    examined: int
    short: int
    full: int
    validation: int
    report: int
    calls: int
    dollars: float | None


def expected(plan: EvolvePlan) -> Expected:
    """What a plan comes to.

    >>> found = expected(EvolvePlan(("logistic",), ("digits",), ("sine",), budget=32))
    >>> found.examined, found.short, found.full, found.calls
    (128, 128, 44, 0)
    """
    arms, tasks = 1 + len(plan.baselines), len(plan.tasks)
    full, climbing = 0, plan.budget
    for place in range(1, highest_rung(plan.budget) + 1):
        climbing = -(-climbing // _ONE_IN)
        full += climbing * len(trainings_of(plan.tasks, place))
    calls = 0 if plan.model == OFFLINE else _REPLIES * plan.budget
    costs = [dollars_of_call(name) for name in plan.models]
    known = [each for each in costs if each is not None]
    seeds = len(plan.validation) * plan.validation_seeds
    return Expected(
        arms=arms,
        examined=arms * plan.budget,
        short=arms * plan.budget * tasks,
        full=arms * full,
        validation=(arms * plan.finalists + 1) * seeds,
        report=(arms + 1) * len(plan.report) * plan.report_seeds,
        calls=calls,
        dollars=calls * max(known) if len(known) == len(costs) else None,
    )


def expected_seconds(
    bench: Bench, validation: Sequence[Training], report: Sequence[Training]
) -> float:
    """How long that takes, replies apart: AdamW is trained once on each task.

    What is trained so is what a search compares with, and is not trained again.

    Args:
        validation, report: one training on each of those tasks.

    Raises:
        BadArgument: a task gives nothing to compare with.
    """
    come = expected(bench.plan)
    other = Individual(2, Draft(entry("sgd").source, "Another."), REFERENCE, (), 0)
    # Workers are there when this is over: two at least, where there are as many.
    bench.examine(REFERENCE, [bench.reference, other])
    # About half of what is bred has a structure whose laws are not known.
    examine = partial(bench.examine, REFERENCE, [other], laws=False)
    examined = 2 * _seconds(examine) / bench.plan.workers
    counts = come.short + 2 * come.full, come.validation, come.report
    stages = trainings_of(bench.plan.tasks, 0), validation, report
    # All at once, so that no worker waits; what each took is told by its steps.
    took = _seconds(partial(bench.refer_to, [e for stage in stages for e in stage]))
    steps = [bench.step_seconds(stage) for stage in stages]
    by_steps = took / max(math.fsum(steps), 1e-9)
    return (come.examined + _PARTS) * examined + math.fsum(
        by_steps * count * spent / len(stage)
        for count, spent, stage in zip(counts, steps, stages, strict=True)
    )


def _seconds(do: Callable[[], object]) -> float:
    began = time.monotonic()
    do()
    return time.monotonic() - began


def cost_lines(plan: EvolvePlan) -> list[str]:
    """What a search will come to, before it starts."""
    come = expected(plan)
    asked = []
    if come.calls:
        several = len(plan.models) > 1
        price = "not all of whose prices are" if several else "whose price is not"
        price = f"{price} known"
        if come.dollars is not None:
            price = f"{'up to' if several else 'some'} {come.dollars:.2f} dollars"
        asked = [f"at most {come.calls} calls of {' or '.join(plan.models)}, {price}"]
    return [
        *asked,
        f"{plural(come.examined, 'evaluation')} ({plan.budget} of the search and of "
        f"each baseline: {', '.join(plan.baselines)}): {come.short} short trainings at "
        f"most, and some {come.full} full ones",
        f"then {plural(come.validation, 'training')} to validate and {come.report} to "
        f"report",
    ]
