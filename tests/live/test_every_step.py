"""What a step of the base optimizer costs, in calls: those do not depend on load."""

import sys

import torch
from torch.optim.lr_scheduler import LambdaLR, StepLR

from dux_agent.live.optimizer import DuxOptimizer


def live_optimizer():
    weight = torch.nn.Parameter(torch.ones(2))
    weight.grad = torch.ones(2)
    return DuxOptimizer(torch.optim.SGD([weight], lr=0.1))


def calls_of_a_step(live):
    calls = []
    before = sys.getprofile()
    sys.setprofile(lambda frame, event, _: calls.append(event))
    try:
        live.step()
    finally:
        sys.setprofile(before)
    return calls.count("call")


def test_a_scheduler_makes_no_step_dearer():
    bare, scheduled = live_optimizer(), live_optimizer()
    scheduler = LambdaLR(scheduled, lambda step: 0.99**step)
    for _ in range(5):
        bare.step()
        scheduled.step()
        scheduler.step()

    counts = calls_of_a_step(bare), calls_of_a_step(scheduled)

    # torch wraps the step of what a scheduler was made over, and looks it up.
    assert counts[1] <= counts[0] + 2


def test_what_a_scheduler_did_before_it_was_found_is_none_of_the_loops():
    live = live_optimizer()
    scheduler = StepLR(live, 1)
    for _ in range(4):
        live.step()
        scheduler.step()

    live.schedule.find()
    live.step()

    assert live.schedule.saved().changes == 0
