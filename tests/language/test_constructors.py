"""Constructors that want more than parameters, or parameters in another form."""

import pytest
import torch

from dux_sandbox.loading import load
from dux_sandbox.static_check import check
from tests.rule_sources import one_parameter


def stepped(build, steps=4):
    """A matrix and a vector after some steps on gradients that change."""
    weights = [torch.nn.Parameter(torch.ones(2, 2)), torch.nn.Parameter(torch.ones(3))]
    optimizer = build(weights)
    for step in range(steps):
        for weight in weights:
            weight.grad = torch.full_like(weight, float(step + 1))
        optimizer.step()
    return [weight.detach() for weight in weights]


def plain(source):
    space = {}
    exec(source, space)
    return space["Rule"]


WRAPPER = """
import torch
from collections import defaultdict
class Rule(torch.optim.Optimizer):
    def __init__(self, optimizer, k=2):
        self.optimizer = optimizer
        self.k, self.t = k, 0
        {state}
        for group in self.optimizer.param_groups:
            for p in group["params"]:
                self.state[p]["slow"] = p.detach().clone()
    {methods}
    def step(self, closure=None):
        loss = self.optimizer.step(closure)
        self.t += 1
        for group in self.param_groups:
            for p in group["params"]:
                if self.t % self.k == 0:
                    slow = self.state[p]["slow"]
                    slow.add_(p.data - slow, alpha=0.5)
                    p.data.copy_(slow)
        return loss
"""
HANDED = {
    "groups as a property": (
        "self.state = defaultdict(dict)",
        "@property\n    def param_groups(self):\n"
        "        return self.optimizer.param_groups\n",
    ),
    "and a setter": (
        "self.state = defaultdict(dict)",
        "@property\n    def param_groups(self):\n"
        "        return self.optimizer.param_groups\n"
        "    @param_groups.setter\n    def param_groups(self, groups):\n"
        "        self.optimizer.param_groups = groups\n",
    ),
    "defaults as a property too": (
        "self.state = defaultdict(dict)\n"
        "        self.param_groups = optimizer.param_groups",
        "@property\n    def defaults(self):\n        return self.optimizer.defaults\n",
    ),
    "groups that are added": (
        "self.param_groups = optimizer.param_groups\n"
        "        self.state = defaultdict(dict)",
        "def add_param_group(self, group):\n"
        "        self.optimizer.add_param_group(group)\n",
    ),
}


@pytest.mark.parametrize("name", HANDED)
def test_a_wrapper_hands_on_the_groups_of_what_it_wraps(name):
    state, methods = HANDED[name]
    source = WRAPPER.format(state=state, methods=methods)
    kind = plain(source)

    report, held = check(source), stepped(load(source))

    assert ["default"] == [note.rule for note in report.notes]
    expected = stepped(lambda params: kind(torch.optim.SGD(params)))
    assert all(map(torch.equal, expected, held))


def test_a_wrapper_that_another_class_hands_an_optimizer_wraps_that_one():
    state, _ = HANDED["defaults as a property too"]
    source = WRAPPER.format(state=state, methods="").replace("Rule", "Slow") + (
        "class Rule(torch.optim.SGD):\n"
        "    def __init__(self, params):\n"
        "        super().__init__(params, lr=0.5)\n"
        "        self.slow = Slow(torch.optim.Adam(self.param_groups))\n"
        "    def step(self, closure=None):\n"
        "        assert isinstance(self.slow.optimizer, torch.optim.Adam)\n"
        "        return super().step(closure)\n"
    )

    assert all(map(torch.equal, stepped(plain(source)), stepped(load(source))))


SEVERAL = """
import torch
class Rule(torch.optim.Optimizer):
    def __init__(self, optimizers):
        self.optimizers = optimizers
    @property
    def param_groups(self):
        return [group for each in self.optimizers for group in each.param_groups]
    def step(self, closure=None):
        for each in self.optimizers:
            each.step()
    def state_dict(self):
        return [each.state_dict() for each in self.optimizers]
"""


def test_a_wrapper_of_several_optimizers_gets_a_list_of_one():
    kind = plain(SEVERAL)

    report, held = check(SEVERAL), stepped(load(SEVERAL))

    assert ["default"] == [note.rule for note in report.notes]
    expected = stepped(lambda params: kind([torch.optim.SGD(params)]))
    assert all(map(torch.equal, expected, held))


CAME = """
import torch
class Rule(torch.optim.Optimizer):
    def __init__(self, params, lr=None):
        {asks}
        super().__init__(params, dict(lr=lr))
    @torch.no_grad()
    def step(self, closure=None):
        for group in self.param_groups:
            for p in group["params"]:
                p.sub_(p.grad, alpha=group["lr"] or 0.5)
"""


@pytest.mark.parametrize(
    "asks",
    [
        "assert lr > 0.0",
        "if lr <= 0:\n            raise ValueError(lr)",
        "if not 0.0 <= lr:\n            raise ValueError(lr)",
        "if lr is None or lr <= 0:\n            raise ValueError(lr)",
    ],
)
def test_a_rate_of_none_that_must_be_positive_gets_a_usual_one(asks):
    source = CAME.format(asks=asks)
    kind = plain(source)

    report, held = check(source), stepped(load(source))

    assert ["write lr=0.001"] == [note.instead for note in report.notes]
    assert all(map(torch.equal, stepped(lambda p: kind(p, lr=1e-3)), held))


def test_what_torch_marks_as_required_gets_a_usual_value():
    source = (
        "import torch\nfrom torch.optim.optimizer import required\n"
        "class Rule(torch.optim.SGD):\n"
        "    def __init__(self, params, lr=required, momentum=required):\n"
        "        super().__init__(params, lr=lr, momentum=momentum)\n"
    )

    report, held = check(source), stepped(load(source))

    assert ["write lr=0.001", "write momentum=0.9"] == [n.instead for n in report.notes]
    expected = stepped(lambda p: torch.optim.SGD(p, lr=1e-3, momentum=0.9))
    assert all(map(torch.equal, expected, held))


@pytest.mark.parametrize(
    "asks",
    [
        "if lr is not None and lr <= 0: raise ValueError(lr)",
        "if lr is None:\n            lr = 0.25\n        assert lr > 0",
        "lr = lr or 0.25\n        if lr <= 0: raise ValueError(lr)",
    ],
)
def test_a_rate_of_none_that_the_class_answers_itself_stays_none(asks):
    source = CAME.format(asks=asks)

    held = stepped(load(source))

    assert () == check(source).notes
    assert all(map(torch.equal, stepped(plain(source)), held))


@pytest.mark.parametrize(
    "converts",
    ["lr = float(lr)", "if isinstance(lr, torch.Tensor):\n            lr = lr.item()"],
)
def test_a_rate_of_none_that_is_only_converted_gets_a_usual_value(converts):
    source = CAME.format(asks=f"{converts}\n        if lr <= 0: raise ValueError(lr)")

    held = stepped(load(source))

    assert ["write lr=0.001"] == [note.instead for note in check(source).notes]
    assert all(map(torch.equal, stepped(lambda p: plain(source)(p, lr=1e-3)), held))


BESIDE = """
import torch
class Rule(torch.optim.Optimizer):
    def __init__(self, params, {arguments}):
        super().__init__(params, dict(rho=rho))
        self.inner = {name}
    @torch.no_grad()
    def step(self, closure=None):
        for group in self.param_groups:
            for p in group["params"]:
                p.grad.mul_(group["rho"])
        self.inner.step()
"""


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        ("optimizer, rho=0.5", "optimizer"),
        ("optim: torch.optim.Optimizer, rho: float = 0.5", "optim"),
        ("rho=0.5, *, base_optimizer", "base_optimizer"),
    ],
)
def test_an_optimizer_that_is_wanted_beside_the_parameters_is_built(arguments, name):
    source = BESIDE.format(arguments=arguments, name=name)
    kind = plain(source)

    report, held = check(source), stepped(load(source))

    [note] = report.notes
    assert f"write {name}=torch.optim.SGD(params)" == note.instead
    made = {name: torch.optim.SGD}
    expected = stepped(lambda p: kind(p, **{k: v(p) for k, v in made.items()}))
    assert all(map(torch.equal, expected, held))


def test_a_schedule_reaches_an_optimizer_that_is_built_beside():
    source = BESIDE.format(arguments="optimizer, rho=0.5", name="optimizer")
    parameter = one_parameter()
    optimizer = load(source)([parameter])

    optimizer.param_groups[0]["lr"] = 1.0
    optimizer.step()

    assert torch.equal(torch.full((3, 2), 0.5), parameter.detach())


MUON = """
import torch
class Rule(torch.optim.Optimizer):
    def __init__(self, lr=0.1, muon_params=None, momentum=0.9, {more}):
        params = list(muon_params)
        {rest}
        super().__init__(params, dict(lr=lr, momentum=momentum))
        for p in muon_params:
            self.state[p]["matrix"] = True
    @torch.no_grad()
    def step(self, closure=None):
        for group in self.param_groups:
            for p in group["params"]:
                if "matrix" in self.state[p]:
                    p.sub_(p.grad / p.grad.norm(), alpha=group["lr"])
                else:
                    p.sub_(p.grad, alpha=group["lr"])
"""
LISTS = {
    "two": ("adamw_params=None", "params.extend(adamw_params or [])"),
    "by name": ("*, adamw_params=None", "params.extend(adamw_params or [])"),
    "one": ("nesterov=True", "pass"),
}


@pytest.mark.parametrize("name", LISTS)
def test_parameters_in_several_lists_are_split_by_their_dimensions(name):
    more, rest = LISTS[name]
    source = MUON.format(more=more, rest=rest)
    kind = plain(source)

    report, held = check(source), stepped(load(source))

    assert ["default"] == [note.rule for note in report.notes]
    if name != "one":
        expected = stepped(lambda p: kind(muon_params=p[:1], adamw_params=p[1:]))
    else:
        expected = stepped(lambda p: kind(muon_params=p))
    assert all(map(torch.equal, expected, held))


def test_groups_of_a_loop_are_split_as_well():
    source = MUON.format(more=LISTS["two"][0], rest=LISTS["two"][1])
    matrix, vector = one_parameter(2, 2), one_parameter(3)

    load(source)([{"params": [vector]}, {"params": [matrix]}]).step()

    assert torch.equal(torch.full((3,), 0.9), vector.detach())
    assert torch.equal(torch.full((2, 2), 0.95), matrix.detach())


def test_parameters_that_come_first_stay_where_they_are():
    source = MUON.format(more="more_params=None", rest="pass").replace(
        "lr=0.1, muon_params=None", "muon_params, lr=0.1"
    )

    load(source)([one_parameter()]).step()

    assert () == check(source).notes


CLOSURE = """
import torch
class Rule(torch.optim.SGD):
    def step(self, closure):
        {lines}
        super().step()
        return loss
"""


def loss_of(optimizer, parameter):
    """A closure as training loops write it: it runs the backward pass."""

    def closure():
        optimizer.zero_grad()
        loss = (parameter**2).sum()
        loss.backward()
        return loss

    return closure


@pytest.mark.parametrize(
    "lines",
    [
        "loss = closure()\n        loss.backward()",
        "with torch.enable_grad():\n            loss = closure()\n"
        "            loss.backward()",
        "loss = closure()\n        if loss is not None:\n            loss.backward()",
        "loss = closure()\n        loss.backward(create_graph=True)",
        "loss = closure()\n        loss.backward(retain_graph=True)",
    ],
)
def test_a_backward_pass_that_the_closure_has_run_is_left_out(lines):
    source = CLOSURE.format(lines=lines)
    weights = []

    for kind in (load(source), torch.optim.SGD):
        parameter = torch.nn.Parameter(torch.ones(3))
        optimizer = kind([parameter])
        for _ in range(3):
            optimizer.step(loss_of(optimizer, parameter))
        weights.append(parameter.detach())

    assert ["left out"] == [note.rule for note in check(source).notes]
    assert torch.equal(*weights)


@pytest.mark.parametrize(
    "lines",
    [
        "loss = closure()\n        loss.backward(inputs=[])",
        "loss = closure() * 2\n        loss.backward()",
        "loss = self.defaults['loss']\n        loss.backward()",
        "loss = closure()\n        (loss + 1).backward()",
    ],
)
def test_any_other_backward_pass_is_refused(lines):
    [finding] = check(CLOSURE.format(lines=lines)).findings

    assert "the attribute backward is not available" == finding.message


@pytest.mark.parametrize(
    "first",
    [
        "assert closure is not None, 'a closure is wanted'",
        "assert closure",
        "if closure is None:\n            raise RuntimeError('a closure is wanted')",
        "if not closure:\n            raise ValueError",
    ],
)
def test_a_step_that_raises_without_a_closure_requires_one(first):
    source = (
        "import torch\nclass Rule(torch.optim.SGD):\n"
        f"    def step(self, closure=None):\n        {first}\n"
        "        return super().step(closure)\n"
    )

    assert load(source).requires_closure


def test_a_step_that_works_without_a_closure_requires_none():
    source = (
        "import torch\nclass Rule(torch.optim.SGD):\n"
        "    def step(self, closure=None):\n        if closure is None:\n"
        "            return super().step()\n        return super().step(closure)\n"
    )

    assert not load(source).requires_closure


EMPTY = """
import torch
from collections import defaultdict
{before}
class Rule(torch.optim.Optimizer):
    def __init__(self, params, lr=0.1):
        super().__init__(params, dict(lr=lr))
        {emptied}
        for group in self.param_groups:
            for p in group["params"]:
                self.state[p] = dict(m=torch.zeros_like(p.data))
                {shared}
    def step(self, closure=None):
        for group in self.param_groups:
            for p in group["params"]:
                m = self.state[p]["m"]
                m.mul_(0.5).add_(p.grad)
                p.data.sub_(group["lr"] * m)
"""
EMPTIED = {
    "a dict": dict(emptied="self.state = dict()"),
    "a display": dict(emptied="self.state = {}"),
    "a default": dict(emptied="self.state = defaultdict(dict)"),
    "shared memory": dict(shared='self.state[p]["m"].share_memory_()'),
    "as a value": dict(
        shared='self.state[p]["m"] = torch.zeros_like(p).share_memory_()'
    ),
    "a registry": dict(before="register = lambda kind: kind\n@register"),
}


@pytest.mark.parametrize("name", EMPTIED)
def test_what_torch_has_made_is_not_made_again(name):
    holes = dict(before="", emptied="pass", shared="pass")
    source = EMPTY.format(**{**holes, **EMPTIED[name]})

    expected, held = stepped(plain(source)), stepped(load(source))

    assert all(map(torch.equal, expected, held))


def test_a_base_that_is_imported_by_two_names_is_one():
    source = EMPTY.format(before="", emptied="pass", shared="pass")
    source = source.replace("torch.optim.Optimizer", "Optimizer").replace(
        "import torch\n",
        "import torch\nfrom torch.optim import Optimizer\n"
        "from torch.optim.optimizer import Optimizer\n",
        1,
    )

    report = check(source)

    assert report.ok, report.findings
