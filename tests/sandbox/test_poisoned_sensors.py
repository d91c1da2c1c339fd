"""What was saved of a rule's sensors is not trusted: anybody may have written it."""

from dataclasses import replace

import pytest
import torch

from dux_sandbox.executions import EXECUTIONS
from dux_sandbox.findings import RuleFailed
from dux_sandbox.limits import Limits
from dux_sandbox.sensed_rule import SENSED
from tests.rule_with_sensors import SOURCE

KINDS = ("inline", "isolated")
REFUSED = {
    "no dict": [1],
    "a count that is too wide": {"heard": 10**400},
    "a count below nought": {"heard": -(10**6)},
    "a count without end": {"heard": float("inf")},
    "losses that are none": {"losses": [float("nan"), 1.0], "heard": 3},
    "losses that are too wide": {"losses": [10**400, 1.0], "heard": 3},
    "three losses": {"losses": [1.0, 2.0, 3.0]},
    "no number": {"cosine": "abc"},
    "a ratio that is too wide": {"ratio": 10**400},
    "gradients that are a list": {"gradients": [1]},
    "a gradient that is no tensor": {"gradients": {"0": 3}},
}
FORGOTTEN = {
    "meta": torch.ones(4, 3, device="meta"),
    "sparse": torch.ones(4, 3).to_sparse(),
    "booleans": torch.ones(4, 3) > 0,
    "complex": torch.ones(4, 3) + 1j,
    "of another shape": torch.ones(7),
    "wide": torch.ones(1).expand(10**7),
}


@pytest.fixture(params=KINDS)
def rule(request):
    weights = [torch.nn.Parameter(torch.ones(4, 3))]
    groups = [{"params": weights}]
    made = EXECUTIONS[request.param].build(SOURCE, groups, limits=Limits(), seed=0)
    groups[0].update(made.options[0])
    made.bind(groups)
    yield made
    made.close()


def poisoned(rule, told):
    learned = rule.snapshot()
    return replace(learned, attributes={**learned.attributes, SENSED: told})


@pytest.mark.parametrize("what", REFUSED)
def test_sensors_that_are_none_are_refused_with_words(rule, what):
    with pytest.raises(RuleFailed, match="the sensors were saved as something else"):
        rule.restore(poisoned(rule, REFUSED[what]))

    assert [0.0] * 4 == list(rule.sensing.values().values())


@pytest.mark.parametrize("what", FORGOTTEN)
def test_a_gradient_that_can_be_none_of_the_weight_is_forgotten(rule, what):
    rule.restore(poisoned(rule, {"gradients": {"0": FORGOTTEN[what]}}))

    for parameter in rule.sensing._parameters:
        parameter.grad = torch.ones_like(parameter)
    rule.step()

    assert 0.0 == rule.sensing.values()["gradient_cosine"]


@pytest.mark.parametrize("kind", KINDS)
def test_options_that_a_rule_adds_reach_the_loop_in_its_order(kind):
    names = [f"option_{at}" for at in range(20)]
    line = '            rate = group["lr"] *'
    written = "".join(f"            group[{name!r}] = 1\n" for name in names)
    groups = [{"params": [torch.nn.Parameter(torch.ones(4, 3))]}]
    source = SOURCE.replace(line, written + line)
    rule = EXECUTIONS[kind].build(source, groups, limits=Limits(), seed=0)
    groups[0].update(rule.options[0])
    rule.bind(groups)

    groups[0]["params"][0].grad = torch.ones(4, 3)
    rule.step()
    rule.close()

    assert names == [each for each in groups[0] if each.startswith("option_")]
