"""What no step of a rule comes to is left out, where it would be refused."""

import textwrap

import pytest
import torch

from dux_sandbox.loading import load
from dux_sandbox.static_check import check
from tests.rule_sources import one_parameter, rule

FILE = """\
import torch
{top}

class Rule(torch.optim.Optimizer):
    def __init__(self, params, lr=0.1, fused=False, path=None, *, level=2):
        super().__init__(params, dict(lr=lr))
        self.fused = fused
{init}

    def step(self, closure=None):
        for group in self.param_groups:
            for p in group["params"]:
                p.data.add_(p.grad, alpha=-group["lr"])
{step}
{methods}
"""


def file(top="", init="", step="", methods=""):
    """A rule with texts put in at four places."""
    return FILE.format(
        top=textwrap.dedent(top),
        init=textwrap.indent(init, " " * 8),
        step=textwrap.indent(step, " " * 8),
        methods=textwrap.indent(methods, " " * 4),
    )


LEFT_OUT = {
    "an option of the constructor": file(init="if fused:\n    import triton"),
    "an option kept on self": file(step="if self.fused:\n    p.register_hook(print)"),
    "an option of the step": file(
        step="if told is not None:\n    p.register_hook(told)"
    ).replace("closure=None", "closure=None, told=None"),
    "the other branch": file(
        step="if not self.fused:\n    x = 1\nelse:\n    open('x')"
    ),
    "one that is none": file(init="if path is not None:\n    open(path)"),
    "a keyword": file(init="if level != 2:\n    exit()"),
    "a second condition": file(step="if p.ndim > 1 and self.fused:\n    p.numpy()"),
    "no GPU is there": file(step="if torch.cuda.is_available():\n    p.pin_memory()"),
    "an import that failed": file(
        top="try:\n    import triton\n    HAS = True\nexcept ImportError:\n"
        "    HAS = False\n",
        step="if HAS:\n    triton.jit(p)",
    ),
    "a later one": file(
        step="if p.ndim > 9:\n    x = 1\nelif self.fused:\n    p.numpy()"
    ),
    "a method": file(methods="def dump(self):\n    open('x')"),
    "a static method": file(
        methods="@staticmethod\ndef update(loader, model):\n    model.train()"
    ),
    "a method that torch has too": file(
        methods="def zero_grad(self):\n    for p in self.param_groups[0]['params']:\n"
        "        p.grad = None"
    ),
    "methods that call each other": file(
        methods="def f(self):\n    self.g()\n\ndef g(self):\n    open('x')"
    ),
    "an import for a method": file(
        top="import numpy as np", methods="def dump(self):\n    return np.mean(1)"
    ),
    "a function for a method": file(
        top="import numpy as np\ndef mean(x):\n    return np.mean(x)",
        methods="def dump(self):\n    return mean(1)",
    ),
    "a name of torch that nobody uses": file(top="from torch import FloatTensor, nn"),
    "a class for a branch": file(
        top="class Kernel(dict):\n    pass", step="if self.fused:\n    Kernel()"
    ),
}


@pytest.mark.parametrize("source", LEFT_OUT.values(), ids=LEFT_OUT)
def test_what_no_step_comes_to_is_left_out_with_a_note(source):
    parameter = one_parameter()

    report = check(source)
    load(source)([parameter]).step()

    assert () == report.findings
    assert {"left out"} == {note.rule for note in report.notes}
    assert torch.equal(torch.full((3, 2), 0.9), parameter.detach())


REFUSED = {
    "an option that is on": file(init="if level:\n    open('x')"),
    "a branch that is taken": file(step="if not self.fused:\n    open('x')"),
    "the test itself": file(step="if open('x') and self.fused:\n    x = 1"),
    "an option of a group": file(step="if group['fused']:\n    open('x')"),
    "an option that is written again": file(
        init="self.fused = lr > 0", step="if self.fused:\n    open('x')"
    ),
    "one that a method writes": file(
        step="if self.fused:\n    open('x')", methods="def f(self):\n    self.fused = 1"
    ),
    "one that is written by name": file(
        init="setattr(self, 'fused', 1)", step="if self.fused:\n    open('x')"
    ),
    "one that is written by a computed name": file(
        init="setattr(self, 'fu' + 'sed', 1)", step="if self.fused:\n    open('x')"
    ),
    "an argument that is bound again": file(init="fused = 1\nif fused:\n    open('x')"),
    "of another function": file(
        methods="def f(self, fused):\n    if fused:\n        open('x')\n",
        step="self.f(True)",
    ),
    "a constant that is bound twice": file(
        top="HAS = False\nHAS = 1", step="if HAS:\n    open('x')"
    ),
    "either": file(step="if self.fused or p.ndim:\n    open('x')"),
    "a method that is called": file(
        methods="def f(self):\n    open('x')", step="self.f()"
    ),
    "a method that is asked for": file(
        methods="def f(self):\n    open('x')", step="getattr(self, 'f')()"
    ),
    "a method of a computed name": file(
        methods="def f(self):\n    open('x')", step="getattr(self, 'F'.lower())()"
    ),
    "a method that torch calls": file(
        methods="def add_param_group(self, group):\n    open('x')"
    ),
    "a method that the trainer calls": file(methods="def train(self):\n    open('x')"),
    "a method that Python calls": file(methods="def __call__(self):\n    open('x')"),
    "a default, which is computed early": file(
        methods="def f(self):\n    pass",
        top="def g(x=open('x')):\n    pass",
        step="g()",
    ),
    "an import that nobody uses": file(top="import os"),
    "a name of torch that is used": file(
        top="from torch import save", step="save(p, 'x')"
    ),
    "an import that is used too": file(
        top="import os", methods="def f(self):\n    os.getcwd()", step="os.getcwd()"
    ),
    "a statement at the top": file(top="if 1:\n    open('x')"),
}


@pytest.mark.parametrize("source", REFUSED.values(), ids=REFUSED)
def test_what_a_step_may_come_to_is_judged(source):
    assert not check(source).ok


def test_a_branch_that_is_taken_all_the_same_is_refused_when_it_runs():
    source = file(step="if self.fused:\n    open('x').write('y')")
    optimizer = load(source)([one_parameter()], fused=True)

    with pytest.raises(NotImplementedError, match="not available in a rule"):
        optimizer.step()


def test_a_method_that_is_left_out_is_not_there():
    optimizer = load(file(methods="def dump(self):\n    open('x')"))([one_parameter()])

    assert not hasattr(optimizer, "dump")


def test_findings_are_about_what_a_step_comes_to():
    source = file(step="open('y')", methods="def dump(self):\n    open('x')")

    findings = check(source).findings

    assert ["the name open is not available"] == [f.message for f in findings]


def test_nothing_is_left_out_of_a_source_that_is_accepted_whole():
    source = rule("if self.t:\n    p.mul_(2)", methods="def f(self):\n    return 1")

    assert () == check(source).notes
    assert hasattr(load(source)([one_parameter()]), "f")
