"""What an agent that never decides adds to a step, in calls, which no load changes."""

import sys

import torch

import dux_agent

STEPS = 160
BATCH = torch.ones(4, 3), torch.zeros(4, 1)


def objective(model, batch):
    return (model(batch[0]) - batch[1]).square().mean()


def calls_of_a_step(attached):
    """Calls of Python functions, in the mean over steps at which losses may wait."""
    model = torch.nn.Linear(3, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    agent = None
    if attached:
        agent = dux_agent.attach(model, optimizer, objective, lm="offline", every=None)
        optimizer = agent.optimizer
    calls = []
    before = sys.getprofile()
    try:
        for step in range(2 * STEPS):
            if step == STEPS:
                sys.setprofile(lambda frame, event, _: calls.append(event))
            optimizer.zero_grad()
            loss = objective(model, BATCH)
            loss.backward()
            optimizer.step()
            if agent is not None:
                agent.observe(loss, BATCH)
    finally:
        sys.setprofile(before)
        if agent is not None:
            agent.close()
    return calls.count("call") / STEPS


def test_an_agent_that_never_decides_adds_few_calls_to_a_step():
    # Beside a model that fills the caches each costs some three microseconds. What
    # torch calls to mark a step for profilers is spared. A build with CUDA is asked
    # whether a graph is being captured.
    most = 12 if torch.backends.cuda.is_built() else 9
    assert calls_of_a_step(True) - calls_of_a_step(False) <= most
