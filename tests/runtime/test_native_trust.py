"""What C code takes on trust from a rule is looked at: no read or write goes astray."""

from __future__ import annotations

import pytest
import torch

from dux_sandbox import check
from dux_sandbox.loading import load
from dux_sandbox.runtime.stock import FLAGS
from tests.forked import outcome
from tests.rule_sources import one_parameter, rule

BASES = "ASGD Adadelta Adagrad Adam AdamW Adamax NAdam RAdam RMSprop Rprop SGD".split()
CHILD = """
import torch

class Rule(torch.optim.{base}):
    def __init__(self, params):
        super().__init__({given})

    def step(self, closure=None):
        {before}
        {step}
"""
STEPS = {
    "super": "super().step(closure)",
    "unbound": "torch.optim.{base}.step(self, closure)",
}


def child(step: str, base: str, given: str = "params", before: str = "pass") -> str:
    text = CHILD.format(base=base, given=given, before=before, step=step)
    return text.replace("{base}", base)


def flags_of(optimizer: torch.optim.Optimizer) -> list[object]:
    options = [*optimizer.param_groups, optimizer.defaults]
    return [each.get(flag) for each in options for flag in FLAGS if each.get(flag)]


@pytest.mark.parametrize("base", ["Adam", "AdamW", "SGD", "Adagrad"])
@pytest.mark.parametrize("how", STEPS)
def test_no_flag_of_another_kernel_passes_to_a_stock_step(how: str, base: str) -> None:
    later = "[self.param_groups[0].update({f: True}) for f in ('fused', 'capturable')]"
    source = child(STEPS[how], base, "params, fused=True", later)
    optimizer = load(source)([one_parameter()])

    optimizer.step()

    assert [] == flags_of(optimizer)


@pytest.mark.parametrize("base", BASES)
def test_an_inherited_step_drops_them_too(base: str) -> None:
    source = f"import torch\nclass Rule(torch.optim.{base}):\n    pass\n"
    optimizer = load(source)([one_parameter()])
    optimizer.step()
    for options in (optimizer.param_groups[0], optimizer.defaults):
        options.update(dict.fromkeys(FLAGS, True))

    optimizer.step()

    assert [] == flags_of(optimizer)


def test_the_report_says_that_a_flag_is_dropped() -> None:
    report = check(child(STEPS["super"], "Adam", "params, fused=True"))

    assert report.ok
    assert ["fused=True is dropped"] == [n.message.split(":")[0] for n in report.notes]


def test_an_optimizer_that_a_rule_makes_drops_them_too() -> None:
    step = """
    self.inner = torch.optim.Adam([p], lr=0.01, fused=True)
    self.inner.param_groups[0]["capturable"] = True
    self.inner.defaults["differentiable"] = True
    self.inner.step()
    """
    optimizer = load(rule(step))([one_parameter()])

    optimizer.step()

    assert [] == flags_of(optimizer.inner)  # type: ignore[attr-defined]


SHORT = {
    "Adam": "exp_avg exp_avg_sq",
    "AdamW": "exp_avg",
    "SGD": "momentum_buffer",
    "Adagrad": "sum",
    "RMSprop": "square_avg",
    "Adadelta": "acc_delta",
    "Adamax": "exp_inf",
    "Rprop": "prev",
    "ASGD": "ax",
    "Muon": "momentum_buffer",
}


@pytest.mark.parametrize("make", ["torch.zeros(1)", "torch.zeros(3, 2).long()", "0.5"])
@pytest.mark.parametrize(
    ("base", "name"), [(b, n) for b, names in SHORT.items() for n in names.split()]
)
def test_a_state_of_another_make_ends_the_step(base: str, name: str, make: str) -> None:
    spoil = f"self.state[self.param_groups[0]['params'][0]]['{name}'] = {make}"
    late = f"self.n = getattr(self, 'n', 0) + 1\n        if self.n > 1: {spoil}"
    source = child("super().step(closure)", base, before=late)
    optimizer = load(source)([one_parameter()])
    optimizer.step()

    with pytest.raises(ValueError, match=name):
        optimizer.step()


ASTRAY = {
    "interleave": "torch.repeat_interleave(torch.ones(99), 9, output_size=1)",
    "interleave_by_counts": (
        "torch.repeat_interleave(torch.full((99,), 99), output_size=1)"
    ),
    "interleave_method": (
        "torch.ones(99).repeat_interleave(torch.full((99,), 99), output_size=1)"
    ),
    "pivots_beyond": (
        "torch.linalg.lu_solve(torch.eye(3), torch.full((3,), 2 ** 20,"
        " dtype=torch.int32), torch.ones(3, 3))"
    ),
    "pivots_before": (
        "torch.linalg.lu_solve(torch.eye(3), torch.full((3,), -9,"
        " dtype=torch.int32), torch.ones(3, 3))"
    ),
    "median_of_one_place": "torch.ones(1, 3).short().expand(2, 3).median(dim=0)",
    "nanmedian_of_one_place": "torch.nanmedian(torch.ones(3).expand(9, 3), 0)",
    "smallest_power": "torch.linalg.matrix_power(torch.eye(3), -(2 ** 63))",
    "eigenvalues_of_nan": "torch.linalg.eigvals(torch.full((33, 33), float('nan')))",
    "booleans_of_bytes": "torch.full((9,), 255).byte().view(torch.bool)",
    "booleans_by_name": "torch.full((9,), 255).byte().view(dtype=torch.bool)",
}


@pytest.mark.parametrize("name", ASTRAY)
def test_an_argument_that_leads_astray_is_refused(name: str) -> None:
    def play() -> None:
        load(rule(ASTRAY[name]))([one_parameter()]).step()

    end = outcome(play)

    assert end.startswith(("TypeError", "ValueError")), end
