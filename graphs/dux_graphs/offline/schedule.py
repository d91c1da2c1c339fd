"""Rates, lengths and limits that follow from counts of steps alone."""

from __future__ import annotations

import math
from dataclasses import replace

from dux_graphs.offline.plan import Plan
from dux_graphs.offline.reading import Figures

REACH = 7.0
"""Rate times steps of a whole run: how far weights must travel to learn anything.

Too little leaves a network near its start, much more only shakes it. Measured on the
tasks that count as train, with a rate that falls to zero over the run.
"""

SHORTER = 0.8
"""Share of it for a loss that falls fast already."""

WIDE = 256
"""Longest side from which on a matrix between sigmoids goes no further than others.

Measured on mnist and on networks of no family, 16 to 256 wide.
"""

HIGHEST_RATE = 0.08
HIGHEST_KEPT = 0.12
"""A base optimizer's own rate is taken over up to here where it works."""
LOWEST_RATE = 1e-6
HOLD_UNTIL = 0.4
"""Until this share of the run a rate may be held that has not begun to fall."""
HOLD_STUCK = 0.6
"""The same on a plateau: whoever cools down there never leaves it."""


def scheduled(plan: Plan, figures: Figures, *, hold_until: float = 0.0) -> Plan:
    """The plan with the part of the run's schedule that lies in the steps ahead.

    Each proposal takes over at the rate where the one before ended, and falls on a
    line that meets zero at the end of the run.

    Args:
        hold_until: stay at the rate until this share of the run is over.
    """
    steps = steps_ahead(figures)
    warmup = min(10, max(1, steps // 8))
    final = _final(figures, hold_until)
    falls = (
        f"Over {steps} steps the rate goes from {plan.lr:.3g}"
        f" to {plan.lr * final:.3g}, after {warmup} of warm-up."
    )
    return replace(
        plan,
        warmup=warmup,
        total=steps,
        final=final,
        changes=(*plan.changes, falls),
    )


def _final(figures: Figures, hold_until: float) -> float:
    """Share of the rate that is left when the steps ahead are over."""
    if figures.loop_schedules:
        return 1.0  # the loop's own schedule cools down; both at once would be twice
    total, step = figures.total_steps, figures.step or 0
    if total is None:
        return 0.1 if figures.decisions_left == 0 else 1.0
    ahead = steps_ahead(figures)
    if step + ahead <= hold_until * total:
        return 1.0
    return max(0.0, 1.0 - ahead / max(1, total - step))


def steps_ahead(figures: Figures) -> int:
    """Steps that the next rule will run, or a guess."""
    return max(1, figures.steps_ahead or figures.interval or 100)


def reach_rate(figures: Figures, share: float = 1.0) -> float:
    """The rate that lets weights travel a share of REACH in the steps left."""
    left = 4 * steps_ahead(figures)
    if figures.total_steps is not None and figures.step is not None:
        left = max(1, figures.total_steps - figures.step)
    return min(max(share * REACH / left, 1e-3), HIGHEST_RATE)


def further(rate: float, side: int) -> float:
    """The rate, raised where matrices of that longest side lie between sigmoids.

    A sigmoid passes on at most a quarter of a change, so a network of theirs says next
    to nothing until its matrices have grown large, as norms of operators. By steps of
    one size for each weight a narrow one grows slower, with the root of its side.
    """
    times = math.sqrt(WIDE / side) if 0 < side < WIDE else 1.0
    return max(rate, min(times * rate, HIGHEST_KEPT))


def muon_momentum(figures: Figures) -> float:
    """Muon's momentum: a short interval has no time for a long memory."""
    return 0.95 if steps_ahead(figures) > 60 else 0.9


def clip_at(figures: Figures, times: float) -> float | None:
    """So many times the usual length of the gradient; None where it is not known."""
    norms = sorted(norm for norm in figures.gradients if math.isfinite(norm))
    usual = norms[len(norms) // 2] if norms else 0.0
    return float(f"{times * usual:.2g}") if usual > 0.0 else None
