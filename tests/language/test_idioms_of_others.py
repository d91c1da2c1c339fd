"""Option objects, values hung on parameters, loaders that name another class."""

import pytest
import torch

from dux_sandbox.loading import load
from dux_sandbox.static_check import check
from tests.executions import both
from tests.language.test_given_groups import rule, stepped

OPTIONS = {
    "one level": ("cfg.lr * 500", ""),
    "two levels": ("cfg.OPTIMIZER.LR * 500", ""),
    "kept on self": ("self.cfg.train.learning_rate * 500", "self.cfg = cfg\n"),
    "a flag beside it": ("0.1 if cfg.verbose else 0.5", ""),
    "a mode": ("0.5 if cfg.mode == 'fast' else 0.1", ""),
}


@both
@pytest.mark.parametrize("name", list(OPTIONS))
def test_what_is_asked_of_an_object_for_options_is_a_usual_value(name, execution):
    rate, kept = OPTIONS[name]
    source = rule(f"params, cfg\n{kept}super().__init__(params, dict(lr={rate}))")

    report = check(source)

    assert report.ok, report.findings
    assert ["options"] == [note.rule for note in report.notes]
    assert [[-0.5]] == stepped(source, execution, [[(2, 2)]])


NO_OPTIONS = {
    "a model": "params = [each.weight for each in model.modules()]",
    "what it computes with": "self.x = model.weight @ model.weight",
    "handed on": "self.x = [model]\nself.y = model.lr",
    "written": "model.lr = 1.0\nself.y = model.lr",
    "a dunder": "self.x = model.__class__",
    "bound anew": "model = model.lr\nself.x = model",
}


@pytest.mark.parametrize("name", list(NO_OPTIONS))
def test_an_object_that_is_asked_for_more_is_refused(name):
    init = f"params, model\n{NO_OPTIONS[name]}\nsuper().__init__(params, dict(lr=0.5))"

    assert not check(rule(init)).ok


_MARKED = """
import torch

class Rule(torch.optim.Optimizer):
    def __init__(self, params, lr=0.5):
        super().__init__(params, dict(lr=lr))
        for p in self.own_params():
            p.heavy = 0.0

    def own_params(self):
        return [p for group in self.param_groups for p in group["params"]]

    @torch.no_grad()
    def step(self, closure=None):
        for p in self.own_params():
            p.heavy *= 0.9
            p.heavy += p.grad
        for group in self.param_groups:
            for p in group["params"]:
                p.sub_(p.heavy, alpha=group["lr"])
"""


@both
def test_what_a_rule_hangs_on_parameters_it_keeps_itself(execution):
    report = check(_MARKED)

    assert ["kept"] == [note.rule for note in report.notes]
    assert [[-0.5], [-0.5]] == stepped(_MARKED, execution, [[(2, 2)], [(3,)]])


def test_nothing_is_hung_on_the_parameter_itself():
    weight = torch.nn.Parameter(torch.zeros(2))
    weight.grad = torch.ones(2)

    load(_MARKED)([weight]).step()

    assert {} == vars(weight)


HUNG = {
    "a hook": "p.register_hook = 1\n",
    "its class": "p.__class__ = int\n",
    "its data": "p.data = 1\n",
    "a constant gradient": "p.grad = 0\n",
}


@pytest.mark.parametrize("name", list(HUNG))
def test_what_a_tensor_has_of_its_own_is_still_not_written(name):
    source = _MARKED.replace("p.heavy *= 0.9", HUNG[name].strip())
    weight = torch.nn.Parameter(torch.zeros(2))
    weight.grad = torch.ones(2)
    if check(source).ok:
        rule_ = load(source)([weight])
        with pytest.raises((AttributeError, TypeError, KeyError)):
            rule_.step()
            rule_.step()
            raise KeyError  # a name of the rule's own dict: nothing is on the tensor

    assert {} == vars(weight)
    assert torch.nn.Parameter is type(weight)


@both
def test_a_loader_that_names_another_class_is_left_out(execution):
    init = "params, lr=0.5\nsuper().__init__(params, dict(lr=lr))"
    source = rule(init).replace(
        "    @torch.no_grad()",
        "    def __setstate__(self, state):\n"
        "        super(Other, self).__setstate__(state)\n\n    @torch.no_grad()",
    )

    report = check(source)

    assert ["left out"] == [note.rule for note in report.notes]
    assert [[-0.5]] == stepped(source, execution, [[(2, 2)]])


def test_a_loader_that_is_fine_stays():
    init = "params, lr=0.5\nsuper().__init__(params, dict(lr=lr))"
    source = rule(init).replace(
        "    @torch.no_grad()",
        "    def __setstate__(self, state):\n"
        "        super().__setstate__(state)\n"
        "        for group in self.param_groups:\n"
        "            group.setdefault('nesterov', False)\n\n    @torch.no_grad()",
    )
    made = load(source)([torch.nn.Parameter(torch.zeros(2))])

    made.load_state_dict(made.state_dict())

    assert made.param_groups[0]["nesterov"] is False


def test_a_text_of_a_dunder_is_asked_for_as_a_function_is():
    lines = (
        "assert hasattr(len, '__call__') and not hasattr(p, '__call__')\n"
        + " " * 20
        + 'p.sub_(p.grad, alpha=group["lr"])'
    )
    source = rule("params, lr=0.5\nsuper().__init__(params, dict(lr=lr))", each=lines)

    assert [[-0.5]] == stepped(source, "inline", [[(2, 2)]])


_MODULES = """
import torch
from torch import nn

class _Required:
    pass

required = _Required()

class Half(nn.Module):
    def __init__(self, by=0.5):
        super().__init__()
        self.by = by

    @torch.no_grad()
    def forward(self, x):
        return x * self.by

class Rule(torch.optim.Optimizer):
    def __init__(self, params, lr=required):
        super().__init__(params, dict(lr=lr))
        self.half = Half()

    @torch.no_grad()
    def step(self, closure=None):
        for group in self.param_groups:
            for p in group["params"]:
                p.sub_(self.half(p.grad), alpha=group["lr"] * 1000)
"""


@both
def test_a_module_that_only_computes_is_a_plain_class(execution):
    report = check(_MODULES)

    assert report.ok, report.findings
    assert [[-0.5]] == stepped(_MODULES, execution, [[(2, 2)]])


USED = {
    "a module with weights": ("self.by = by", "self.by = nn.Linear(1, 1)"),
    "parameters of a module": ("self.half(p.grad)", "self.half.parameters()"),
    "hooks of a module": ("self.half(p.grad)", "self.half.register_forward_hook"),
    "a module without a forward": ("def forward", "def backward"),
    "a module of torch": ("nn.Module", "nn.Linear"),
    "the dict of a module": ("self.half(p.grad)", "self.half.__dict__"),
}


@pytest.mark.parametrize("name", list(USED))
def test_what_a_module_can_do_beyond_computing_is_refused(name):
    assert not check(_MODULES.replace(*USED[name])).ok
