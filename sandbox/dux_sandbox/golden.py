"""Golden trajectories: fifty steps on three fixed problems, to be compared later.

Another version of an optimizer, or of torch, either takes the same steps or does not.
"""

import math
from collections.abc import Callable
from typing import Any, TypeGuard

import torch

from dux_sandbox.laws.header import in_train_mode
from dux_sandbox.laws.keeping import surroundings_kept

STEPS = 50
# Float64 on every machine: what is left of another order of summing is 1e-10.
RELATIVE, ABSOLUTE = 1e-5, 1e-9

# problem -> for each step, the loss before it and then every weight after it
Trajectory = dict[str, list[list[float]]]


def trajectory(factory: Callable[[Any], torch.optim.Optimizer]) -> Trajectory:
    """Train on each problem with a closure; global random numbers are put back.

    Args:
        factory: parameters to an optimizer. Every parameter is a matrix, float64.

    Raises:
        Exception: whatever the rule raises.
    """
    with surroundings_kept():
        return {name: _trained(factory, make) for name, make in PROBLEMS.items()}


def _trained(
    factory: Callable[[Any], torch.optim.Optimizer],
    make: Callable[[], tuple[list[torch.Tensor], Callable[..., torch.Tensor]]],
) -> list[list[float]]:
    torch.manual_seed(0)
    values, loss_of = make()
    weights = [torch.nn.Parameter(value) for value in values]
    optimizer = in_train_mode(factory)(list(weights))
    rows = []
    for _ in range(STEPS):
        seen: list[float] = []

        def closure(seen: list[float] = seen) -> Any:
            optimizer.zero_grad()
            loss = loss_of(*weights)
            loss.backward()
            seen.append(float(loss.detach()))
            return loss

        optimizer.step(closure)
        row = seen[:1] or [math.nan]
        for weight in weights:
            row += weight.detach().flatten().tolist()
        rows.append(row)
    return rows


def _bowl() -> tuple[list[torch.Tensor], Callable[..., torch.Tensor]]:
    """A quadratic with curvatures from 0.1 to 10."""
    steep = torch.tensor([[0.1, 1.0, 10.0], [0.5, 2.0, 5.0]], dtype=torch.float64)
    w = torch.tensor([[1.0, -2.0, 0.5], [-0.75, 1.5, 3.0]], dtype=torch.float64)
    b = torch.tensor([[0.25, -0.5, 1.0]], dtype=torch.float64)
    return [w, b], lambda w, b: (steep * (w + b - 0.3) ** 2).sum() / 2 + (b**2).sum()


def _valley() -> tuple[list[torch.Tensor], Callable[..., torch.Tensor]]:
    """Rosenbrock's curved valley (1960), a tenth as steep."""
    x = torch.tensor([[-1.2, 1.0]], dtype=torch.float64)
    return [x], lambda x: (10 * (x[0, 1] - x[0, 0] ** 2) ** 2 + (1 - x[0, 0]) ** 2) / 10


def _network() -> tuple[list[torch.Tensor], Callable[..., torch.Tensor]]:
    """Two layers and a tanh on eight points."""
    at = torch.arange(24, dtype=torch.float64)
    inputs = torch.sin(1.7 * at).reshape(8, 3)
    targets = torch.cos(0.9 * at[:8]).reshape(8, 1)
    first = torch.sin(2.3 * at[:12] + 0.4).reshape(3, 4)
    second = torch.cos(3.1 * at[:4] + 0.2).reshape(4, 1)
    shift = torch.zeros(1, 4, dtype=torch.float64)
    return [first, shift, second], lambda first, shift, second: (
        (torch.tanh(inputs @ first + shift) @ second - targets) ** 2
    ).mean()


PROBLEMS = {"bowl": _bowl, "valley": _valley, "network": _network}


def difference(recorded: Trajectory, made: Trajectory) -> str:
    """The first step at which two trajectories part; "" where they are the same.

    Values within 1e-5 of each other, relatively, or 1e-9 are the same, and so are NaN
    and NaN.
    """
    for problem in PROBLEMS:
        rows = zip(recorded[problem], made[problem], strict=True)
        for step, (before, now) in enumerate(rows, 1):
            for at, (was, is_now) in enumerate(zip(before, now, strict=True)):
                if not _same(was, is_now):
                    what = "the loss" if at == 0 else f"weight {at - 1}"
                    return (
                        f"{problem}, step {step}: {what} is {is_now:.9g} and was "
                        f"{was:.9g}"
                    )
    return ""


def _same(was: float, now: float) -> bool:
    both_nan = math.isnan(was) and math.isnan(now)
    return both_nan or math.isclose(was, now, rel_tol=RELATIVE, abs_tol=ABSOLUTE)


def _is_number(held: object) -> bool:
    """A whole one may be wider than any float, and is none then."""
    whole = type(held) is int and held.bit_length() < 1000
    return whole or isinstance(held, float)


def is_trajectory(held: object) -> TypeGuard[Trajectory]:
    """Whether plain data is a trajectory: every problem, every step, numbers only."""
    if not isinstance(held, dict) or held.keys() != PROBLEMS.keys():
        return False
    for problem, make in PROBLEMS.items():
        width = 1 + sum(value.numel() for value in make()[0])
        rows = held[problem]
        if not isinstance(rows, list) or len(rows) != STEPS:
            return False
        for row in rows:
            if not isinstance(row, list) or len(row) != width:
                return False
            if not all(map(_is_number, row)):
                return False
    return True
