"""The paper's functions of two numbers, as they are and shifted against recall."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from dux_prompts.tuning.hyperparameters import real
from dux_prompts.tuning.number import Number

SHIFT = (0.93, 0.59)

Ends = tuple[float, float]


@dataclass(frozen=True)
class Toy:
    """A function on a box; no start is told, whoever tunes it picks one.

    Attributes:
        function: of x1 and x2.
        x1, x2: the ends of the box.
        minimum: the lowest value.
        shift: added to where the function's own features lie.
    """

    function: Callable[[float, float], float]
    x1: Ends
    x2: Ends
    minimum: float = 0.0
    shift: tuple[float, float] = (0.0, 0.0)
    task = (
        "A smooth function of two numbers. Its value is to be made as low as possible."
    )
    defaults = ()
    made_of = ()
    packages = ()
    files = ()

    @property
    def space(self) -> Mapping[str, Number]:
        """The box."""
        return {"x1": real(*self.x1), "x2": real(*self.x2)}

    def __call__(self, config: Mapping[str, float]) -> float:
        """The value at a point."""
        return self.function(
            float(config["x1"]) - self.shift[0], float(config["x2"]) - self.shift[1]
        )


def rosenbrock(x1: float, x2: float) -> float:
    """0 at (1, 1), at the bottom of a bent valley."""
    return (1 - x1) ** 2 + 100 * (x2 - x1**2) ** 2


def branin(x1: float, x2: float) -> float:
    """0.397887 at (-pi, 12.275), (pi, 2.275) and (9.42478, 2.475)."""
    parabola = x2 - 5.1 / (4 * math.pi**2) * x1**2 + 5 / math.pi * x1 - 6
    return parabola**2 + 10 * (1 - 1 / (8 * math.pi)) * math.cos(x1) + 10


def himmelblau(x1: float, x2: float) -> float:
    """0 at (3, 2) and three more."""
    return (x1**2 + x2 - 11) ** 2 + (x1 + x2**2 - 7) ** 2


def ackley(x1: float, x2: float) -> float:
    """0 at (0, 0), among waves."""
    distance = math.sqrt((x1**2 + x2**2) / 2)
    waves = (math.cos(2 * math.pi * x1) + math.cos(2 * math.pi * x2)) / 2
    return 20 + math.e - 20 * math.exp(-0.2 * distance) - math.exp(waves)


def quadratic(x1: float, x2: float) -> float:
    """0 at (-4.15, 3.35)."""
    return (x1 + 4.15) ** 2 + (x2 - 3.35) ** 2


def quadratic_10(x1: float, x2: float) -> float:
    """0 at (-4.15, 3.35), ten times as steep along x2."""
    return (x1 + 4.15) ** 2 + 10 * (x2 - 3.35) ** 2


_FIVE: Ends = (-5.0, 5.0)
_WIDE: Ends = (-5.0, 10.0)
_NAMED = {
    "rosenbrock": Toy(rosenbrock, _WIDE, _WIDE),
    "branin": Toy(branin, _WIDE, (0.0, 15.0), minimum=0.39788735772973816),
    "himmelblau": Toy(himmelblau, _FIVE, _FIVE),
    "ackley": Toy(ackley, _FIVE, _FIVE),
}
TOYS: dict[str, Toy] = {
    **_NAMED,
    "quadratic2d": Toy(quadratic, _FIVE, _FIVE),
    "quadratic2d_10": Toy(quadratic_10, _FIVE, _FIVE),
    **{
        f"shifted_{name}": Toy(toy.function, toy.x1, toy.x2, toy.minimum, SHIFT)
        for name, toy in _NAMED.items()
    },
}
