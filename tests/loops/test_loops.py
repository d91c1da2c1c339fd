"""Loops as people write them: what an agent changes in them, and what it does not."""

import pytest
import torch

from dux_agent import attach
from tests.loops.ends import assert_same, ends
from tests.loops.loops import EVERY, LOOPS, STEPS, Parts
from tests.sources import EXPLODES, MOMENTUM
from tests.talking import scripted

MODES = ("inline", "isolated")
GENTLE = MOMENTUM.replace("lr=0.05", "lr=0.01")


def trained(loop, *sources, execution="inline"):
    """Train; the weights and buffers at the end, and the decisions.

    Without sources nobody is attached.
    """
    torch.manual_seed(0)
    model = loop.make()
    base = loop.base(model)
    torch.manual_seed(1)
    if not sources:
        loop.run(Parts(model, base, lambda *told: None))
        return ends(model), []
    with attach(
        model,
        base,
        loop.objective,
        lm=scripted(*sources),
        every=EVERY,
        total_steps=STEPS,
        max_attempts=1,
        execution=execution,
    ) as agent:
        loop.run(Parts(model, agent.optimizer, agent.observe))
        return ends(model), list(agent.decisions)


@pytest.mark.parametrize("execution", MODES)
@pytest.mark.parametrize("name", LOOPS)
def test_an_agent_that_applies_nothing_changes_nothing(name, execution):
    loop = LOOPS[name]
    expected, _ = trained(loop)

    found, decisions = trained(loop, EXPLODES, execution=execution)

    assert ["kept", "kept"] == [each.verdict for each in decisions]
    assert_same(expected, found)


@pytest.mark.parametrize("name", LOOPS)
def test_a_rule_does_the_same_wherever_it_runs(name):
    loop = LOOPS[name]
    bare, _ = trained(loop)
    expected, inline = trained(loop, GENTLE, execution="inline")

    found, isolated = trained(loop, GENTLE, execution="isolated")

    assert ["applied", "applied"] == [each.verdict for each in inline]
    assert ["applied", "applied"] == [each.verdict for each in isolated]
    assert_same(expected, found)
    assert any(not torch.equal(bare[key], found[key]) for key in found)


@pytest.mark.parametrize("execution", MODES)
@pytest.mark.parametrize("name", LOOPS)
def test_training_goes_on_under_a_rule(name, execution):
    loop = LOOPS[name]
    moved = []
    torch.manual_seed(0)
    model = loop.make()
    with attach(
        model,
        loop.base(model),
        loop.objective,
        lm=scripted(GENTLE),
        every=EVERY,
        total_steps=STEPS,
        execution=execution,
    ) as agent:
        last = [p.detach().clone() for p in model.parameters()]

        def observe(*told):
            agent.observe(*told)
            now = [p.detach().clone() for p in model.parameters()]
            moved.append(any(map(lambda a, b: not torch.equal(a, b), last, now)))
            last[:] = now

        loop.run(Parts(model, agent.optimizer, observe))

        assert "applied" == agent.decisions[-1].verdict
    assert all(moved[1:]) or name == "accumulation" and all(moved[1::2])
