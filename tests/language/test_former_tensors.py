"""Constructors by type of old code, what says that a copy is not trained, old names."""

import pytest
import torch

from dux_sandbox.loading import load
from dux_sandbox.static_check import check
from tests.rule_sources import one_parameter, rule

SAME = {
    "of a list": "zero = torch.FloatTensor([0.0])\n"
    "p.sub_(torch.max(p.grad, zero) * 0.1)",
    "of a GPU": "zero = torch.cuda.FloatTensor([0.0])\n"
    "p.sub_(torch.max(p.grad, zero) * 0.1)",
    "of sizes": "x = torch.DoubleTensor(3, 2)\nassert x.dtype == torch.float64\n"
    "p.sub_(p.grad * 0.1 + x.float())",
    "of a shape": "p.sub_(p.grad * 0.1 + torch.FloatTensor(*p.shape))",
    "of nothing": "assert torch.LongTensor().numel() == 0\np.sub_(p.grad * 0.1)",
    "whole numbers": "i = torch.LongTensor([2 ** 40])\nassert i.item() == 2 ** 40\n"
    "p.sub_(p.grad * 0.1)",
    "another type": "x = p.grad.type(torch.DoubleTensor)\n"
    "p.sub_(x.type(torch.cuda.FloatTensor) * 0.1)",
    "a copy": "x = p.grad.clone()\nx.requires_grad = False\np.sub_(x * 0.1)",
    "a copy at once": "x = p.grad.detach().clone().requires_grad_(False)\n"
    "x.requires_grad_(requires_grad=False)\np.sub_(x * 0.1)",
    "the old name": "norm = 0.1 * 6 ** 0.5\n"
    "torch.nn.utils.clip_grad_norm([p], norm)\np.sub_(p.grad)",
}


@pytest.mark.parametrize("name", list(SAME))
def test_an_old_form_does_what_it_did(name):
    parameter = one_parameter()

    load(rule(SAME[name]))([parameter]).step()

    assert torch.allclose(torch.full((3, 2), 0.9), parameter.detach())


REFUSED = {
    "a parameter": "p.requires_grad_(False)",
    "a parameter by another name": "q = p\nq.requires_grad = False",
    "a copy, or a parameter": "q = p.clone()\nif self.t:\n    q = p\n"
    "q.requires_grad = False",
    "one of several": "q = r = p.clone()\nfor r in [p]:\n    r.requires_grad = False",
    "a parameter that a loop binds": "q = p.clone()\nfor q in [p]:\n"
    "    q.requires_grad_(False)",
    "the class itself": "x = torch.FloatTensor\nx([1.0])",
    "values of another tensor": "torch.FloatTensor(p.untyped_storage())",
}


@pytest.mark.parametrize("name", list(REFUSED))
def test_what_looks_alike_is_refused(name):
    assert not check(rule(REFUSED[name])).ok
