"""Where a copy of the model finds no memory, a decision ends and training goes on."""

import time

import pytest
import torch

from dux_agent import attach
from tests import models
from tests.executions import both
from tests.sources import MOMENTUM
from tests.talking import scripted

ERRORS = [
    torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."),
    RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate"),
]
LONGEST = 60  # seconds


class Full:
    """Raises once something has happened to so many copies."""

    def __init__(self, error, most):
        self.error, self.most, self.times = error, most, 0

    def happens(self):
        self.times += 1
        if self.times > self.most:
            raise self.error


def trained(steps, background=False, execution="inline", objective=None, clone=None):
    """Train until a decision was made, or for so many steps; an agent decides or none.

    Returns:
        The weights, the decisions and the steps.
    """
    torch.manual_seed(0)
    model = models.mlp()
    base = torch.optim.SGD(model.parameters(), lr=0.02, momentum=0.9)
    agent = None
    if steps is None:
        options = {"background": background, "execution": execution, "every": 5}
        given = {"clone": clone, "max_attempts": 2, "dry_run_steps": 3, **options}
        lm = scripted(MOMENTUM)
        agent = attach(model, base, objective or models.objective, lm=lm, **given)
    batches, taken, began = models.batches(5), 0, time.monotonic()
    while (taken < steps) if agent is None else not agent.decisions:
        batch = batches[taken % 5]
        optimizer = base if agent is None else agent.optimizer
        optimizer.zero_grad()
        loss = models.objective(model, batch)
        loss.backward()
        optimizer.step()
        taken += 1
        if agent is not None:
            agent.observe(loss.detach(), batch)
            assert time.monotonic() - began < LONGEST
    decisions = [] if agent is None else [*agent.decisions]
    if agent is not None:
        agent.close()
    return [each.detach().clone() for each in model.parameters()], decisions, taken


@both
@pytest.mark.parametrize("background", [False, True], ids=["now", "beside"])
@pytest.mark.parametrize("error", ERRORS, ids=["device", "allocator"])
@pytest.mark.parametrize(("where", "before"), [("objective", 1), ("clone", 2)])
def test_a_copy_without_memory_costs_a_decision_and_not_the_training(
    where, before, error, background, execution
):
    full = Full(error, before)  # the dry run comes after these

    def objective(model, batch):
        full.happens()
        return models.objective(model, batch)

    def clone(model):
        full.happens()
        twin = models.mlp()
        twin.load_state_dict(model.state_dict())
        return twin

    given = {"objective": objective} if where == "objective" else {"clone": clone}

    weights, (decision,), steps = trained(None, background, execution, **given)

    assert "failed" == decision.verdict
    assert "ran out of memory" in decision.reason
    alone, _, _ = trained(steps)
    assert all(map(torch.equal, weights, alone))
