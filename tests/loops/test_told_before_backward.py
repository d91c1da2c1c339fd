"""Loops that tell of their loss between its forward and its backward pass."""

import pytest
import torch
from torch import nn

from dux_agent import attach
from tests import models
from tests.loops.ends import assert_same, ends
from tests.sources import MOMENTUM
from tests.swapping import ADAM
from tests.talking import scripted

STEPS, EVERY = 20, 6
BATCHES = models.batches(4)
GENTLE = MOMENTUM.replace("lr=0.05", "lr=0.01")
# Over a base that keeps momentum it takes a step of its own while it is built.
CARRIES = ADAM.replace("    def __init__", "    carry = True\n\n    def __init__", 1)


def plain():
    return models.mlp(), models.objective


def batch_norm():
    return models.Convolutional(), models.objective


def taught():
    """By a teacher whose own forward pass waits for its backward pass as well."""
    teacher = models.Convolutional()

    def objective(model, batch):
        said = teacher(batch[0])
        loss = models.objective(model, batch) + (said - batch[1]).square().mean()
        return loss + (model(batch[0]) - said.detach()).square().mean()

    model = models.mlp()
    model.other = [teacher]
    return model, objective


def trained(make, execution, *sources, detached=False, **options):
    """Weights and buffers at the end, and the verdicts; without sources no agent."""
    torch.manual_seed(0)
    model, objective = make()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    agent = None
    if sources:
        agent = attach(
            model,
            optimizer,
            objective,
            lm=scripted(*sources),
            every=EVERY,
            execution=execution,
            dry_run_steps=2,
            max_attempts=1,
            accept="finite",
            **options,
        )
        optimizer = agent.optimizer
    for step in range(STEPS):
        batch = BATCHES[step % len(BATCHES)]
        loss = objective(model, batch)
        if agent is not None:
            agent.observe(loss.item() if detached else loss, batch)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    if agent is None:
        return ends(model), []
    agent.close()
    return ends(model), [each.verdict for each in agent.decisions]


@pytest.mark.parametrize("execution", ["inline", "isolated", "recorded"])
@pytest.mark.parametrize("source", [GENTLE, CARRIES], ids=["gentle", "carries"])
def test_a_swap_leaves_the_backward_pass_to_go_on(source, execution):
    _, verdicts = trained(plain, execution, source)

    assert ["applied"] * 3 == verdicts


def clamped():
    """By a teacher that writes the bits again that its weights have already."""
    teacher = models.mlp()

    def objective(model, batch):
        with torch.no_grad():
            for each in teacher.parameters():
                each.clamp_(-5, 5)
                each.copy_(each.clone())
        said = teacher(batch[0])
        return models.objective(model, batch) + (model(batch[0]) - said).square().mean()

    return models.mlp(), objective


@pytest.mark.parametrize("make", [plain, batch_norm, taught, clamped])
@pytest.mark.parametrize("detached", [False, True])
def test_a_decision_that_applies_nothing_changes_nothing(make, detached):
    expected, _ = trained(make, "inline")
    broken = GENTLE.replace("p.add_(", "p.undefined_(")

    found, verdicts = trained(make, "inline", broken, detached=detached, validate=_seen)

    assert ["kept"] * 3 == verdicts
    assert_same(expected, found)


def _seen(model: nn.Module) -> float:
    with torch.no_grad():
        return float(models.objective(model, BATCHES[0]))


def test_what_building_a_rule_wrote_is_not_counted_either():
    writes = GENTLE.replace(
        "        self.t = 0\n",
        "        self.t = 0\n"
        "        with torch.no_grad():\n"
        "            for p in self.param_groups[0]['params']:\n"
        "                p.add_(1.0)\n",
    )
    assert writes != GENTLE

    expected, _ = trained(plain, "inline", GENTLE)
    found, verdicts = trained(plain, "inline", writes)

    assert ["applied"] * 3 == verdicts
    assert_same(expected, found)
