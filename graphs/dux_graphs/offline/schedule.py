"""Rates, lengths and limits that follow from counts of steps alone."""

from __future__ import annotations

import math
from dataclasses import replace

from dux_graphs.offline.plan import Plan
from dux_graphs.offline.reading import Figures

REACH = 7.0
"""Rate times steps of a whole run: how far weights must travel to learn anything.

Too little leaves a network near its start, much more only shakes it. Measured on
small sigmoid and recurrent networks: 5 to 11 serve.
"""

HIGHEST_RATE = 0.08
LOWEST_RATE = 1e-6
COOL_FROM = 0.6
"""The rate falls to zero over this last share of the run."""


def scheduled(plan: Plan, figures: Figures) -> Plan:
    """The plan with the part of the run's schedule that lies in the steps ahead.

    One schedule for the run: full rate, then linear to zero over its last part. Each
    proposal takes over where the one before ended.
    """
    steps = steps_ahead(figures)
    step = figures.step or 0
    now = share_at(step, figures)
    then = share_at(step + steps, figures)
    if figures.loop_schedules:
        pass  # the loop's own schedule cools down; both at once would be twice
    elif figures.decisions_left == 0 and figures.total_steps is None:
        then = 0.1
    elif figures.total_steps is None:
        then = 0.7
    final = min(1.0, then / now) if now > 0.0 else 0.0
    cools = (
        f"Over {steps} steps the rate goes from {plan.lr * now:.3g}"
        f" to {plan.lr * now * final:.3g}"
    )
    warmup = min(10, max(1, steps // 8))
    return replace(
        plan,
        lr=plan.lr * now,
        adam_lr=plan.adam_lr * now,
        warmup=warmup,
        total=steps,
        final=final,
        changes=(*plan.changes, f"{cools}, after {warmup} of warm-up."),
    )


def share_at(step: int, figures: Figures) -> float:
    """Share of the full rate at a step of the run; all of it where the loop cools."""
    total = figures.total_steps
    if not total or figures.loop_schedules:
        return 1.0
    return min(1.0, max(0.0, (total - step) / (COOL_FROM * total)))


def steps_ahead(figures: Figures) -> int:
    """Steps that the next rule will run, or a guess."""
    return max(1, figures.steps_ahead or figures.interval or 100)


def reach_rate(figures: Figures) -> float:
    """The rate that lets weights travel REACH in the steps that are left."""
    left = 4 * steps_ahead(figures)
    if figures.total_steps is not None and figures.step is not None:
        left = max(1, figures.total_steps - figures.step)
    return min(max(REACH / left, 1e-3), HIGHEST_RATE)


def muon_momentum(figures: Figures) -> float:
    """Muon's momentum: a short interval has no time for a long memory."""
    return 0.95 if steps_ahead(figures) > 60 else 0.9


def clip_at(figures: Figures, times: float) -> float | None:
    """So many times the usual length of the gradient; None where it is not known."""
    norms = sorted(norm for norm in figures.gradients if math.isfinite(norm))
    usual = norms[len(norms) // 2] if norms else 0.0
    return float(f"{times * usual:.2g}") if usual > 0.0 else None
