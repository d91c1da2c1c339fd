"""What the figures amount to: falling, flat, rising, overfitting."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

from dux_graphs.offline.reading import Figures

ADAPTIVE = (
    "adam",
    "adamw",
    "nadam",
    "radam",
    "adamax",
    "adagrad",
    "adadelta",
    "adafactor",
    "rmsprop",
    "lion",
    "muon",
)
"""Base optimizers that scale each step by its own gradients."""

IN_ADAMS_SCALE = ("adam", "adamw", "nadam", "radam", "adamax", "rmsprop", "lion")
"""Those of them whose rate is, as Adam's, about how far a weight moves in a step.

Adagrad's, Adadelta's, Adafactor's and torch's Muon's are in scales of their own: no
other family may take them over.
"""

FLAT = 0.03
"""A fall of the loss below this share counts as none."""

HIGHEST_BELIEVED = 10.0
"""A learning rate above this, or none at all, is not built upon."""

OWN_CLASSES = {
    "RuleBasedSGD": "sgd",
    "RuleBasedRMSprop": "rmsprop",
    "RuleBasedAdam": "adam",
    "RuleBasedAdamW": "adamw",
    "RuleBasedLion": "lion",
    "RuleBasedMuon": "muon",
}


@dataclass(frozen=True)
class Live:
    """The optimizer that is live: its family and its rate, as far as can be read.

    Attributes:
        family: "sgd", "adamw", "muon" ...; "" where it cannot be told.
        lr: its highest rate; None where the prompt does not say.
        adam_share: share of that rate which the Adam part of "muon" has.
        adaptive: each parameter's step is scaled by its own gradients.
        base: it is the base optimizer.
        comparable: its rate may be taken over by another adaptive family.
    """

    family: str
    lr: float | None
    adam_share: float
    adaptive: bool
    base: bool
    comparable: bool


@dataclass(frozen=True)
class Situation:
    """Changes over the last interval, as shares of what they began with.

    Attributes:
        fall: by how much the training loss fell over the interval.
        late_fall: the same from its middle to its end.
        broken: the loss rose much, or is no number any more.
        spiky: single parts of the interval have far longer gradients.
        gained: by how much the validation loss fell; None with fewer than two.
        gap: by how much the last validation loss lies over the training loss.
    """

    fall: float
    late_fall: float
    broken: bool
    spiky: bool
    gained: float | None
    gap: float | None


def live_of(figures: Figures) -> Live:
    """The live optimizer, from its source, or from the base optimizer's line."""
    said = max(figures.rates, default=None)  # groups get parts of the largest
    if said is not None and not 0.0 < said <= HIGHEST_BELIEVED:
        said = None
    if not figures.source:
        family = figures.base
        comparable = family in IN_ADAMS_SCALE
        return Live(family, said, 1.0, family in ADAPTIVE, True, comparable)
    own = re.search(r"^class (\w+)\(", figures.source, re.MULTILINE)
    family = OWN_CLASSES.get(own[1], "") if own else ""
    if not family:
        family = _guess(figures.source)
    lr = _default(figures.source, "lr")
    if lr is not None and not 0.0 < lr <= HIGHEST_BELIEVED:
        lr = None
    if figures.loop_schedules:
        lr = said  # the loop has changed the rate since the rule went live
    share = _default(figures.source, "adam_share")
    return Live(
        family,
        lr if lr is not None else said,
        1.0 if share is None else share,
        family != "sgd",
        False,
        family != "sgd",
    )


def situation_of(figures: Figures) -> Situation:
    """What the figures of the last interval amount to."""
    losses = figures.losses or tuple(loss for _, loss in figures.drawn)
    finite = [loss for loss in losses if math.isfinite(loss)]
    broken = len(finite) < len(losses)
    fall = late = 0.0
    if len(finite) >= 2 and not broken:
        fall = _share(finite[0], finite[-1])
        late = _share(finite[len(finite) // 2], finite[-1])
        broken = fall < -0.25
    norms = sorted(norm for norm in figures.gradients if math.isfinite(norm))
    spiky = bool(norms) and norms[-1] > 2.5 * norms[len(norms) // 2] + 1e-12
    seen = [loss for _, loss in figures.validation if math.isfinite(loss)]
    gained = _share(min(seen[:-1]), seen[-1]) if len(seen) >= 2 else None
    gap = -_share(finite[-1], seen[-1]) if finite and seen else None
    return Situation(fall, late, broken, spiky, gained, gap)


def _share(before: float, after: float) -> float:
    """By how much `after` lies below `before`, as a share of it."""
    return (before - after) / max(abs(before), 1e-12)


def _default(source: str, name: str) -> float | None:
    found = re.search(rf"\b{name}(?:: \w+)? ?= ?([0-9.]+(?:e-?\d+)?)", source)
    try:
        return float(found[1]) if found else None
    except ValueError:
        return None


def _guess(source: str) -> str:
    """The family of a source that others wrote, by the marks its formula leaves."""
    lower = source.lower()
    if "orthogonal" in lower or "newton" in lower or "muon" in lower:
        return "muon"
    if ".sign(" in lower or "sign_(" in lower:
        return "lion"
    if "sqrt" in lower:
        return "adamw"
    return "sgd"
