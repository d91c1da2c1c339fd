"""Sprints: a whole schedule in each interval, for a network that will fit too well.

How much a network overfits shows in the validation loss of weights that have come to
rest, not of those that a high rate shakes. So the rate is held and comes down to zero
within one interval; a second sprint that learns slowly ends halfway back, in the middle
of two that have rested; and one after which validation has risen is taken back.
"""

from __future__ import annotations

from dataclasses import replace

from dux_graphs.offline.plan import Plan
from dux_graphs.offline.reading import Figures
from dux_graphs.offline.schedule import (
    HOLD_UNTIL,
    LOWEST_RATE,
    muon_momentum,
    reach_rate,
    scheduled,
    steps_ahead,
)
from dux_graphs.offline.situation import FLAT, SLOW, Live, Situation

LONG = 0.2
"""Share of the run from which on an interval is long enough for a schedule."""

PULLS_AWAY = 0.04
"""A validation loss that lies by this share over the training loss of both modes."""

RISES = 0.02
"""A rise of the validation loss, to above the training loss, that is taken back."""

SPRINTS = "Cool down to nothing within these steps"
RESTS = "Stay where the weights have come to rest"
"""How the comments of a source say so: a sprint and what follows are known by them."""


def may_sprint(figures: Figures) -> bool:
    """Whether validation is there to stop by, and time for a schedule an interval."""
    if figures.loop_schedules or not figures.validation or not figures.total_steps:
        return False
    return steps_ahead(figures) >= LONG * figures.total_steps


def has_sprinted(source: str) -> bool:
    """Whether the live rule is a sprint, or rests after one."""
    return f"# - {SPRINTS}" in source or f"# - {RESTS}" in source


def sprinted(plan: Plan, figures: Figures) -> Plan:
    """The plan with a whole schedule in the steps ahead."""
    steps = steps_ahead(figures)
    why = f"{SPRINTS}: only weights at rest show whether the network overfits."
    return replace(
        plan,
        warmup=min(10, max(1, steps // 8)),
        hold=int(HOLD_UNTIL * steps),
        total=steps,
        final=0.0,
        begun=True,
        changes=(why, *plan.changes),
    )


def after_a_sprint(
    figures: Figures, live: Live, situation: Situation, numbers: tuple[str, ...]
) -> Plan:
    """Once more at the same rate; or the rest of the run; or back, and rest."""
    rested = f"# - {RESTS}" in figures.source
    gained, gap = situation.gained or 0.0, situation.gap or 0.0
    rests = rested or gained < 0.0 or (gained < FLAT and gap > PULLS_AWAY)
    quickens = not rests and gained >= _fallen_before(situation)
    rate = LOWEST_RATE if rests else live.lr or reach_rate(figures)
    rate = reach_rate(figures) if quickens else rate
    plan = Plan(
        live.family,
        rate,
        adam_lr=live.adam_share * rate,
        momentum=muon_momentum(figures) if live.family == "muon" else 0.9,
        plain_shapes=figures.plain_shapes,
        total=steps_ahead(figures),
        numbers=numbers,
    )
    if rests and (rested or gained > -RISES or gap < 0.0):
        return replace(plan, changes=(f"{RESTS}.",))
    if rests:
        why = f"{RESTS}: validation has risen; go back to where it began."
        return replace(plan, back=True, changes=(why,))
    if quickens:
        why = "It learns as fast as ever: go on, and cool down at the end of the run."
        return scheduled(replace(plan, changes=(why,)), figures)
    if situation.fall >= SLOW or gap < -PULLS_AWAY:
        return sprinted(plan, figures)  # it has much to learn: nothing to hold back
    why = "Then go half of the way back: the middle of both is better than either."
    return sprinted(replace(plan, halfway=True, changes=(why,)), figures)


def _fallen_before(situation: Situation) -> float:
    """By which share the training loss fell before the last interval; 1: unknown."""
    if situation.so_far is None or situation.fall >= 1.0:
        return 1.0
    return 1.0 - (1.0 - situation.so_far) / (1.0 - situation.fall)
