"""torch's switches are in a rule's process as they are in the trainer's."""

from contextlib import contextmanager

import pytest
import torch

from dux_agent import attach
from dux_sandbox.global_modes import Modes, hear, tell
from dux_sandbox.process.isolated import IsolatedRule
from dux_sandbox.replaying.rule import RecordedRule
from dux_sandbox.running import InlineRule
from tests import models
from tests.sources import MOMENTUM
from tests.talking import scripted

EXECUTIONS = (InlineRule, IsolatedRule, RecordedRule)

# A count that torch makes of a number is of the default dtype, and so is what is
# divided by it; a third is another number in each.
COUNTS = """
import torch


class Counts(torch.optim.Optimizer):
    def __init__(self, params, lr=0.1):
        super().__init__(params, dict(lr=lr))

    @torch.no_grad()
    def step(self, closure=None):
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is None:
                    continue
                state = self.state[p]
                if "step" not in state:
                    state["step"] = torch.tensor(0.0)
                state["step"] += 1 / 3
                third = torch.tensor(1 / 3)
                p.add_(p.grad * third, alpha=-group["lr"])
"""


def set_newer_precision(name):
    """As torch 2.9 and later are told it: the older getter raises from then on."""
    if hasattr(torch.backends.mkldnn, "matmul"):
        torch.backends.mkldnn.matmul.fp32_precision = name


@contextmanager
def switched(switch):
    """As torch is after `switch()`; as it was afterwards."""
    before = Modes()
    try:
        switch()
        yield
    finally:
        before.restore()


def built(execution, source):
    """A rule over one weight in double precision, and its weight."""
    weight = torch.nn.Parameter(torch.ones(3, dtype=torch.float64))
    groups = [{"params": [weight]}]
    rule = execution.build(source, groups)
    groups[0].update(rule.options[0])
    rule.bind(groups)
    return rule, weight


def stepped(rule, weight, steps=2):
    """The weight and what the rule keeps of it, after some steps."""
    for _ in range(steps):
        weight.grad = torch.ones_like(weight)
        rule.step()
    return weight.detach().clone(), rule.snapshot().state[0]


def assert_alike(one, other):
    assert torch.equal(one[0], other[0])
    for name, value in one[1].items():
        assert value.dtype is other[1][name].dtype
        assert torch.equal(value, other[1][name])


@pytest.mark.parametrize("execution", EXECUTIONS[1:])
def test_a_number_becomes_a_tensor_of_the_trainers_default_dtype(execution):
    found = {}
    for each in (InlineRule, execution):
        with switched(lambda: torch.set_default_dtype(torch.float64)):
            rule, weight = built(each, COUNTS)
            found[each] = stepped(rule, weight)
            rule.close()

    assert torch.float64 is found[InlineRule][1]["step"].dtype
    assert_alike(found[InlineRule], found[execution])


@pytest.mark.parametrize("execution", EXECUTIONS[1:])
def test_a_switch_that_is_set_between_two_steps_counts_from_the_next(execution):
    found = {}
    for each in (InlineRule, execution):
        rule, weight = built(each, COUNTS)
        stepped(rule, weight)
        with switched(lambda: torch.set_default_dtype(torch.float64)):
            stepped(rule, weight)
        found[each] = stepped(rule, weight)
        if each is RecordedRule:
            assert "recorded" == rule.mode
        rule.close()

    assert_alike(found[InlineRule], found[execution])


def test_every_switch_that_is_told_is_heard():
    def others():
        torch.set_default_dtype(torch.float64)
        torch.use_deterministic_algorithms(True, warn_only=True)
        torch.set_float32_matmul_precision("high")
        set_newer_precision("bf16")

    before = tell()
    with switched(others):
        told = tell()
    with switched(lambda: hear(told)):
        heard = tell()

    assert all(before[name] != value for name, value in told.items())
    assert told == heard
    assert before == tell()


@pytest.mark.parametrize("execution", EXECUTIONS)
@pytest.mark.parametrize("live", [False, True])
def test_a_precision_that_the_older_getter_knows_nothing_of_stops_nothing(
    execution, live
):
    found = []
    for switch in (lambda: None, lambda: set_newer_precision("tf32")):
        if live:
            rule, weight = built(execution, COUNTS)
            stepped(rule, weight)
        with switched(switch):
            if not live:
                rule, weight = built(execution, COUNTS)
            found.append(stepped(rule, weight))
            rule.close()

    assert_alike(*found)


@pytest.mark.parametrize("execution", ["inline", "isolated", "recorded"])
def test_an_agent_decides_and_ends_under_a_newer_precision(execution):
    model = models.make("mlp")
    with (
        switched(lambda: set_newer_precision("tf32")),
        attach(
            model,
            torch.optim.SGD(model.parameters(), lr=0.02),
            models.objective,
            lm=scripted(MOMENTUM),
            execution=execution,
            accept="finite",
            dry_run_steps=1,
        ) as agent,
    ):
        for batch in models.batches():
            agent.step(batch)
        agent.decide()
        for batch in models.batches():
            agent.step(batch)

    assert ["applied"] == [each.verdict for each in agent.decisions]
