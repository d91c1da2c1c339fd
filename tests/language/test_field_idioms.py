"""Idioms of optimizers in the field that once kept a whole file from being judged."""

import pytest
import torch

from dux_sandbox.loading import load
from dux_sandbox.static_check import check
from tests import models
from tests.executions import both
from tests.rule_sources import one_parameter, rule
from tests.talking import agent_over, run

WHOLE = {
    "a flag of a weight, if it is there": rule(
        "if hasattr(p, 'no_muon') and p.no_muon:\n    p.zero_()\n"
        "p.add_(p.grad, alpha=-0.1)"
    ),
    "a flag of a weight, or a default": rule(
        "p.add_(p.grad, alpha=getattr(p, 'rate_of_its_own', -0.1))"
    ),
    "what a device is asked": rule(
        "torch.cuda.empty_cache()\ntorch.cuda.synchronize(p.device)\n"
        "if not torch.cuda.is_bf16_supported():\n    p.add_(p.grad, alpha=-0.1)"
    ),
    "no gradients in a block": rule(
        "with torch.set_grad_enabled(False):\n"
        "    assert not torch.is_grad_enabled()\n    p.add_(p.grad, alpha=-0.1)"
    ),
    "gradients in a block": rule(
        "with torch.set_grad_enabled(mode=True):\n"
        "    assert torch.is_grad_enabled()\n"
        "assert not torch.is_grad_enabled()\np.add_(p.grad, alpha=-0.1)"
    ),
    "no gradients in a function": rule(
        "p.add_(f(p.grad))",
        top="@torch.set_grad_enabled(False)\ndef f(x):\n"
        "    assert not torch.is_grad_enabled()\n    return x * -0.1",
    ),
    "dropout of nothing": rule(
        "p.add_(F.dropout(p.grad, p=0.0), alpha=-0.1)\n"
        "F.dropout(p, 1.0, training=False, inplace=True)"
    ),
}


@pytest.mark.parametrize("name", WHOLE)
def test_an_idiom_of_the_field_is_accepted_and_does_what_it_says(name):
    parameter = one_parameter()

    load(WHOLE[name])([parameter]).step()

    assert torch.allclose(torch.full((3, 2), 0.9), parameter.detach())


@both
def test_a_wrapper_with_types_steps_a_live_training(execution):
    model = models.make("mlp")
    with agent_over(model, HANDED, execution=execution) as agent:
        run(agent, 2)
        assert "applied" == agent.decide().verdict
        before = [p.detach().clone() for p in model.parameters()]
        run(agent, 2)

    assert not any(map(torch.equal, before, model.parameters()))


REFUSED = {
    "a mode from here on": "torch.set_grad_enabled(False)",
    "a mode that is computed": "with torch.set_grad_enabled(self.t > 0):\n    pass",
    "a mode that is kept": "mode = torch.set_grad_enabled(False)",
    "two modes": "with torch.set_grad_enabled(False, mode=True):\n    pass",
    "an attribute of torch's, asked for": "hasattr(p, 'set_')\np.set_(p)",
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_only_looks_like_an_idiom_of_the_field_goes_nowhere(name):
    source = rule(REFUSED[name])
    report = check(source)

    if report.ok:  # by exact type, while it runs
        with pytest.raises((AttributeError, TypeError)):
            load(source)([one_parameter()]).step()


HANDED = """
import torch
from collections import OrderedDict, defaultdict
from typing import Callable, Dict
from torch.optim.optimizer import Optimizer

class Lookahead(Optimizer):
    def __init__(self, base_optimizer, k=2):
        self._optimizer_step_pre_hooks: Dict[int, Callable] = OrderedDict()
        self._optimizer_step_post_hooks: Dict[int, Callable] = OrderedDict()
        self._base_optimizer = base_optimizer
        self.param_groups = base_optimizer.param_groups
        self.defaults = base_optimizer.defaults
        self.state: Dict = defaultdict(dict)
        self.k = k

    @torch.no_grad()
    def step(self, closure=None):
        return self._base_optimizer.step(closure)
"""


def test_a_wrapper_may_say_the_types_of_what_torch_has_made():
    assert check(HANDED).ok

    parameter = one_parameter()
    load(HANDED)([parameter]).step()

    assert not torch.equal(torch.ones(3, 2), parameter.detach())


NAMED_FIRST = """
import torch

class Around(torch.optim.Optimizer):
    def __init__(self, base_optimizer, rho=0.05):
        self.base_optimizer = base_optimizer
        self.param_groups = self.base_optimizer.param_groups
        self.defaults = self.base_optimizer.defaults
        self.rho = rho
        super().__init__(self.param_groups, self.defaults)

    @torch.no_grad()
    def step(self, closure=None):
        assert self.param_groups[0] is self.base_optimizer.param_groups[0]
        self.base_optimizer.step()
"""


def test_a_wrapper_may_name_its_groups_before_torch_makes_them():
    space = {}
    exec(NAMED_FIRST, space)
    parameter, other = one_parameter(), one_parameter()

    load(NAMED_FIRST)([parameter]).step()
    space["Around"](torch.optim.SGD([other])).step()

    assert torch.equal(other, parameter)


def test_what_is_named_first_is_not_written_again_and_again():
    more = "        self.defaults = [self.defaults, self.defaults]\n" * 40
    source = NAMED_FIRST.replace("        self.rho", more + "        self.rho")

    report = check(source)

    assert len(report.findings) < 100
