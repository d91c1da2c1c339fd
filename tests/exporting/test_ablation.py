"""What a rule can do without is left out of it, and nothing else."""

import pytest
import torch
from typer.testing import CliRunner

from dux_agent.cli import app
from dux_agent.errors import DuxError
from dux_agent.exporting.ablation import ablate
from dux_agent.exporting.beside import export_with_smaller
from tests.exporting.test_export import module, run_with

RULE = """
import torch

class Padded(torch.optim.Optimizer):
    def __init__(self, params, lr=0.1, momentum=0.9):
        super().__init__(params, dict(lr=lr, momentum=momentum))

    @torch.no_grad()
    def step(self, closure=None):
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is None:
                    continue
                {}
"""
PLAIN = "p.add_(p.grad, alpha=-group['lr'])"


def padded(line):
    return RULE.format(f"{line}\n                {PLAIN}")


@pytest.mark.parametrize(
    ("line", "gone"),
    [
        ("self.state[p]['spare'] = torch.zeros_like(p)", "spare"),
        ("p.mul_(1.0)", "mul_"),
        ("if group['lr'] > 5.0: p.zero_()", "zero_"),
        ("p.add_(p.grad * 0.0)", "0.0"),
    ],
)
def test_a_statement_that_changes_nothing_is_left_out(line, gone):
    smaller = ablate(padded(line), [(4, 3), (3,)], 12)

    assert gone not in smaller.source
    assert "momentum" not in smaller.source
    assert "p.grad is None" in smaller.source and "group['lr']" in smaller.source
    assert 12 == smaller.steps


@pytest.mark.parametrize(
    "line",
    [
        "p.mul_(0.999)",
        "self.state[p]['n'] = n = self.state[p].get('n', 0) + 1; p.mul_(n > 9 or 0.5)",
        "p.grad.mul_(min(1.0, 1.0 / float(p.grad.norm())))",
    ],
)
def test_what_changes_a_step_stays_however_late_it_does(line):
    smaller = ablate(padded(line), [(4, 3), (3,)], 12)

    kept = {name for name in ("mul_", "norm", "'n'") if name in line}
    assert all(name in smaller.source for name in kept)


def test_a_rule_of_which_all_is_needed_stays_as_it_is():
    tight = RULE.replace(", momentum=0.9", "").replace(", momentum=momentum", "")

    assert () == ablate(tight.format(PLAIN), [(4,)], 5).dropped


def test_both_stand_in_one_module_and_take_the_same_steps(tmp_path):
    path = run_with(tmp_path, (2, padded("p.mul_(1.0)"), False))

    text = export_with_smaller(path)

    made = module(tmp_path, text)
    assert "p.mul_(1.0)" in text and "p.mul_(1.0)\n" in made.smaller_Padded.__doc__ + (
        made.PaddedSmaller.__doc__ or ""
    )
    weights = [torch.nn.Parameter(torch.ones(3)) for _ in range(2)]
    for weight, rule in zip(weights, (made.Padded, made.PaddedSmaller), strict=True):
        optimizer = rule([weight])
        for _ in range(3):
            weight.grad = weight.detach().clone()
            optimizer.step()
    assert torch.equal(*weights)


def test_a_rule_that_takes_no_step_is_one_line(tmp_path):
    path = run_with(tmp_path, (2, padded("raise ValueError('no')"), False))

    with pytest.raises(DuxError, match="takes no steps on gradients"):
        export_with_smaller(path)


def test_the_command_writes_it_and_says_what_does_not_go_together(tmp_path):
    path = str(run_with(tmp_path, (2, padded("p.mul_(1.0)"), False)))

    both = CliRunner().invoke(app, ["export", path, "--smaller", "--schedule"])
    done = CliRunner().invoke(app, ["export", path, "--smaller"])

    assert 2 == both.exit_code
    assert "--schedule and --smaller" in " ".join(both.stderr.split())
    assert 0 == done.exit_code and "PaddedSmaller" in done.stdout
