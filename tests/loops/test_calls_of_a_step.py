"""What an agent that never decides adds to a step, in calls, which no load changes."""

import sys
from pathlib import Path

import torch

import dux_agent

TORCH = str(Path(torch.__file__).parent)
STEPS = 160
BATCH = torch.ones(4, 3), torch.zeros(4, 1)


def objective(model, batch):
    return (model(batch[0]) - batch[1]).square().mean()


def calls_of_a_step(attached):
    """Python's calls within torch and elsewhere, in the mean over steps.

    At most of them losses may wait.
    """
    model = torch.nn.Linear(3, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    agent = None
    if attached:
        agent = dux_agent.attach(model, optimizer, objective, lm="offline", every=None)
        optimizer = agent.optimizer
    calls = []

    def hear(frame, event, _):
        if event == "call":
            calls.append(frame.f_code.co_filename.startswith(TORCH))

    before = sys.getprofile()
    try:
        for step in range(2 * STEPS):
            if step == STEPS:
                sys.setprofile(hear)
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
    return calls.count(True) / STEPS, calls.count(False) / STEPS


def test_an_agent_that_never_decides_adds_few_calls_to_a_step():
    # Beside a model that fills the caches each costs some three microseconds. A build
    # with CUDA is asked whether a graph is being captured.
    most = 23 if torch.backends.cuda.is_built() else 22

    bare, attached = calls_of_a_step(False), calls_of_a_step(True)

    print("MOST", attached, bare)
    assert attached[1] - bare[1] <= most
    # What torch calls to mark a step and a zero_grad for profilers is spared.
    assert attached[0] < bare[0]
