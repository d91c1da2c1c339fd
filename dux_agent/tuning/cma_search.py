"""CMA-ES as an optimizer of a study, that learns from every trial of it."""

import copy
import math
import statistics
from collections.abc import Mapping
from typing import Any

from dux_agent.errors import BadArgument, MissingExtra
from dux_prompts.tuning.choice import Choice
from dux_prompts.tuning.number import Number
from dux_prompts.tuning.space import Config, Space, key_of

_SIGMA = 0.25  # of the scaled cube, at the beginning
_DRAWS = 64  # of which the spread is the deviation


class CmaSearch:
    """CMA-ES over the scaled cube, by the package cmaes.

    It begins round the best trial that it was told before its first proposal, and in
    the middle where there is none. A generation is whatever is told next, its own
    proposals and those of others.
    """

    def __init__(self, space: Space, seed: int) -> None:
        """One over a space.

        Raises:
            MissingExtra: the package cmaes is not installed.
            BadArgument: the space has choices or conditions.
        """
        self._scales: dict[str, Number] = {}
        for name, each in space.items():
            if isinstance(each, Choice) or each.when:
                raise BadArgument(
                    f"CMA-ES was named and {name!r} is no number, or not always used; "
                    f"a space of numbers was wanted; take 'tpe' or 'gp'."
                )
            self._scales[name] = each
        try:
            import cmaes
        except ImportError:
            raise MissingExtra.of(
                "cmaes", extra="optuna", purpose="the optimizer 'cmaes'"
            ) from None
        self._package, self._seed = cmaes, seed
        self._search: Any = None
        self._asked: dict[str, Any] = {}
        self._told: list[tuple[Any, float]] = []

    def ask(self) -> Config:
        search = self._search or self._begun()
        place = search.ask()
        config = self._config(place)
        self._asked[key_of(config)] = place
        return config

    def told(self, config: Mapping[str, Any], value: float | None) -> None:
        place = self._asked.pop(key_of(config), None)
        if place is None:
            place = self._place(config)
        self._told.append((place, math.inf if value is None else value))
        if self._search is None or len(self._told) < self._search.population_size:
            return
        self._search.tell(self._told)
        self._told = []

    def passed_over(self, config: Mapping[str, Any]) -> None:
        self._asked.pop(key_of(config), None)

    def about(self) -> dict[str, Config]:
        """Its mean, and its spread along each, as a share of the scale."""
        if self._search is None:
            return {}
        twin = copy.deepcopy(self._search)
        twin.reseed_rng(self._seed)  # a copy of it has a generator without a seed
        drawn = [twin.ask() for _ in range(_DRAWS)]
        columns = zip(*drawn, strict=True)
        spread = {
            name: statistics.pstdev(map(float, column))
            for name, column in zip(self._scales, columns, strict=True)
        }
        return {"mean": self._config(self._search.mean), "spread": spread}

    def _begun(self) -> Any:
        import numpy as np

        size = len(self._scales)
        mean = np.full(size, 0.5)
        best = min(self._told, key=lambda each: each[1], default=None)
        if best is not None and math.isfinite(best[1]):
            mean = best[0]
        self._search = self._package.CMA(
            mean=mean,
            sigma=_SIGMA,
            bounds=np.tile([0.0, 1.0], (size, 1)),
            seed=self._seed,
        )
        # What came before is where it begins, and no generation of it.
        self._told = []
        return self._search

    def _place(self, config: Mapping[str, Any]) -> Any:
        import numpy as np

        places = [each.to_unit(config[name]) for name, each in self._scales.items()]
        return np.array(places)

    def _config(self, place: Any) -> Config:
        pairs = zip(self._scales.items(), place, strict=True)
        return {
            name: each.of_unit(min(max(float(at), 0.0), 1.0))
            for (name, each), at in pairs
        }
