"""A step that moves weights without a gradient is told from one that goes on evenly."""

import pytest
import torch

from dux_sandbox.dry_runs.drawn_steps import cut_down, steps_by_itself
from tests.sources import counting

MEAN = """mean = state.setdefault("mean", p.clone())
                mean.mul_(0.9).add_(p, alpha=0.1)
                p.add_(p.grad, alpha=-lr)
                """
BY_ITSELF = {
    "puts an average back": (
        MEAN + "if n % 10 == 0:\n" + 20 * " " + "p.copy_(mean)",
        10,
    ),
    "rescales": ("p.mul_(0.5 if n == 12 else 1.0).sub_(lr * p.grad)", 12),
    "drops rows": (
        "p.sub_(lr * p.grad)\n" + 16 * " " + "if n == 15: p[:1].zero_()",
        15,
    ),
}
EVENLY = {
    "plain": "p.sub_(lr * p.grad * (n > 0))",
    "momentum": """m = state.setdefault("m", torch.zeros_like(p))
                m.mul_(0.9).add_(p.grad)
                p.sub_(lr * min(1.0, n / 20) * m)""",
    "adam": """m = state.setdefault("m", torch.zeros_like(p))
                v = state.setdefault("v", torch.zeros_like(p))
                m.lerp_(p.grad, 0.1)
                v.lerp_(p.grad.square(), 0.01)
                if n > 0:
                    p.sub_(lr * m / (v.sqrt() + 1e-8) * (1 - 0.99**n) ** 0.5)""",
    "decay that warms up": "p.mul_(1 - 0.1 * lr * min(1.0, n / 30)).sub_(p.grad)",
    "a rate that falls": "p.mul_(1 - lr).sub_(lr / (9 if n > 20 else 1) * p.grad)",
}


@pytest.mark.parametrize("shapes", [[(4, 3), (3,)], [(4,), ()]], ids=str)
@pytest.mark.parametrize("kind", BY_ITSELF)
def test_a_step_that_needs_no_gradient_is_named(kind, shapes):
    formula, step = BY_ITSELF[kind]
    if not shapes[-1]:
        formula = formula.replace("p[:1].zero_()", "p.zero_()")

    found = steps_by_itself(counting(formula), shapes, 40)

    assert step == found[0]


@pytest.mark.parametrize("kind", EVENLY)
def test_what_goes_on_evenly_is_not(kind):
    assert () == steps_by_itself(counting(EVENLY[kind]), [(4, 3), (3,)], 40)


CHECKS = """if lr < 0:
                    raise ValueError("lr is below 0")
                """
FIRST = """if len(state) == 0:
                    state["m"] = torch.zeros_like(p)
                """
COUNTS = {"nothing": "", "options": CHECKS, "what it keeps": FIRST}


@pytest.mark.parametrize("kind", COUNTS)
def test_a_rule_that_compares_nothing_but_its_options_is_not_run(kind):
    source = counting(COUNTS[kind] + "p.sub_(lr * p.grad)")

    assert () == steps_by_itself(source.replace("import torch", "import os"), [(4,)], 9)


def test_shapes_that_are_large_are_cut_and_such_as_are_alike_are_one():
    assert [[100, 157], [10]] == cut_down([(100, 40_000), (10,), (10,)])
    assert cut_down([]) and cut_down([(0, 3)])


def test_a_default_device_of_the_loop_changes_nothing():
    source = counting("p.sub_(0.1 * p.grad + (n == 9) * p)")
    expected = steps_by_itself(source, [(4, 3)], 20)

    with torch.device("meta"):
        found = steps_by_itself(source, [(4, 3)], 20)

    assert (9,) == expected == found
