"""A rule in this process keeps the promises of `RunningRule`."""

import pytest
import torch

from dux_sandbox import RuleFailed
from dux_sandbox.running import InlineRule, same_options
from tests import models, sources


def test_a_trusted_optimizer_is_wrapped_as_it_is():
    model = models.make("mlp")
    adam = torch.optim.Adam(model.parameters(), lr=0.01)
    rule = InlineRule(adam)

    models.objective(model, models.batches()[0]).backward()
    rule.step()
    before = rule.snapshot()
    rule.step()
    rule.restore(before)

    assert rule.source is None
    for index, parameter in enumerate(model.parameters()):
        for name, value in before.state[index].items():
            assert torch.equal(value, adam.state[parameter][name])


def test_a_fault_in_a_step_is_a_finding_with_its_line():
    weight = torch.nn.Parameter(torch.ones(1))
    rule = InlineRule.build(sources.RAISES, [{"params": [weight]}])

    with pytest.raises(RuleFailed) as caught:
        rule.step()

    line = sources.RAISES.splitlines()[caught.value.finding.line - 1]
    assert "raise ValueError" in line


def test_a_fault_in_the_constructor_is_a_finding():
    source = sources.with_step("        pass", init="        self.x = 1 // 0")

    with pytest.raises(RuleFailed) as caught:
        InlineRule.build(source, [{"params": [torch.nn.Parameter(torch.ones(1))]}])

    assert "init" == caught.value.finding.rule
    assert "ZeroDivisionError" in caught.value.finding.message


def test_a_rule_cannot_swallow_the_callers_error():
    source = sources.with_step(
        "        try:\n"
        "            closure()\n"
        "        except Exception:\n"
        "            pass"
    )
    weight = torch.nn.Parameter(torch.ones(1))
    rule = InlineRule.build(source, [{"params": [weight]}])

    def closure():
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        rule.step(closure)


def test_options_are_compared_with_their_types():
    one = {"lr": 1.0, "w": torch.ones(2)}

    assert same_options(one, {"lr": 1.0, "w": torch.ones(2)})
    assert not same_options(one, {"lr": 1, "w": torch.ones(2)})
    assert not same_options(one, {"lr": 1.0, "w": torch.zeros(2)})
    assert not same_options(one, {"lr": 1.0})
