"""The rules: from the figures of a prompt to the plan of the next optimizer.

None of them knows a task. They look at how the losses move, at the steps that are
left, and at what became of the last proposal.
"""

from __future__ import annotations

import math
from dataclasses import replace

from dux_graphs.offline.changing import safer, varied
from dux_graphs.offline.judging import judged
from dux_graphs.offline.plan import Plan
from dux_graphs.offline.reading import Figures
from dux_graphs.offline.schedule import (
    HIGHEST_KEPT,
    HOLD_STUCK,
    HOLD_UNTIL,
    LOWEST_RATE,
    SHORTER,
    clip_at,
    further,
    muon_momentum,
    reach_rate,
    scheduled,
    steps_ahead,
)
from dux_graphs.offline.situation import (
    FAST,
    FLAT,
    Live,
    Situation,
    live_of,
    situation_of,
)
from dux_graphs.offline.sprinting import (
    after_a_sprint,
    has_sprinted,
    may_sprint,
    sprinted,
)
from dux_graphs.offline.writing import title_of


def decide(figures: Figures) -> Plan:
    """The plan for the steps ahead."""
    live = live_of(figures)
    situation = situation_of(figures)
    if not figures.losses and not figures.drawn:
        plan = _blind(figures, live)
    elif situation.broken and not has_sprinted(figures.source):
        plan = _calmed(figures, live)
    elif live.base:
        plan = _first(figures, live, situation)
    else:
        plan = _next(figures, live, situation)
    if figures.harms:
        plan = safer(plan, figures.harms, "The last proposal did harm or was refused")
    if figures.refusals:
        why = f"Refused: {figures.finding or 'the proposal before'}"
        plan = safer(plan, figures.refusals, why)
    return varied(plan, figures.candidate)


def _first(figures: Figures, live: Live, situation: Situation) -> Plan:
    """The first proposal: the base optimizer is live."""
    kept = _kept(figures, live, situation)
    if kept and not may_sprint(figures):
        return _of_the_same_kind(figures, live, situation)
    family = "muon" if figures.matrices else "adamw"
    stands = situation.late_fall < FLAT
    fast = situation.late_fall >= FAST
    usual = reach_rate(figures, SHORTER if fast else 1.0)
    rate = further(usual, figures.between_sigmoids)
    narrow = rate > usual
    if live.comparable and live.lr is not None and not stands:
        # A rate that works is not made smaller, but for one far out of bounds.
        rate = max(rate, min(live.lr, HIGHEST_KEPT))
    how = "hardly falls" if stands else "falls fast" if fast else "falls"
    changes: tuple[str, ...] = (
        f"Another kind of step: {title_of(family)}. Its length does not depend on how"
        " small the gradient is, so layers with weak gradients move too.",
        f"Rate {rate:.3g}: times the steps that are left it lets weights travel far"
        " enough, whatever the base optimizer's is.",
    )
    if narrow:
        changes += ("Narrow matrices between sigmoids have further to grow.",)
    plan = Plan(
        family,
        rate,
        adam_lr=0.6 * rate,
        momentum=muon_momentum(figures) if family == "muon" else 0.9,
        plain_shapes=figures.plain_shapes,
        clip=None if family == "muon" else clip_at(figures, 2.0),
        numbers=(*_said(figures, situation), f"The loss {how}."),
        changes=changes,
    )
    if kept:
        return sprinted(plan, figures)
    return scheduled(plan, figures, hold_until=0.0 if fast else HOLD_UNTIL)


def _kept(figures: Figures, live: Live, situation: Situation) -> bool:
    """Whether the base optimizer's rate is to be kept.

    It works, it is of a size that can get somewhere in this run, and whoever made the
    network has dropout in it: they expect it to fit too well rather than too little.
    """
    if not (figures.dropout and live.comparable and live.lr is not None):
        return False
    return situation.late_fall >= FLAT and live.lr >= 0.1 * reach_rate(figures)


def _of_the_same_kind(figures: Figures, live: Live, situation: Situation) -> Plan:
    """What an adaptive base optimizer that works is followed by."""
    family = live.family if live.family in ("lion", "rmsprop") else "adamw"
    rate = live.lr or reach_rate(figures)
    return scheduled(
        Plan(
            family,
            rate,
            beta2=0.99 if family != "lion" else 0.98,
            weight_decay=0.1,
            clip=clip_at(figures, 1.5),
            numbers=(*_said(figures, situation), "The base optimizer works."),
            changes=(
                f"Keep the kind and its rate ({rate:.3g}): {title_of(family)}; with"
                " its dropout the network is held back on purpose.",
                "Add a little decoupled weight decay, and clipping at 1.5 times the"
                " usual gradient, against single bad batches.",
            ),
        ),
        figures,
    )


def _next(figures: Figures, live: Live, situation: Situation) -> Plan:
    """Later proposals: the live optimizer is one that was proposed."""
    if has_sprinted(figures.source):
        return after_a_sprint(figures, live, situation, _said(figures, situation))
    family = live.family if live.family in ("muon", "lion", "rmsprop", "sgd") else ""
    family = family or "adamw"
    factor, shrink, average, why = judged(figures, situation)
    steps = steps_ahead(figures)
    rate = (live.lr or reach_rate(figures)) * live.end * factor
    rate = min(max(rate, LOWEST_RATE), HIGHEST_KEPT)
    plan = scheduled(
        Plan(
            family,
            rate,
            adam_lr=(live.adam_share if live.family == "muon" else 0.6) * rate,
            momentum=muon_momentum(figures) if family == "muon" else 0.9,
            beta2=0.99 if family != "lion" else 0.98,
            plain_shapes=figures.plain_shapes,
            average=int(average * steps),
            clip=(
                clip_at(figures, 1.5)
                if situation.spiky or family in ("adamw", "sgd")
                else None
            ),
            numbers=_said(figures, situation),
            changes=why,
        ),
        figures,
        hold_until=_held(live, situation),
    )
    # First what a table of decisions has room for.
    rates = f"rate {plan.lr:.3g} to {plan.lr * plan.final:.3g}"
    plan = replace(plan, changes=(f"Go on, {rates}. {why[0]}", *plan.changes[1:]))
    mean_rate = plan.lr * (1.0 + plan.final) / 2.0
    if shrink and mean_rate > 0.0:
        decay = shrink / (mean_rate * plan.total)
        plan = replace(plan, weight_decay=decay)
    return plan


def _held(live: Live, situation: Situation) -> float:
    """Until which share of the run the rate may stay as it is."""
    if live.end < 1.0 or situation.late_fall >= FAST:
        return 0.0
    return HOLD_STUCK if situation.stuck else HOLD_UNTIL


def _calmed(figures: Figures, live: Live) -> Plan:
    """The loss rose much, or became no number: smaller, clipped steps."""
    rate = reach_rate(figures, SHORTER)
    if live.comparable and live.lr:
        rate = min(0.2 * live.lr * live.end, HIGHEST_KEPT)
    elif not all(map(math.isfinite, figures.losses)):
        rate = 1e-3
    return scheduled(
        Plan(
            "adamw",
            rate,
            clip=clip_at(figures, 0.5) or 1.0,
            numbers=(*_said(figures, None), "The loss rises or is no number."),
            changes=(
                f"Calm down: AdamW at {rate:.3g}, gradients clipped at half the usual"
                " length, slow warm-up.",
            ),
        ),
        figures,
    )


def _blind(figures: Figures, live: Live) -> Plan:
    """The prompt shows no losses (a template of the user's may hide them)."""
    rate = min(live.lr, 1e-3) if live.lr and live.adaptive else 1e-3
    return scheduled(
        Plan(
            "adamw",
            rate,
            clip=1.0,
            numbers=("The prompt shows no training losses that these rules can read.",),
            changes=(
                f"So nothing bold: AdamW at {rate:.3g}, clipped at 1, which does little"
                " harm anywhere.",
            ),
        ),
        figures,
    )


def _said(figures: Figures, situation: Situation | None) -> tuple[str, ...]:
    """The figures in words, as the comments of the source quote them."""
    said = []
    if figures.losses:
        row = ", ".join(f"{loss:.4g}" for loss in figures.losses)
        said.append(f"Training loss by fifth: {row}.")
    if figures.gradients:
        row = ", ".join(f"{norm:.3g}" for norm in figures.gradients)
        said.append(f"Gradient norm by fifth: {row}.")
    if figures.validation:
        row = ", ".join(f"{loss:.4g}" for _, loss in figures.validation[-4:])
        said.append(f"Validation loss: {row}.")
    if situation is not None:
        said.append(
            f"Over the interval the loss fell by {_percent(situation.fall)}, in its"
            f" later half by {_percent(situation.late_fall)}."
        )
    return tuple(said)


def _percent(part: float) -> str:
    return f"{round(part, 2) + 0.0:.0%}"  # nothing is 0%, never -0%
