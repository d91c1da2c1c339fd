"""Optimizers that call the functions behind torch's own, of before and of now."""

import pytest
import torch

from dux_sandbox.executions import EXECUTIONS
from dux_sandbox.limits import Limits
from dux_sandbox.loading import load
from dux_sandbox.static_check import check
from tests.executions import both

_RULE = """
import torch
from torch.optim import {home}

class Rule(torch.optim.Optimizer):
    def __init__(self, params):
        super().__init__(params, dict(lr={lr}))

    @torch.no_grad()
    def step(self, closure=None):
        for group in self.param_groups:
            params = [p for p in group["params"] if p.grad is not None]
            grads = [p.grad for p in params]
            kept = {{key: [] for key in {kept!r}}}
            counts = []
            for p in params:
                state = self.state[p]
                if not state:
                    state["step"] = {zero}
                    for key in kept:
                        state[key] = torch.zeros_like(p)
                {count}
                counts.append(state["step"])
                for key in kept:
                    kept[key].append(state[key])
            {call}(params, grads, *kept.values(), {counts}lr=group["lr"], {options})
"""
_AVERAGES = ["exp_avg", "exp_avg_sq"]
_SQUARES = ["square_avg", "grad_avg", "momentum_buffer"]
FUNCTIONS = {
    "adam": (
        [*_AVERAGES, "max_exp_avg_sq"],
        "amsgrad={0}, beta1=0.9, beta2=0.99, weight_decay=0.1, eps=1e-8",
        lambda p, on: torch.optim.Adam(
            p, 0.1, (0.9, 0.99), weight_decay=0.1, amsgrad=on
        ),
    ),
    "adamw": (
        [*_AVERAGES, "max_exp_avg_sq"],
        "amsgrad={0}, beta1=0.9, beta2=0.99, weight_decay=0.1, eps=1e-8",
        lambda p, on: torch.optim.AdamW(
            p, 0.1, (0.9, 0.99), weight_decay=0.1, amsgrad=on
        ),
    ),
    "rmsprop": (
        _SQUARES,
        "alpha=0.9, eps=1e-8, weight_decay=0.1, momentum=0.5, centered={0}",
        lambda p, on: torch.optim.RMSprop(
            p, 0.1, 0.9, weight_decay=0.1, momentum=0.5, centered=on
        ),
    ),
    "adagrad": (
        ["sum"],
        "weight_decay=0.1, lr_decay=0.1 * {0}, eps=1e-10",
        lambda p, on: torch.optim.Adagrad(p, 0.1, lr_decay=0.1 * on, weight_decay=0.1),
    ),
    "adadelta": (
        ["square_avg", "acc_delta"],
        "rho=0.9, eps=1e-6, weight_decay=0.1, maximize={0}",
        lambda p, on: torch.optim.Adadelta(p, 0.1, weight_decay=0.1, maximize=on),
    ),
    "adamax": (
        ["exp_avg", "exp_inf"],
        "eps=1e-8, beta1=0.9, beta2=0.999, weight_decay=0.1, maximize={0}",
        lambda p, on: torch.optim.Adamax(p, 0.1, weight_decay=0.1, maximize=on),
    ),
    "radam": (
        _AVERAGES,
        "beta1=0.9, beta2=0.9, weight_decay=0.1, eps=1e-8, maximize={0}",
        lambda p, on: torch.optim.RAdam(
            p, 0.1, (0.9, 0.9), weight_decay=0.1, maximize=on
        ),
    ),
}
_COUNTED = frozenset("adam adamw adagrad adamax radam".split())
HOMES = {
    "all in one": ("_functional as F", "F.{0}"),
    "from one": ("_functional", "_functional.{0}"),
    "by another name": ("_functional as functional", "functional.{0}"),
}


def source_of(name, *, on=False, home="all in one", tensors=False):
    kept, options, _ = FUNCTIONS[name]
    imported, call = HOMES[home]
    return _RULE.format(
        home=imported,
        call=call.format(name),
        lr=0.1,
        kept=kept,
        zero="torch.tensor(0.0)" if tensors else "0",
        count="pass" if tensors else 'state["step"] += 1',
        counts="counts, " if name in _COUNTED else "",
        options=options.format(on),
    )


def steps(optimizer, weights):
    """Ten steps on gradients of their own; the weights after them."""
    draw = torch.Generator().manual_seed(1)
    for _ in range(10):
        for each in weights:
            each.grad = torch.randn(each.shape, generator=draw)
        optimizer.step()
    return [each.detach().clone() for each in weights]


def weights():
    draw = torch.Generator().manual_seed(0)
    shapes = [(3, 4), (4,), ()]
    return [torch.nn.Parameter(torch.randn(s, generator=draw)) for s in shapes]


@pytest.mark.parametrize("tensors", [False, True])
@pytest.mark.parametrize("on", [False, True])
@pytest.mark.parametrize("name", list(FUNCTIONS))
def test_a_function_of_torch_steps_as_its_optimizer_does(name, on, tensors):
    held, twins = weights(), weights()
    source = source_of(name, on=on, tensors=tensors)

    found = steps(load(source)(held), held)

    expected = steps(FUNCTIONS[name][2](twins, on), twins)
    for one, other in zip(found, expected, strict=True):
        # Sums in another order: a few units in the last place over ten steps.
        assert torch.allclose(one, other, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("home", list(HOMES))
def test_it_is_found_wherever_it_is_named(home):
    assert check(source_of("adam", home=home)).ok


@both
@pytest.mark.parametrize("name", ["adam", "rmsprop"])
def test_it_runs_in_either_place(name, execution):
    held, twins = weights(), weights()
    groups = [{"params": held}]
    built = EXECUTIONS[execution].build(
        source_of(name), groups, limits=Limits(), seed=0
    )
    groups[0].update(built.options[0])
    built.bind(groups)
    found = steps(built, held)
    built.close()

    assert all(map(torch.equal, steps(load(source_of(name))(twins), twins), found))


_SGD = """
import torch
from torch.optim import _functional as F

class Rule(torch.optim.Optimizer):
    def __init__(self, params):
        super().__init__(params, dict(lr=0.1))

    @torch.no_grad()
    def step(self, closure=None):
        for group in self.param_groups:
            params = group["params"]
            buffers = [self.state[p].get("buffer") for p in params]
            F.sgd(params, [p.grad for p in params], buffers, {options})
            for p, buffer in zip(params, buffers):
                self.state[p]["buffer"] = buffer
"""
BY_PLACE = "0.1, 0.9, group['lr'], 0.0, True"
BY_NAME = (
    "weight_decay=0.1, momentum=0.9, lr=group['lr'], dampening=0.0, nesterov=True,"
    " has_sparse_grad=False, foreach=None"
)


@pytest.mark.parametrize("options", [BY_PLACE, BY_NAME])
def test_sgd_fills_the_buffers_that_it_is_given(options):
    held, twins = weights(), weights()

    found = steps(load(_SGD.format(options=options))(held), held)

    twin = torch.optim.SGD(twins, 0.1, 0.9, weight_decay=0.1, nesterov=True)
    for one, other in zip(found, steps(twin, twins), strict=True):
        assert torch.allclose(one, other, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    "line",
    [
        "from torch.optim import _functional as F\nF.math.sqrt(2)",
        "from torch.optim import _functional as F\nF.__dict__",
        "from torch.optim import _functional as F\nF.Tensor",
        "from torch.optim import _functional\nx = _functional",
        "from torch.optim._functional import __builtins__",
        "from torch.optim._multi_tensor import Adam",
        "import torch.optim._functional as F\nF.torch.load('x')",
        "from torch.optim.sgd import _fused_sgd",
    ],
)
def test_what_else_such_a_module_holds_is_refused(line):
    source = source_of("adam").replace("import torch\n", f"import torch\n{line}\n", 1)

    assert not check(source).ok
