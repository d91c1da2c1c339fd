"""Optimizers and helpers inside of a rule: what they have learned is given back."""

from pathlib import Path

import pytest
import torch

from dux_sandbox.loading import attributes_of, load, restore_attributes
from dux_sandbox.process.isolated import IsolatedRule
from dux_sandbox.replaying.rule import RecordedRule
from dux_sandbox.running import InlineRule
from tests.sources import with_step

STYLES = Path(__file__).parents[1] / "corpus" / "styles"
NAMES = (
    "inner_optimizer",
    "lookahead_around",
    "two_inner_optimizers",
    "listed_inner_optimizers",
    "helpers_in_lists",
)
KINDS = {"inline": InlineRule, "isolated": IsolatedRule, "recorded": RecordedRule}


def source_of(name):
    return (STYLES / f"{name}.py").read_text()


def weights():
    generator = torch.Generator().manual_seed(0)
    return [
        torch.nn.Parameter(torch.randn(shape, generator=generator))
        for shape in ((4, 3), (3,))
    ]


def built(kind, source, parameters):
    """The rule, and the group of the loop that it is bound to."""
    rule = KINDS[kind].build(source, [{"params": parameters}])
    here = isinstance(rule, InlineRule)
    options = rule.optimizer.param_groups[0] if here else rule.options[0]
    group = {**options, "params": parameters}
    rule.bind([group])
    return rule, group


def stepped(rule, parameters, steps):
    for step in steps:
        generator = torch.Generator().manual_seed(step)
        for each in parameters:
            each.grad = torch.randn(each.shape, generator=generator)
        rule.step()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", NAMES)
def test_a_rule_goes_on_from_what_its_inner_optimizers_have_learned(name, kind):
    source, parameters, others = source_of(name), weights(), weights()
    rule, group = built(kind, source, parameters)
    stepped(rule, parameters, range(4))
    learned = rule.snapshot()
    fresh, _ = built("inline", source, others)
    fresh.bind([{**group, "params": others}])
    for one, other in zip(parameters, others, strict=True):
        other.data.copy_(one)

    fresh.restore(learned)
    stepped(rule, parameters, range(4, 8))
    stepped(fresh, others, range(4, 8))

    assert getattr(rule, "mode", kind) == kind
    assert all(map(torch.equal, parameters, others))
    rule.close()


@pytest.mark.parametrize("name", NAMES)
def test_it_does_recorded_what_it_does_inline_while_the_loop_writes_its_rate(name):
    source, parameters, others = source_of(name), weights(), weights()
    pairs = built("recorded", source, parameters), built("inline", source, others)

    for step in range(12):
        for rule, group in pairs:
            group["lr"] = 0.01 / (1 + step)
            stepped(rule, group["params"], [step])

    assert "recorded" == pairs[0][0].mode
    assert all(map(torch.equal, parameters, others))
    pairs[0][0].close()


@pytest.mark.parametrize("kind", KINDS)
def test_what_it_learned_after_a_snapshot_is_forgotten_with_it(kind):
    source, parameters = source_of("two_inner_optimizers"), weights()
    rule, _ = built(kind, source, parameters)
    before, learned = [each.detach().clone() for each in parameters], rule.snapshot()
    stepped(rule, parameters, range(3))
    wanted = [each.detach().clone() for each in parameters]

    for each, value in zip(parameters, before, strict=True):
        each.data.copy_(value)
    rule.restore(learned)
    stepped(rule, parameters, range(3))

    assert all(map(torch.equal, wanted, parameters))
    rule.close()


INNER = with_step("", init="        self.inner = torch.optim.{}(params, lr=0.1)")


def one_step_of(kind):
    parameter = torch.nn.Parameter(torch.ones(3))
    parameter.grad = torch.ones(3)
    rule = load(INNER.format(kind))([parameter])
    rule.inner.step()
    return rule


def test_what_was_learned_by_another_kind_is_passed_over():
    other = one_step_of("RMSprop")
    before = dict(other.inner.state[other.param_groups[0]["params"][0]])

    restore_attributes(other, attributes_of(one_step_of("Adam")))

    after = other.inner.state[other.param_groups[0]["params"][0]]
    assert before.keys() == after.keys()


def test_so_is_what_one_with_other_groups_learned():
    rule = one_step_of("Adam")
    saved = attributes_of(rule)
    saved["inner"] |= {"groups": [{}, {}], "state": []}

    restore_attributes(rule, saved)

    assert 1 == len(rule.inner.state)


def test_only_numbers_of_its_groups_are_given_back():
    rule = one_step_of("Adam")
    saved = attributes_of(rule)
    saved["inner"]["groups"] = [
        {"lr": 0.5, "fused": True, "params": [], "new": 1, "betas": (0.5, 0.6)}
    ]

    restore_attributes(rule, saved)

    (group,) = rule.inner.param_groups
    assert (0.5, (0.5, 0.6)) == (group["lr"], group["betas"])
    assert not group["fused"]
    assert 1 == len(group["params"])
    assert "new" not in group


@pytest.mark.parametrize(
    "broken",
    [
        {"state": [[{"dux": "parameter", "index": 9}, {}]]},
        {"state": [[{"dux": "parameter", "index": 0}, [1]]]},
        {"state": 3},
        {"groups": 1},
        {"groups": ["lr"]},
        {"fields": 1},
    ],
)
def test_what_is_malformed_is_said_to_be(broken):
    rule = one_step_of("Adam")
    saved = attributes_of(rule)
    saved["inner"] |= broken

    with pytest.raises(ValueError, match="the saved attribute inner is malformed"):
        restore_attributes(rule, saved)


HELPERS = """
import torch
class Meter:
    def __init__(self, value):
        self.value = value
class Rule(torch.optim.Optimizer):
    def __init__(self, params, lr=0.1):
        super().__init__(params, dict(lr=lr))
        self.built = {3: Meter(1.0)}
        self.alike = (self.built[3], Meter(2.0))
        self.grown = []
        self.parts = {"a": torch.optim.SGD(self.param_groups, lr=lr, momentum=0.9)}
    def step(self, closure=None):
        self.built[3].value += 1
        self.grown.append(Meter(float(len(self.grown))))
        self.parts["a"].step()
"""


def stepped_twice():
    parameter = torch.nn.Parameter(torch.ones(3))
    parameter.grad = torch.ones(3)
    rule = load(HELPERS)([parameter])
    rule.step()
    rule.step()
    return rule


def test_helpers_in_containers_come_back_also_those_that_were_not_built():
    saved = attributes_of(stepped_twice())
    fresh = load(HELPERS)([torch.nn.Parameter(torch.ones(3))])

    restore_attributes(fresh, saved)

    assert fresh.built[3] is fresh.alike[0]
    assert (3.0, 2.0) == (fresh.built[3].value, fresh.alike[1].value)
    assert [0.0, 1.0] == [each.value for each in fresh.grown]
    (entry,) = fresh.parts["a"].state.values()
    assert torch.equal(torch.full((3,), 1.9), entry["momentum_buffer"])


@pytest.mark.parametrize("kind", ["Rule", "torch", "nobody", 3, None])
def test_a_helper_of_a_kind_that_is_none_is_not_made(kind):
    fresh = load(HELPERS)([torch.nn.Parameter(torch.ones(3))])
    forged = {"dux": "object", "kind": kind, "fields": {"state": 1}}

    restore_attributes(fresh, {"grown": [forged], "parts": {"a": forged}})

    assert [None] == [getattr(each, "state", None) for each in fresh.grown]
    assert 1 != fresh.parts["a"].state


ROUND = """
import torch
class Part(torch.optim.Optimizer):
    def __init__(self, params):
        super().__init__(params, dict(lr=0.1))
        self.other = None
    def step(self, closure=None):
        return None
class Rule(torch.optim.Optimizer):
    def __init__(self, params, lr=0.1):
        super().__init__(params, dict(lr=lr))
        self.one, self.two = Part(self.param_groups), Part(self.param_groups)
        self.one.other, self.two.other = self.two, self.one
        self.count = 3
    def step(self, closure=None):
        return None
"""


def test_of_optimizers_that_hold_each_other_nothing_is_saved_and_the_rest_is():
    rule = load(ROUND)([torch.nn.Parameter(torch.ones(3))])

    assert {"count": 3} == attributes_of(rule)
