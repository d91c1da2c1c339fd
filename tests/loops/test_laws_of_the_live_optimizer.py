"""The laws of an optimizer hold for the live one: base, swapped, rolled back."""

import pytest
import torch

from dux_agent.live.optimizer import DuxOptimizer
from dux_agent.live.swap import swap
from dux_sandbox.laws import check_laws
from tests.swapping import ADAM


def base(params):
    return DuxOptimizer(torch.optim.Adam(params, lr=0.01))


def swapped(params):
    """A rule at the rates that are asked for: those of a schedule that owns them."""
    optimizer = torch.optim.Adam(params, lr=0.01)
    for group in optimizer.param_groups:
        group["initial_lr"] = group["lr"]
    live = DuxOptimizer(optimizer)
    asked = [dict(group) for group in live.param_groups]
    swap(live, ADAM, lr_owner="scheduler")
    for group, options in zip(live.param_groups, asked, strict=True):
        group["betas"], group["eps"] = options["betas"], options["eps"]
    return live


def rolled_back(params):
    live = DuxOptimizer(torch.optim.Adam(params, lr=0.01))
    swap(live, ADAM)
    live.guard.breach("the test says so")
    return live


@pytest.mark.parametrize("factory", [base, swapped, rolled_back])
def test_the_live_optimizer_keeps_every_law(factory):
    broken = [
        f"{result.name}: {result.message}"
        for result in check_laws(factory, examples=1)
        if not result.ok
    ]

    assert [] == broken
