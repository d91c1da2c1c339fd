"""Lists and dicts among a rule's options, which groups share by default."""

import sys
from contextlib import closing

import pytest
import torch

from dux_sandbox.executions import EXECUTIONS
from dux_sandbox.limits import Limits

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="needs the jail")

_RULE = """
import torch


class Listed(torch.optim.Optimizer):
    def __init__(self, params, lr=0.5):
        super().__init__(params, dict(lr=lr, betas=[0.5, 1.0], conf={"k": 1.0}))

    @torch.no_grad()
    def step(self, closure=None):
        for group in self.param_groups:
            WRITES
            for p in group["params"]:
                f = group["betas"][0] * group["conf"]["k"]
                p.sub_(p.grad, alpha=group["lr"] * f)
"""


def trained(kind, writes, loop, steps=4):
    """What the weights of two groups are after steps; `loop` is given the groups."""
    weights = [torch.nn.Parameter(torch.zeros(1)) for _ in range(2)]
    groups = [{"params": [each]} for each in weights]
    source = _RULE.replace("WRITES", writes)
    rule = EXECUTIONS[kind].build(source, groups, limits=Limits(), seed=0)
    with closing(rule):
        for group, options in zip(groups, rule.options, strict=True):
            group.update(options)
        rule.bind(groups)
        for step in range(steps):
            for each in weights:
                each.grad = torch.ones(1)
            loop(step, groups)
            rule.step()
        shown = [group["conf"]["k"] for group in groups]
    return [each.item() for each in weights], shown


def writes_into_a_list(step, groups):
    if step == 2:
        groups[0]["betas"][0] = 2.0


def writes_into_a_dict(step, groups):
    if step == 2:
        groups[1]["conf"]["k"] = 4.0


def schedules_a_rate(step, groups):
    groups[0]["lr"] = 0.5 / (1 + step)


@pytest.mark.parametrize("loop", [writes_into_a_list, writes_into_a_dict])
@pytest.mark.parametrize("kind", ["recorded", "isolated", "inline"])
def test_what_a_loop_writes_into_one_groups_list_is_all_groups(kind, loop):
    weights, _ = trained(kind, "pass", loop)

    # Two steps of 0.25, and two four times as long.
    assert [-2.5, -2.5] == weights


@pytest.mark.parametrize("loop", [schedules_a_rate, lambda *_: None])
@pytest.mark.parametrize("kind", ["recorded", "isolated"])
def test_what_a_rule_writes_into_its_own_dict_lasts(kind, loop):
    writes = "group['conf']['k'] *= 0.5"

    found = trained(kind, writes, loop)

    assert trained("inline", writes, loop) == found
    assert [0.5**8] * 2 == found[1]


@pytest.mark.parametrize("kind", ["recorded", "isolated"])
@pytest.mark.parametrize("loop", [writes_into_a_list, writes_into_a_dict])
def test_a_loop_and_a_rule_may_both_write_into_what_groups_share(kind, loop):
    writes = "group['conf']['k'] *= 0.5"

    found = trained(kind, writes, loop)

    assert trained("inline", writes, loop) == found
