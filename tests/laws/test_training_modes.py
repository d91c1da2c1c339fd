"""Rules that tell training from evaluation, as schedule-free ones do."""

import subprocess
import sys

import pytest
import torch

from dux_sandbox.golden import trajectory
from dux_sandbox.laws import check_laws
from dux_sandbox.loading import load
from tests import models
from tests.executions import both
from tests.talking import agent_over, run

FREE = '''
import torch
class Free(torch.optim.Optimizer):
    """Steps in train mode only."""
    def __init__(self, params, lr=0.1):
        super().__init__(params, dict(lr=lr, train_mode=False))
    def train(self):
        for group in self.param_groups:
            group["train_mode"] = True
    def eval(self):
        for group in self.param_groups:
            group["train_mode"] = False
    @torch.no_grad()
    def step(self, closure=None):
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        if not self.param_groups[0]["train_mode"]:
            raise RuntimeError("not in train mode; call train()")
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is not None:
                    p.add_(p.grad, alpha=-group["lr"])
        return loss
'''


def test_a_rule_with_two_modes_is_built_in_train_mode():
    parameter = torch.nn.Parameter(torch.ones(2))
    parameter.grad = torch.ones(2)
    optimizer = load(FREE)([parameter])

    optimizer.step()

    assert torch.equal(torch.full((2,), 0.9), parameter.detach())


@both
def test_such_a_rule_takes_over_a_training(execution):
    model = models.make("mlp")
    with agent_over(model, FREE, execution=execution) as agent:
        run(agent, 2)
        decision = agent.decide()
        run(agent, 3)

        assert "applied" == decision.verdict
        assert all(group["train_mode"] for group in agent.optimizer.param_groups)


@pytest.mark.parametrize("guarded", [True, False])
def test_the_laws_hold_for_it(guarded):
    space = {}
    exec(FREE, space)

    results = check_laws(load(FREE) if guarded else space["Free"], examples=0)

    assert [] == [result for result in results if not result.ok]
    assert trajectory(space["Free"]) == trajectory(load(FREE))


@pytest.mark.parametrize("lines", [0, 300])
def test_a_script_about_it_begins_in_train_mode(tmp_path, lines):
    space = {}
    source = FREE.replace(
        "p.add_(p.grad,", "p.grad.mul_(2)\n                    p.add_(p.grad,"
    ).replace("Steps in train mode only.", "Steps in train mode only." + "\n" * lines)
    exec(source, space)

    results = check_laws(space["Free"], examples=0, source=source)

    [broken] = [result for result in results if result.name == "gradients"]
    path = tmp_path / "shown.py"
    path.write_text(broken.example)
    told = subprocess.run(
        [sys.executable, str(path)], capture_output=True, text=True, check=False
    )
    assert "gradients" == broken.name
    assert "AssertionError" in told.stderr
