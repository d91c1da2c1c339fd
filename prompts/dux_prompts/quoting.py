"""Sources of the zoo that a prompt quotes: a few that fit the situation, shortened."""

from __future__ import annotations

import ast
import math
import re
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass

from dux_prompts.observation import Observation
from dux_sandbox.zoo import Entry, entries

MOST_QUOTED = 2
_MOST_CHARACTERS = 3_600  # of a source, without its docstring
_MANY_WEIGHTS = 50_000_000
_FLAT, _SPIKY, _GAP = 0.03, 2.5, 0.1


@dataclass(frozen=True)
class Quote:
    """One optimizer of the zoo as a prompt quotes it.

    Attributes:
        name: in the zoo.
        title: what it does, in one sentence.
        why: what of the situation it fits.
        source: its text, without the docstring.
    """

    name: str
    title: str
    why: str
    source: str


Fits = Callable[[Observation], bool]


def _closures(seen: Observation) -> bool:
    return seen.closures is True


def _spiky(seen: Observation) -> bool:
    norms = sorted(filter(math.isfinite, seen.gradient_norm_fifths))
    return bool(norms) and norms[-1] > _SPIKY * norms[len(norms) // 2]


def _overfits(seen: Observation) -> bool:
    losses = [float(loss) for _, loss in seen.validation_losses]
    if not losses or not seen.loss_fifths:
        return False
    trained = max(seen.loss_fifths[-1], seen.evaluated_loss or -math.inf)
    return losses[-1] - trained > _GAP * abs(trained)


def _flat(seen: Observation) -> bool:
    losses = [each for each in seen.loss_fifths if math.isfinite(each)]
    return len(losses) > 1 and losses[0] - losses[-1] < _FLAT * abs(losses[0])


def _last(seen: Observation) -> bool:
    return seen.decisions_left == 0


def _has(kind: str) -> Fits:
    def fits(seen: Observation) -> bool:
        layers = seen.model.get("layers", [])
        return any(kind in str(each.get("kind", "")).lower() for each in layers)

    return fits


def _many_weights(seen: Observation) -> bool:
    return (seen.model.get("parameters") or 0) >= _MANY_WEIGHTS


def _hidden_matrices(seen: Observation) -> bool:
    shapes = [
        shape
        for layer in seen.model.get("layers", [])
        if "embedding" not in str(layer.get("kind", "")).lower()
        for shape in layer.get("parameters", {}).values()
        for _ in range(layer.get("count", 1))
    ]
    return sum(len(shape) >= 2 for shape in shapes) >= 3


def _always(seen: Observation) -> bool:
    return True


# In the order in which they are taken; `why` completes "It fits".
_TABLE: tuple[tuple[Fits, str, tuple[str, ...]], ...] = (
    (_closures, "a loop that passes closures", ("entropy_sgd",)),
    (_spiky, "gradients with spikes", ("amsgrad", "adan")),
    (
        _last,
        "the last interval, which ends without a schedule",
        ("schedule_free_adamw",),
    ),
    (_many_weights, "many weights: it keeps little of each", ("adafactor", "lion")),
    (_overfits, "a validation loss above the training loss", ("adamw", "lamb")),
    (_flat, "a loss that hardly falls: it finds its rate itself", ("prodigy", "dog")),
    (_hidden_matrices, "hidden matrices", ("muon", "normuon")),
    (_has("conv"), "convolutions", ("nesterov", "lars")),
    (_has("embedding"), "embeddings, whose rows have few gradients", ("adagrad",)),
    (_always, "most networks", ("adamw", "ademamix", "lion", "mars")),
)


def quotes_for(observation: Observation) -> list[Quote]:
    """The sources that a decision's prompt quotes, at most two.

    None of them is the optimizer that is live, and none wants what this loop has not.
    """
    live = _names_in(observation.source) if observation.source else set()
    if not live:
        live = {str(observation.base_optimizer.get("name", "")).lower()}
    found: dict[str, Quote] = {}
    for fits, why, names in _TABLE:
        if fits(observation):
            for quote in _of(names, why, live | found.keys(), observation.closures):
                found[quote.name] = quote
                break
        if len(found) == MOST_QUOTED:
            break
    return list(found.values())


# What fits each direction of change that a search asks for, see `evolving`.
_BY_DIRECTION = (
    ("dog", "prodigy", "lion"),
    ("ademamix", "adan", "nesterov"),
    ("muon", "adafactor", "normuon"),
    ("radam", "schedule_free_adamw", "nadam"),
    ("lion", "tiger", "rmsprop"),
    ("mars", "amsgrad", "adan"),
)


def quotes_towards(direction: int, shown: Collection[str]) -> list[Quote]:
    """The sources that a search's prompt quotes for a direction of change, one.

    Args:
        direction: any number.
        shown: sources that the prompt shows already.
    """
    names = _BY_DIRECTION[direction % len(_BY_DIRECTION)]
    known = {name for source in shown for name in _names_in(source)}
    return list(_of(names, "this direction", known, False))[:1]


def _of(
    names: Collection[str], why: str, left_out: Collection[str], closures: bool | None
) -> Iterator[Quote]:
    for name in names:
        one = entries()[name]
        source = _shortened(one)
        wants = "needs-closure" in one.traits and not closures
        if {name, one.rule.lower()}.isdisjoint(left_out) and not wants:
            if len(source) <= _MOST_CHARACTERS:
                yield Quote(name, one.title, why, source)


def _names_in(source: str) -> set[str]:
    return {name.lower() for name in re.findall(r"^class (\w+)", source, re.MULTILINE)}


def _shortened(one: Entry) -> str:
    """The source without the docstring of the file, which says what the title does."""
    first = ast.parse(one.source).body[0]
    return "\n".join(one.source.splitlines()[first.end_lineno :]).strip()
