"""The ten toy functions at points that were worked out by hand."""

import math

import pytest

from dux_agent.tuning_tasks.toys import SHIFT, TOYS

E = math.e
# cos(2 pi x) is 1 at whole numbers; exp(-0.2 sqrt(1/2)) at (1, 0), exp(-0.2) at (1, 1).
ACKLEY = [
    ((0, 0), 0.0),
    ((1, 1), 20 - 20 * math.exp(-0.2)),
    ((1, 0), 20 - 20 * math.exp(-0.2 * math.sqrt(0.5))),
]
BRANIN = [
    ((-math.pi, 12.275), 10 / (8 * math.pi)),
    ((math.pi, 2.275), 10 / (8 * math.pi)),
    ((0, 6), 20 - 10 / (8 * math.pi)),
]
ROSENBROCK = [((1, 1), 0.0), ((0, 0), 1.0), ((2, 1), 901.0)]
HIMMELBLAU = [((3, 2), 0.0), ((0, 0), 170.0), ((1, 1), 106.0)]
POINTS = {
    "rosenbrock": ROSENBROCK,
    "branin": BRANIN,
    "himmelblau": HIMMELBLAU,
    "ackley": ACKLEY,
    "quadratic2d": [((-4.15, 3.35), 0.0), ((-3.15, 3.35), 1.0), ((-4.15, 1.35), 4.0)],
    "quadratic2d_10": [
        ((-4.15, 3.35), 0.0),
        ((-3.15, 3.35), 1.0),
        ((-4.15, 1.35), 40.0),
    ],
}
for name in ("rosenbrock", "branin", "himmelblau", "ackley"):
    POINTS[f"shifted_{name}"] = [
        ((x + SHIFT[0], y + SHIFT[1]), value) for (x, y), value in POINTS[name]
    ]


@pytest.mark.parametrize("name", TOYS)
def test_a_toy_has_the_values_that_were_worked_out(name):
    toy = TOYS[name]

    values = [toy({"x1": x, "x2": y}) for (x, y), _ in POINTS[name]]

    assert [value for _, value in POINTS[name]] == pytest.approx(values, abs=1e-9)


@pytest.mark.parametrize("name", TOYS)
def test_no_point_is_below_the_minimum(name):
    toy = TOYS[name]
    (a, b), (c, d) = toy.x1, toy.x2
    grid = [
        (a + (b - a) * i / 40, c + (d - c) * j / 40)
        for i in range(41)
        for j in range(41)
    ]

    assert min(toy({"x1": x, "x2": y}) for x, y in grid) >= toy.minimum - 1e-9
