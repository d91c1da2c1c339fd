"""What `attach` loads for the first time draws no number of the training's."""

import subprocess
import sys

SCRIPT = """
import random
import torch
from dux_agent import attach

net = torch.nn.Linear(2, 1)
random.seed(0)
before = random.getstate()
with attach(
    net,
    torch.optim.SGD(net.parameters(), lr=0.1),
    lambda model, batch: model(batch).square().mean(),
    every=2,
) as agent:
    assert random.getstate() == before, "attach"
    for _ in range(3):
        agent.step(torch.ones(4, 2))
assert random.getstate() == before, "a decision"
assert len(agent.decisions) == 1
"""


def test_the_random_numbers_of_a_fresh_process_are_as_they_were():
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=False
    )

    assert 0 == done.returncode, done.stderr
