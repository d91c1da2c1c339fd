"""The offline rule of a study: the default, then pattern search. No language model."""

import math
import random
from collections.abc import Generator, Iterable, Mapping
from typing import Any

from dux_prompts.tuning.number import Number
from dux_prompts.tuning.space import Config, Space, key_of

_FIRST_STEP = 0.25  # of the scale
_MOST_IDLE = 400  # proposals that were known already, until it gives up
_MOST_DRAWS = 200

Search = Generator[tuple[Config, str], float, None]


def next_config(
    space: Space, trials: Iterable[tuple[Mapping[str, Any], float]], *, seed: int
) -> tuple[Config, str]:
    """What the rule evaluates next, and why, in words.

    It begins at the defaults, or at the middle of the scaled cube and each first
    choice. Then one hyperparameter after the other goes a quarter of its scale up or
    down, choices are tried one by one, whatever is better is kept, and where nothing
    is the distances are halved.

    Args:
        trials: configuration and value of each that is over; lower is better, infinite
            where it failed.
        seed: of the draws that are left when the pattern has nothing new.
    """
    known = {key_of(config): value for config, value in trials}
    search = _pattern(space)
    config, why = next(search)
    for _ in range(_MOST_IDLE + len(known)):
        key = key_of(config)
        if key not in known:
            return config, why
        config, why = search.send(known[key])
    rng = random.Random(f"{seed}:{len(known)}")
    for _ in range(_MOST_DRAWS):
        config = space.draw(rng)
        if key_of(config) not in known:
            break
    return config, "the pattern has nothing new: a draw."


def _pattern(space: Space) -> Search:
    best = space.start()
    known = all(space[name].default is not None for name in best)
    start = "the defaults" if known else "the defaults, or the middle of the scale"
    lowest = yield best, f"begin at {start}."
    numbers = {name for name, each in space.items() if isinstance(each, Number)}
    step = dict.fromkeys(numbers, _FIRST_STEP)
    way: dict[str, int] = {}
    while True:
        moved = False
        for name in space:
            if not space.in_use(name, best):
                continue
            for to, why in _moves(space, best, name, step.get(name, 0.0), way):
                value = yield to, why
                if value < lowest:
                    lowest, best, moved = value, to, True
                    break
        if not moved:
            step = {name: length / 2 for name, length in step.items()}


def _moves(
    space: Space, best: Config, name: str, step: float, way: dict[str, int]
) -> Generator[tuple[Config, str]]:
    """The neighbours of the best along one hyperparameter; notes the way taken."""
    each = space[name]
    if not isinstance(each, Number):
        for choice in each.choices:
            if choice is not best[name]:
                yield _with(space, best, name, choice), f"{name}: try {choice!r}."
        return
    at = each.to_unit(best[name])
    first = way.setdefault(name, 1 if at < 0.5 else -1)
    for sign in (first, -first):
        place = min(max(at + sign * step, 0.0), 1.0)
        # Where this one is better the search goes on this way at the next turn.
        way[name] = sign
        told = f"{'up' if sign > 0 else 'down'} by {step:.3g} of its scale"
        yield _with(space, best, name, each.of_unit(place)), f"{name}: {told}."
    way[name] = first


def _with(space: Space, best: Config, name: str, value: Any) -> Config:
    """The best with one other value; what comes into use by it begins at its start."""
    held: Config = {}
    for other, each in space.items():
        if space.in_use(other, held):
            held[other] = value if other == name else best.get(other, each.start)
    return held


def worth(value: float | None, maximize: bool) -> float:
    """A value as something to be lowered; infinite where there is none."""
    if value is None or not math.isfinite(value):
        return math.inf
    return -value if maximize else value
