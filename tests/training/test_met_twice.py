"""A dry run goes over the newest batches twice, whatever a step takes of them."""

import pytest
import torch
from torch import nn

from dux_agent import attach
from tests.swapping import MOMENTUM
from tests.talking import scripted


@pytest.mark.parametrize(
    ("seen", "steps", "accumulate", "used"),
    [
        (12, 10, 1, [7, 8, 9, 10, 11]),
        (3, 10, 1, [0, 1, 2]),
        (12, 1, 1, [11]),
        (12, 10, 2, [2, 3, 4, 5, 6, 7, 8, 9, 10, 11]),
    ],
)
def test_the_newest_batches_are_met_twice(seen, steps, accumulate, used):
    model, met = nn.Linear(1, 1), []

    def objective(net, batch):
        met.append(int(batch[0]))
        return net(batch).square().mean()

    base = torch.optim.SGD(model.parameters(), lr=0.001)
    options = {"lm": scripted(MOMENTUM), "dry_run_steps": steps, "accept": "finite"}
    with attach(model, base, objective, execution="inline", **options) as agent:
        for number in range(seen):
            batch = torch.full((1, 1), float(number))
            objective(model, batch).backward()
            agent.observe(1.0, batch)
            if number % accumulate == accumulate - 1:
                base_step(agent)
        met.clear()
        agent.decide()

    counted = [met.count(batch) for batch in used]
    assert set(used) == set(met)
    assert min(counted) >= 2


def base_step(agent):
    agent.optimizer.step()
    agent.optimizer.zero_grad()
