"""What the figures amount to: falling, flat, rising, overfitting."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
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

SLOW = 0.1
EARLY = 0.25
"""A fall over an interval, and one since the run began, below which a loss seems to
stand on a plateau that is yet to be left."""

FAST = 0.2
"""A fall of the loss from the middle of an interval on that is fast."""

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
        end: share of the rate that it has come down to by now.
        comparable: its rate may be taken over by another adaptive family.
    """

    family: str
    lr: float | None
    adam_share: float
    adaptive: bool
    base: bool
    comparable: bool
    end: float = 1.0


@dataclass(frozen=True)
class Situation:
    """Changes over the last interval, as shares of what they began with.

    Attributes:
        fall: by how much the training loss fell over the interval.
        late_fall: the same from its middle to its end.
        broken: the loss rose much, or is no number any more.
        spiky: single parts of the interval have far longer gradients.
        gained: by how much the validation loss fell; None with fewer than two.
        gap: by how much the last validation loss lies over the training loss, and
            over that of the last batches in evaluation mode where the prompt says it;
            None also where the two losses are on different scales.
        so_far: by how much it has fallen since the run began; None: that is out of
            sight.
        noisy: the losses drawn from the interval differ by more than a fall that
            counts, so that a flat row says nothing.
    """

    fall: float
    late_fall: float
    broken: bool
    spiky: bool
    gained: float | None
    gap: float | None
    so_far: float | None = None
    noisy: bool = False

    @property
    def stuck(self) -> bool:
        """The loss falls slowly, and most of what it will lose is still ahead."""
        return self.so_far is not None and self.fall < SLOW and self.so_far < EARLY


def live_of(figures: Figures) -> Live:
    """The live optimizer, from its source, or from the base optimizer's line."""
    said = max(figures.rates, default=None)  # groups get parts of the largest
    if said is not None and not 0.0 < said <= HIGHEST_BELIEVED:
        said = None
    if not figures.source:
        family = figures.base
        comparable = family in IN_ADAMS_SCALE
        return Live(family, said, 1.0, family in ADAPTIVE, True, comparable)
    family, lr = family_of(figures.source), rate_of(figures.source)
    if figures.loop_schedules:
        lr = said  # the loop has changed the rate since the rule went live
    share = _default(figures.source, "adam_share")
    end = 1.0
    final, over = _default(figures.source, "final"), _default(figures.source, "total")
    if final is not None and over and not figures.loop_schedules:
        passed = min(1.0, (figures.interval or over) / over)
        end = 1.0 - (1.0 - min(final, 1.0)) * passed
    return Live(
        family,
        lr if lr is not None else said,
        1.0 if share is None else share,
        family != "sgd",
        False,
        family != "sgd",
        end,
    )


def family_of(source: str) -> str:
    """The family of a rule: of ours by its class, else by the marks of its formula."""
    own = re.search(r"^class (\w+)\(", source, re.MULTILINE)
    return (OWN_CLASSES.get(own[1]) if own else None) or _guess(source)


def rate_of(source: str) -> float | None:
    """The learning rate that a rule has by itself; None where it is not believed."""
    lr = _default(source, "lr")
    return lr if lr is not None and 0.0 < lr <= HIGHEST_BELIEVED else None


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
    gap = None
    if finite and seen:
        # Dropout, sampling and BatchNorm put the losses of both modes apart: only what
        # lies over both is a matter of the data.
        trained = max(finite[-1], figures.evaluated or finite[-1])
        # What falls from above where the run began is a loss on a scale of its own.
        began = figures.began if figures.began is not None else math.inf
        if gained is None or gained <= 0.0 or seen[-1] <= began:
            gap = -_share(trained, seen[-1])
    so_far = None
    if figures.began is not None and finite:
        so_far = _share(figures.began, finite[-1])
    noisy = _noisy(figures, finite)
    return Situation(fall, late, broken, spiky, gained, gap, so_far, noisy)


def _noisy(figures: Figures, losses: Sequence[float]) -> bool:
    """Whether single losses differ so much that their means are not to be trusted."""
    drawn = [loss for _, loss in figures.drawn if math.isfinite(loss)]
    if len(drawn) < 3 or not losses:
        return False
    middle = math.fsum(drawn) / len(drawn)
    spread = math.sqrt(math.fsum((x - middle) ** 2 for x in drawn) / (len(drawn) - 1))
    a_fifth = max(1.0, (figures.interval or 5) / 5)
    return spread / math.sqrt(a_fifth) > FLAT * max(abs(losses[-1]), 1e-12)


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
