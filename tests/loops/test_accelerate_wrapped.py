"""An agent attached to what Accelerate has prepared steps when Accelerate would."""

import warnings

import pytest
import torch

from dux_agent import attach
from dux_agent.errors import BadArgument
from tests import models
from tests.loops import rules
from tests.talking import scripted, sgd

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    accelerate = pytest.importorskip("accelerate")

pytestmark = pytest.mark.filterwarnings("ignore")

ORDERS = ["attached first", "prepared first"]
STEPS, ACCUMULATED, DECISION = 16, 2, 3


def trained(order, execution="inline", decides=True):
    """A model trained with accumulated gradients, and what was seen of it."""
    model = models.make("mlp")
    accelerator = accelerate.Accelerator(
        cpu=True, gradient_accumulation_steps=ACCUMULATED
    )
    base, agent, fired, told = sgd(model), None, [], []
    base.register_step_post_hook(lambda *_: fired.append(1))
    optimizer = base
    if order == "prepared first":
        optimizer = accelerator.prepare(base)
    if order is not None:
        agent = attach(
            model,
            optimizer,
            models.objective,
            lm=scripted(rules.CALLS),
            execution=execution,
        )
        optimizer = agent.optimizer
    if order != "prepared first":
        optimizer = accelerator.prepare(optimizer)
    for step in range(STEPS):
        batch = models.batches()[step % 3]
        with accelerator.accumulate(model):
            loss = models.objective(model, batch)
            accelerator.backward(loss)
            optimizer.step()
            optimizer.zero_grad()
        if agent is not None:
            agent.observe(loss.detach(), batch)
            if decides and agent.step_count == DECISION and not agent.decisions:
                agent.decide()
    if agent is not None:
        told = [agent.step_count, [each.verdict for each in agent.decisions]]
        told.append(agent.training.intake.weight)
        agent.close()
    return list(model.parameters()), len(fired), told


@pytest.mark.parametrize("order", ORDERS)
def test_without_a_decision_it_is_the_loop_without_an_agent(order):
    expected, fired, _ = trained(None)

    found, seen, told = trained(order, decides=False)

    assert all(map(torch.equal, expected, found))
    assert STEPS // ACCUMULATED == fired == seen == told[0]


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("execution", ["inline", "isolated"])
def test_a_rule_steps_once_for_accumulated_gradients(order, execution):
    expected, _, _ = trained("attached first")

    found, seen, told = trained(order, execution)

    assert all(map(torch.equal, expected, found))
    assert STEPS // ACCUMULATED == seen
    assert [STEPS // ACCUMULATED, ["applied"], 1 / ACCUMULATED] == told


def test_gradients_that_accelerate_scales_are_refused_at_attach():
    model = models.make("mlp")
    accelerator = accelerate.Accelerator(cpu=True)
    prepared = accelerator.prepare(sgd(model))
    prepared.scaler = torch.amp.GradScaler("cpu")

    with pytest.raises(BadArgument, match="attach first, then call accelerator"):
        attach(model, prepared, models.objective)
