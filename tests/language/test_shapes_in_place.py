"""What changes the shape of a function's own variable is a view by its name."""

import pytest
import torch

from dux_sandbox.loading import load
from dux_sandbox.static_check import check
from tests.rule_sources import one_parameter, rule, unguarded

REWRITTEN = {
    "a statement": "x = p.grad * 2\nx.unsqueeze_(0)\np.sub_(x[0])",
    "an expression": "x = p.grad + p\ny = x.transpose_(0, 1).contiguous()\n"
    "assert x.shape == (2, 3)\np.sub_(y.t())",
    "bound to itself": "g = p.grad.data\ng = g.t_().contiguous()\np.sub_(g.t())",
    "in a loop": "x = p.grad.clone()\nfor _ in range(2):\n    x.t_()\np.sub_(x)",
    "changed in place before": "x = p.grad * 2\nx += 1\nx.sqrt_()\nx.unsqueeze_(-1)\n"
    "p.sub_(x.squeeze_(-1))",
    "of several names": "x = y = p.grad * 2\ny.t_()\np.sub_(y.t())",
}


def moved(kind):
    parameter = one_parameter()
    kind([parameter]).step()
    return parameter.detach()


@pytest.mark.parametrize("name", REWRITTEN)
def test_it_takes_the_steps_that_torch_takes(name):
    source = rule(REWRITTEN[name])

    report = check(source)

    assert () == report.findings
    assert {"written"} == {note.rule for note in report.notes}
    assert torch.equal(moved(unguarded(source)), moved(load(source)))


REFUSED = {
    "a parameter": "p.t_()",
    "a gradient": "g = p.grad\ng.t_()",
    "a state": "m = self.state[p]\nm.t_()",
    "an item": "self.state[p]['m'].t_()",
    "a loop's variable": "for x in self.param_groups[0]['params']:\n    x.t_()",
    "an argument": "def f(x):\n    x.t_()\nf(p)",
    "an argument with a value as well": "def f(x):\n    x = x + 0\n    x.t_()\nf(p)",
    "either": "x = p * 2\nif self.t:\n    x = p\nx.t_()",
    "one of two": "x = p if self.t else p * 2\nx.t_()",
    "by a pattern": "x, y = p, p * 2\nx.t_()",
    "by a walrus": "y = (x := p)\nx.t_()",
    "of the function around": "x = p * 2\ndef f():\n    x.t_()\nf()",
    "in a comprehension": "x = p * 2\n[x.t_() for _ in range(2)]",
    "in a lambda": "x = p * 2\n(lambda: x.t_())()",
    "resized": "x = p * 2\nx.resize_(3)",
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_somebody_else_may_hold_is_refused(name):
    [finding] = check(rule(REFUSED[name])).findings

    assert finding.message.endswith("_ is not available")


def test_a_rule_wakes_no_gpu_up():
    if torch.cuda.is_initialized():
        pytest.skip("somebody has woken it up")

    parameter = one_parameter()
    load(rule("p.sub_(p.grad.cuda())"))([parameter]).step()

    assert torch.equal(torch.zeros(3, 2), parameter.detach())
    assert not torch.cuda.is_initialized()
