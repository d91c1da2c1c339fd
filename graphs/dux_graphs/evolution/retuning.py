"""Sets the constants of a structure by a classical tuner: a pattern search."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from dux_graphs.evolution.individual import Draft
from dux_graphs.evolution.syntax import constants_in, with_constants
from dux_graphs.tuning.pattern_search import next_config
from dux_prompts.tuning.hyperparameters import real, whole
from dux_prompts.tuning.space import Config, Space

_TIMES = 300.0  # how far a rate goes up and down
_TIMES_SHARE = 30.0  # and how far from 1 a share that is near 1
_GUARD = 1e-6  # below it a constant guards a division, and is left as it is
_DIGITS = 4


@dataclass
class Structure:
    """A source whose constants are tuned.

    Attributes:
        source: the first that was met of its structure.
        trials: numbers of individuals with their constants on the tuner's scales.
    """

    source: str
    trials: list[tuple[int, Config]] = field(default_factory=list)

    def next(self, scores: Sequence[float], seed: int) -> Draft | None:
        """The next draft; None where it has no constants.

        Args:
            scores: of the trials, in their order; infinite while one is under way.
            seed: of draws where the pattern has nothing new.
        """
        held, space = constants_in(self.source), self._space
        if space is None:
            return None
        configs = [config for _, config in self.trials]
        over = zip(configs, scores, strict=True)
        config, why = next_config(space, over, seed=seed)
        values = {name: _value(held[name], at) for name, at in config.items()}
        return Draft(with_constants(self.source, values), why, config=config)

    def start(self) -> Config:
        """Where the search begins: the constants of the source itself."""
        return {} if self._space is None else self._space.start()

    @property
    def _space(self) -> Space | None:
        held = constants_in(self.source)
        scales = {name: scale for name in held if (scale := _scale(held[name]))}
        return Space(scales) if scales else None


def _near_one(value: float) -> bool:
    return isinstance(value, float) and 0.5 <= value < 1


def _scale(value: float) -> Any:
    """The scale that a constant is tuned on; None: it is left as it is."""
    if isinstance(value, int):
        if value < 1:
            return None
        return whole(max(1, value // 4), 4 * value + 1, log=True, default=value)
    if _near_one(value):
        rest = 1 - value
        ends = rest / _TIMES_SHARE, min(0.9, rest * _TIMES_SHARE)
        return real(*ends, log=True, default=rest)
    if value == 0:
        return real(0.0, 0.1, default=0.0)
    if value < _GUARD:
        return None
    return real(value / _TIMES, value * _TIMES, log=True, default=value)


def _value(default: float, at: float) -> float:
    """The constant that a place on its scale stands for."""
    if isinstance(default, int):
        return at
    found = 1 - at if _near_one(default) else at
    return float(f"{found:.{_DIGITS}g}")
