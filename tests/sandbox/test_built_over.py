"""A rule whose constructor reads its parameters as tensors, and not as groups."""

import pytest
import torch

from dux_sandbox.executions import EXECUTIONS
from dux_sandbox.findings import RuleFailed
from dux_sandbox.limits import Limits
from tests.executions import both

_RULE = """
import torch


class Rule(torch.optim.Optimizer):
    def __init__(self, params, lr=0.5):
        params = list(params)
        {begun}
        super().__init__(params, dict(lr=lr))

    @torch.no_grad()
    def step(self, closure=None):
        for group in self.param_groups:
            for p in group["params"]:
                p.add_(p.grad, alpha=-group["lr"])
        if hasattr(self, "kept"):
            assert all(each.grad is not None for each in self.kept)
"""
READS_TENSORS = {
    "clones": "self.begun = [each.detach().clone() for each in params]",
    "counts": "self.count = sum(each.numel() for each in params)",
    "asks": 'assert all(each.dim() < 3 for each in params), "too many axes"',
    "keeps": "self.kept = params",
    "draws": "self.drawn = [torch.randn_like(each) for each in params]",
}


def _built(begun, execution, count):
    weights = [torch.nn.Parameter(torch.ones(2)) for _ in range(count)]
    groups = [{"params": [each]} for each in weights]
    source = _RULE.format(begun=begun)
    rule = EXECUTIONS[execution].build(source, groups, limits=Limits(), seed=0)
    return rule, groups, weights


@both
@pytest.mark.parametrize("name", list(READS_TENSORS))
def test_it_is_given_tensors_where_there_is_one_group(name, execution):
    rule, groups, weights = _built(READS_TENSORS[name], execution, 1)
    for group, options in zip(groups, rule.options, strict=True):
        group.update(options)
    rule.bind(groups)
    weights[0].grad = torch.ones(2)

    rule.step()
    rule.close()

    assert torch.equal(torch.full((2,), 0.5), weights[0].detach())


@both
def test_of_several_groups_the_first_error_is_told(execution):
    with pytest.raises(RuleFailed, match="dict.numel"):
        _built(READS_TENSORS["counts"], execution, 2)


@both
def test_what_raises_on_tensors_as_well_is_told_of_groups(execution):
    with pytest.raises(RuleFailed, match="dict.mm"):
        _built("params[0].mm(params[0])", execution, 1)


@both
def test_one_that_reads_groups_is_given_the_group(execution):
    rule, _, _ = _built('self.n = len(params[0]["params"])', execution, 1)
    rule.close()


@both
def test_both_ways_draw_the_same_numbers(execution):
    held = "self.drawn = torch.randn(3)"
    drawn = []
    for begun in (held, f'{held}; len(params[0]["params"])'):
        torch.manual_seed(0)
        rule, _, _ = _built(begun, execution, 1)
        drawn.append(rule.snapshot().attributes["drawn"])
        rule.close()

    assert torch.equal(*drawn)


_SPLITS = """
import torch


class Rule(torch.optim.Optimizer):
    def __init__(self, params, lr=0.5):
        params = list(params)
        matrices = [each for each in params if each.ndim > 1]
        others = [each for each in params if each.ndim < 2]
        groups = [dict(params=matrices, by=1.0), dict(params=others, by=2.0)]
        super().__init__(groups, dict(lr=lr))

    @torch.no_grad()
    def step(self, closure=None):
        for group in self.param_groups:
            for p in group["params"]:
                p.add_(p.grad, alpha=-group["lr"] * group["by"])
"""


@pytest.mark.parametrize("execution", ["inline", "isolated", "recorded"])
def test_one_that_makes_groups_of_its_own_is_told_what_to_write(execution):
    groups = [{"params": [torch.nn.Parameter(torch.ones(s)) for s in ((2, 2), (2,))]}]

    with pytest.raises(RuleFailed, match="2 groups of the 1 that it is given") as told:
        EXECUTIONS[execution].build(_SPLITS, groups, limits=Limits(), seed=0)

    assert "init" == told.value.finding.rule
    assert "tell matrices by p.ndim" in told.value.finding.instead
