"""Where a training stood when something was proposed, and how alike two such are."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

from dux_graphs.events import ObservationEvent
from dux_graphs.offline.situation import family_of
from dux_prompts.observation import Observation

_KINDS = 24
_TEXT = 80  # characters

Seen = Observation | ObservationEvent


@dataclass(frozen=True, kw_only=True)
class Situation:
    """What a distance can be taken of: no name of a task is in it.

    Attributes:
        layers: kinds of layers, each once, sorted.
        parameters: how many weights.
        loss: what the loss is called; "" where nobody said.
        base: the base optimizer's name.
        live: its name while it is live, else the family of the rule that is.
        schedule: who sets the rates beside rules, "proposal" or "scheduler"; "" where
            the loop has no schedule.
        rate: the highest of the live learning rates.
        stage: share of the run's steps that is done.
        change: of the training loss over the interval, as a share; -0.1: it fell by a
            tenth.
        gradient: mean gradient norm.
        growth: the same at the interval's end, over that at its beginning.
        gap: by how much the validation loss lies over the training loss, as a share.

    A number is None where it is not known.
    """

    layers: tuple[str, ...] = ()
    parameters: float | None = None
    loss: str = ""
    base: str = ""
    live: str = ""
    schedule: str = ""
    rate: float | None = None
    stage: float | None = None
    change: float | None = None
    gradient: float | None = None
    growth: float | None = None
    gap: float | None = None

    def as_dict(self) -> dict[str, Any]:
        """Plain data, as an entry and a prompt hold it."""
        return {**asdict(self), "layers": list(self.layers)}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Situation:
        """What `as_dict` gave, or anybody wrote; other kinds of values are left out."""
        held: dict[str, Any] = {}
        for each in fields(cls):
            value = data.get(each.name)
            if each.name == "layers":
                kinds = value if isinstance(value, list | tuple) else ()
                names = {kind[:_TEXT] for kind in kinds if isinstance(kind, str)}
                held["layers"] = tuple(sorted(names)[:_KINDS])
            elif isinstance(each.default, str):
                held[each.name] = value[:_TEXT] if isinstance(value, str) else ""
            else:
                held[each.name] = finite(value)
        return cls(**held)


def situation_of(seen: Seen) -> Situation:
    """The situation that an observation shows."""
    fifths = [float(x) for x in seen.loss_fifths if math.isfinite(x)]
    norms = [float(x) for x in seen.gradient_norm_fifths if math.isfinite(x)]
    validated = [float(pair[1]) for pair in seen.validation_losses]
    base = str(seen.base_optimizer.get("name", ""))
    total, schedule = seen.total_steps, seen.schedule or {}
    rates = [x for each in seen.learning_rates if (x := finite(each)) is not None]
    return Situation.from_dict(
        {
            "layers": kinds_of(seen.model),
            "parameters": seen.model.get("parameters"),
            "loss": seen.loss_name or "",
            "base": base,
            "live": family_of(seen.source) if seen.source else base,
            "schedule": schedule.get("owner", "proposal") if seen.schedule else "",
            "rate": max(rates, default=None),
            "stage": seen.step / total if total else None,
            "change": change(fifths[0], fifths[-1]) if len(fifths) > 1 else None,
            "gradient": seen.gradient_norm,
            "growth": norms[-1] / norms[0] if len(norms) > 1 and norms[0] else None,
            "gap": change(fifths[-1], validated[-1]) if fifths and validated else None,
        }
    )


def kinds_of(model: Mapping[str, Any]) -> list[str]:
    """The kinds of layers in what `describe_model` gave."""
    layers = model.get("layers", ())
    if not isinstance(layers, Sequence):
        return []
    return [str(each.get("kind", "")) for each in layers if isinstance(each, Mapping)]


def change(before: float, after: float) -> float | None:
    """From one loss to another as a share of the first; None where one is no number.

    >>> change(2.0, 1.0), change(1.0, float("nan"))
    (-0.5, None)
    """
    return finite((after - before) / max(abs(before), 1e-12))


def finite(value: Any) -> float | None:
    """A number that can be reckoned with, or None."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if abs(value) < 1e300 else None


_NOT_KNOWN = 0.5
"""How far what is not known of one of two is from the other's."""

WEIGHTS = {
    "layers": 3.0,
    "parameters": 1.0,
    "loss": 0.5,
    "base": 1.0,
    "live": 1.0,
    "schedule": 0.5,
    "rate": 1.0,
    "stage": 1.5,
    "change": 1.5,
    "gradient": 0.5,
    "growth": 0.5,
    "gap": 0.5,
}
"""What each part of a situation counts in a distance."""

_DECADES = 3.0  # that are as far apart as can be
_LOGARITHMIC = ("parameters", "rate", "gradient", "growth")


def distance(one: Situation, other: Situation) -> float:
    """How unlike two situations are, from 0 to 1: the weighted mean over their parts.

    Kinds of layers by the share of all kinds that only one of them has; names by
    whether they differ; sizes, rates and norms by their ratio, a factor of a thousand
    being as far apart as can be; shares by their difference, at most 1.
    """
    parts = {name: _apart(name, one, other) for name in WEIGHTS}
    total = math.fsum(WEIGHTS[name] * parts[name] for name in parts)
    return total / math.fsum(WEIGHTS.values())


def _apart(name: str, one: Situation, other: Situation) -> float:
    a: Any = getattr(one, name)
    b: Any = getattr(other, name)
    if name == "layers":
        both = {*a, *b}
        known = bool(a and b)
        return 1.0 - len({*a} & {*b}) / len(both) if known else _NOT_KNOWN
    if isinstance(a, str):
        if name == "schedule":
            return float(a != b)
        return float(a.lower() != b.lower()) if a and b else _NOT_KNOWN
    if a is None or b is None:
        return _NOT_KNOWN
    if name in _LOGARITHMIC:
        if a <= 0 or b <= 0:
            return float(a != b)
        return min(1.0, abs(math.log10(a) - math.log10(b)) / _DECADES)
    return min(1.0, abs(float(a) - float(b)))
