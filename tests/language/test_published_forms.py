"""Forms of published optimizers that are read as what they mean where rules run."""

import pytest
import torch

from dux_sandbox.executions import EXECUTIONS
from dux_sandbox.limits import Limits
from dux_sandbox.loading import load
from dux_sandbox.static_check import check
from tests.executions import both
from tests.language.test_given_groups import rule, stepped

_INIT = "params, lr=0.5\nsuper().__init__(params, dict(lr=lr))"
_FINE = 'p.sub_(p.grad, alpha=group["lr"])'


def with_lines(lines, more="", before=""):
    indent = "\n" + " " * 20
    each = lines.replace("\n", indent) + indent + _FINE
    return rule(_INIT, each=each, before=before) + more


@both
def test_options_that_only_keywords_bring_get_usual_values(execution):
    source = rule(
        "params, rho=0.5, **kwargs\ndefaults = dict(rho=rho, **kwargs)\n"
        "super().__init__(params, defaults)",
        each='p.sub_(p.grad, alpha=group["rho"] * group["momentum"] + group["lr"])',
    )

    notes = [note.instead for note in check(source).notes]

    assert {"write momentum=0.9", "write lr=0.001"} == set(notes)
    assert [[pytest.approx(-0.451)]] == stepped(source, execution, [[(2, 2)]])


@pytest.mark.parametrize(
    "init",
    [
        # The base gets them as well: what it takes is not known here.
        "params, base=None, **kwargs\nself.kept = str(dict(**kwargs))\n"
        "super().__init__(params, dict(**kwargs))",
        "params, lr=0.5, **kwargs\nsuper().__init__(params, dict(lr=lr))",
    ],
)
def test_keywords_that_are_no_options_alone_get_none(init):
    source = rule(init, each='p.sub_(p.grad, alpha=group["momentum"])')

    assert "default" not in [note.rule for note in check(source).notes]


@both
@pytest.mark.parametrize("made", ["{**USUAL, **kwargs}", "dict(USUAL, **kwargs)"])
def test_keywords_are_laid_over_the_options_of_a_dict_that_is_there(made, execution):
    source = rule(
        f"params, **kwargs\nsuper().__init__(params, {made})",
        each='p.sub_(p.grad, alpha=group["lr"] * group["momentum"])',
        before='USUAL = {"lr": 0.5, "momentum": 0.5}\n\n\n',
    )

    assert "default" not in [note.rule for note in check(source).notes]
    assert [[pytest.approx(-0.25)]] == stepped(source, execution, [[(2, 2)]])


DICTS = """
from typing import TypedDict


class Moments(TypedDict, total=False):
    "What is kept of each parameter."

    step: int


class More(Moments):
    rate: float

"""


@both
def test_a_class_on_typed_dict_is_a_dict(execution):
    source = rule(
        _INIT,
        each='held: More = More(step=1, rate=group["lr"])\n'
        + " " * 20
        + 'p.sub_(held["step"] * p.grad, alpha=Moments(held)["rate"])',
        before=DICTS,
    )

    assert () == check(source).findings
    assert [[pytest.approx(-0.5)]] == stepped(source, execution, [[(2, 2)]])


def test_a_typed_dict_that_does_something_is_not_left_out():
    does = DICTS.replace("    step: int", "    step: int\n\n    def halve(self): pass")
    source = rule(_INIT, each="p.sub_(p.grad)", before=does)

    assert 0 < len(check(source).findings)


PRIVATE = {
    "method": (
        "self.__halve(p.grad)",
        "    def __halve(self, g):\n        g.mul_(0.5)\n",
        -0.25,
    ),
    "attribute": (
        "self.__by = 0.5\np.grad.mul_(self.__by)",
        "",
        -0.25,
    ),
    "static": (
        "self.__twice(p.grad)",
        "    @staticmethod\n    def __twice(g):\n        g.mul_(2)\n",
        -1.0,
    ),
}


@both
@pytest.mark.parametrize("name", list(PRIVATE))
def test_a_private_name_of_a_class_is_a_plain_one(name, execution):
    lines, more, moved = PRIVATE[name]

    assert [[moved]] == stepped(with_lines(lines, more), execution, [[(2, 2)]])


@both
def test_private_names_of_a_base_and_its_heir_are_two(execution):
    base = with_lines("self.__move(p.grad)").replace("Rule", "Base") + (
        "    def __move(self, g):\n        g.mul_(0.5)\n"
    )
    heir = "\nclass Rule(Base):\n    def __move(self, g):\n        g.mul_(9)\n"

    assert [[-0.25]] == stepped(base + heir, execution, [[(2, 2)]])


@pytest.mark.parametrize(
    "lines",
    [
        "self.__class__.__mro__",
        "self.__dict__",
        "p.__reduce__()",
        "self.step.__globals__",
        "__import__('os')",
        "__builtins__",
    ],
)
def test_a_name_with_two_underscores_at_both_ends_is_refused_as_before(lines):
    assert not check(with_lines(lines)).ok


@pytest.mark.parametrize("name", ["_step_pre_hooks", "__optimizer_step_pre_hooks"])
def test_a_private_name_cannot_become_one_of_torchs(name):
    source = with_lines(f"self._{name}.clear()").replace("Rule", "optimizer")

    assert not check(source).ok


SETTINGS = {
    "compiler": "torch._dynamo.config.cache_size_limit = 64",
    "kernels": "torch.backends.cuda.matmul.allow_tf32 = True",
    "precision": 'torch.set_float32_matmul_precision("high")',
    "inductor": "torch._inductor.config.epilogue_fusion = False",
}


@both
@pytest.mark.parametrize("name", list(SETTINGS))
def test_a_setting_of_compilers_and_kernels_is_left_to_the_training(name, execution):
    source = with_lines("pass", before=f"{SETTINGS[name]}\n")

    (note,) = check(source).notes

    assert "left out" == note.rule
    assert SETTINGS[name][:30] in note.message.replace("'", '"')
    assert [[-0.5]] == stepped(source, execution, [[(2, 2)]])


@pytest.mark.parametrize(
    "line",
    [
        "torch.backends.cuda.matmul.allow_tf32 = x = torch.zeros(1)",
        "held = torch.backends",
        "torch.set_default_dtype(torch.float64)",
        'setattr(torch.backends.cuda.matmul, "allow_tf32", True)',
        "torch.config = 1",
    ],
)
def test_what_is_not_such_a_setting_is_refused(line):
    assert not check(with_lines("pass", before=f"{line}\n")).ok


MARKED = {
    "not None": 'if getattr(p, "mask", None) is not None:\n    p.grad.mul_(p.mask)',
    "truth": 'if getattr(p, "mask", False):\n    p.grad.mul_(p.mask)',
    "value": 'by = p.mask if getattr(p, "mask", None) else 1\np.grad.mul_(by)',
}


@both
@pytest.mark.parametrize("name", list(MARKED))
def test_a_mark_that_a_training_may_put_on_parameters_is_not_there(name, execution):
    assert [[-0.5]] == stepped(with_lines(MARKED[name]), execution, [[(2, 2)]])


@both
@pytest.mark.parametrize("name", ["numpy", "data_ptr", "storage", "register_hook"])
def test_asking_for_a_forbidden_attribute_gives_none(name, execution):
    lines = f'if getattr(p, "{name}", None) is not None:\n    p.{name}()\n    p.zero_()'

    try:
        found = stepped(with_lines(lines), execution, [[(2, 2)]])
    except Exception as error:
        assert "not available" in str(error)
    else:
        assert [[-0.5]] == found


@both
def test_a_transform_that_fails_in_a_try_gives_way_to_the_loop(execution):
    lines = (
        "try:\n    g = torch.vmap(lambda x: x * 2)(p.grad)\n"
        "except Exception:\n    g = torch.stack([x * 3 for x in p.grad])\n"
        "p.grad.copy_(g)"
    )

    assert [[-1.5]] == stepped(with_lines(lines), execution, [[(2, 2)]])


@pytest.mark.parametrize(
    ("test", "asks"),
    [
        ("closure is None", True),
        ("loss is None and closure is None", True),
        ("closure is None or loss is None", False),
        ("closure is None and loss > 0", False),
    ],
)
def test_a_step_that_raises_without_a_closure_needs_one(test, asks):
    from dux_sandbox.loading import load

    source = rule(_INIT, each=_FINE).replace(
        "closure=None):\n",
        f"closure=None, loss=None):\n        if {test}:\n"
        "            raise ValueError('neither')\n",
    )

    assert asks == load(source).requires_closure


@both
def test_a_text_that_python_writes_with_escapes_is_judged_where_rules_run(execution):
    source = rule(
        'params, lr=0.5, mark="\\x1b[0m", must=None\nassert must is None\n'
        "super().__init__(params, dict(lr=lr))"
    )

    assert [[-0.5]] == stepped(source, execution, [[(2, 2)]])


_PHASED = """
    def first_step(self, zero_grad=False):
        for group in self.param_groups:
            for p in group["params"]:
                self.state[p]["before"] = p.clone()
                p.add_(p.grad, alpha=0.25)
        if zero_grad:
            self.zero_grad()

    def second_step(self, zero_grad=False):
        for group in self.param_groups:
            for p in group["params"]:
                p.copy_(self.state[p]["before"])
                p.sub_(p.grad, alpha=group["lr"])
        if zero_grad:
            self.zero_grad()
"""
_HEAD = """
import torch

class Rule(torch.optim.Optimizer):
    def __init__(self, params, lr=0.5):
        super().__init__(params, dict(lr=lr))
"""
WITHOUT = {
    "none": "",
    "raises": "\n    def step(self, closure=None):\n"
    '        """Not this way."""\n        raise NotImplementedError("two steps")\n',
    "raises in a mode": "\n    @torch.no_grad()\n    def step(self):\n"
    '        raise RuntimeError("call first_step and second_step")\n',
}


def stepped_down(text, execution):
    """A rule after one step with a closure, and the weight, 1 before, that it moved."""
    weight = torch.nn.Parameter(torch.ones(2, 2))
    groups = [{"params": [weight]}]

    def closure():
        loss = weight.square().sum()
        weight.grad = None
        loss.backward()
        return loss

    built = EXECUTIONS[execution].build(text, groups, limits=Limits(), seed=0)
    groups[0].update(built.options[0])
    built.bind(groups)
    closure()
    built.step(closure)
    built.close()
    return built, weight


@both
@pytest.mark.parametrize("name", list(WITHOUT))
def test_two_phases_become_one_step_with_the_closure_between(name, execution):
    source = _HEAD + _PHASED.replace("    def ", "    @torch.no_grad()\n    def ")
    text = source + WITHOUT[name]
    (note,) = check(text).notes

    built, weight = stepped_down(text, execution)

    # At 1 + 0.25 * 2 the gradient is 3: 1 - 0.5 * 3.
    assert "first_step and second_step" in note.message
    assert built.requires_closure
    assert torch.equal(torch.full((2, 2), -0.5), weight.detach())


_THIRD = """
    @torch.no_grad()
    def third_step(self, zero_grad=False):
        for group in self.param_groups:
            for p in group["params"]:
                p.add_(p.grad, alpha=-0.1)
"""


@both
def test_three_phases_are_all_taken_with_the_closure_between(execution):
    phased = _PHASED.replace("    def ", "    @torch.no_grad()\n    def ")
    text = _HEAD + phased + _THIRD + WITHOUT["raises"]
    (note,) = check(text).notes

    built, weight = stepped_down(text, execution)

    # -0.5 after two phases, where the gradient is -1.
    assert "first_step, second_step and third_step" in note.message
    assert torch.equal(torch.full((2, 2), -0.4), weight.detach())


@pytest.mark.parametrize("without", list(WITHOUT))
def test_a_phase_that_demands_an_argument_is_refused_and_never_left_out(without):
    third = _THIRD.replace("self, zero_grad=False", "self, rho, *, beta")

    report = check(_HEAD + _PHASED + third + WITHOUT[without])

    (finding,) = report.findings
    assert "third_step wants rho, beta" in finding.message


def test_what_is_named_like_a_phase_beside_torchs_own_step_is_none():
    head = _HEAD.replace("torch.optim.Optimizer", "torch.optim.SGD")
    helper = "\n    def weighted_step(self, weight):\n        return weight\n"

    assert check(head.replace("dict(lr=lr)", "lr=lr") + helper).ok


CALLED_AT_ONCE = {
    "loss = closure()": True,
    "closure = torch.enable_grad()(closure)\nwith torch.no_grad(): closure()": True,
    "loss = closure() if closure is not None else None": False,
    "if closure:\n    loss = closure()": False,
    "if self.state:\n    loss = closure()": False,
    "try:\n    closure()\nexcept TypeError:\n    pass": False,
    "closure = closure or (lambda: 1.0)\nclosure()": False,
    "later = lambda: closure()": False,
    "def closure():\n    return 1.0\nloss = closure()": False,
    "closure = self.zero_grad\nloss = closure()": False,
    "for closure in ():\n    pass\nclosure()": False,
    "if self.state:\n    return None\nloss = closure()": False,
    "with torch.no_grad():\n    if self.state:\n        return\n    closure()": False,
    "def due():\n    return True\nloss = closure()": True,
    "loss = closure()\nif self.state:\n    return loss": True,
    "return closure()": True,
}


@pytest.mark.parametrize("lines", list(CALLED_AT_ONCE))
def test_a_step_that_calls_its_closure_whatever_happens_needs_one(lines):
    body = "".join(f"        {line}\n" for line in lines.splitlines())
    source = _HEAD + "    def step(self, closure=None):\n" + body

    assert CALLED_AT_ONCE[lines] == load(source).requires_closure


def test_a_closure_that_a_step_makes_by_itself_is_not_the_loops():
    lines = "        def closure():\n            return 1.0\n        return closure()\n"

    assert not load(_HEAD + "    def step(self):\n" + lines).requires_closure


def test_a_rule_with_phases_and_a_step_of_its_own_keeps_it():
    source = _HEAD + _PHASED + "    def step(self, closure=None):\n        pass\n"

    assert () == check(source).notes


_AHEAD = """
    @torch.no_grad()
    def extrapolation(self):
        self.held = [p.clone() for p in self.param_groups[0]["params"]]
        for p in self.param_groups[0]["params"]:
            p.add_(p.grad, alpha=0.25)

    @torch.no_grad()
    def step(self, closure=None):
        if not self.held:
            raise RuntimeError("call extrapolation first")
        for p, before in zip(self.param_groups[0]["params"], self.held):
            p.copy_(before.sub_(p.grad, alpha=0.5))
        self.held = []
"""


@both
def test_extragradient_goes_ahead_and_steps_from_where_it_was(execution):
    text = _HEAD + "        self.held = []\n" + _AHEAD
    (note,) = check(text).notes

    built, weight = stepped_down(text, execution)

    assert "extrapolation and step" in note.message
    assert built.requires_closure
    assert torch.equal(torch.full((2, 2), -0.5), weight.detach())


def test_a_step_that_goes_ahead_by_itself_keeps_itself():
    ahead = _AHEAD.replace("if not self.held:", "if self.extrapolation():")
    text = _HEAD + "        self.held = []\n" + ahead

    assert () == check(text).notes


@both
def test_options_of_groups_that_nobody_gives_get_usual_values(execution):
    for none in ("{}", "dict()"):
        source = rule(
            f"param_groups\nsuper().__init__(param_groups, {none})",
            each='p.sub_(p.grad, alpha=group["lr"] + group["momentum"])',
        )

        notes = [note.instead for note in check(source).notes]

        assert {"write lr=0.001", "write momentum=0.9"} == set(notes)
        assert [[pytest.approx(-0.901)]] == stepped(source, execution, [[(2, 2)]])


@both
def test_a_rule_that_shares_its_groups_keeps_its_own_state(execution):
    source = _HEAD + (
        "        self.inner = torch.optim.SGD(self.param_groups, momentum=0.9)\n"
        "        self.param_groups = self.inner.param_groups\n"
        "        self.state = self.inner.state\n"
        "    def step(self, closure=None):\n        self.inner.step()\n"
    )

    assert [[-0.5]] == stepped(source, execution, [[(2, 2)]])


@pytest.mark.parametrize(
    "given",
    ['group["momentum"] = 0.5', 'group.setdefault("momentum", 0.5)'],
)
def test_an_option_that_a_step_gives_by_itself_gets_no_other_value(given):
    indent = "\n" + " " * 20
    source = rule(
        "params\nsuper().__init__(params, {})",
        each=f'{given}{indent}p.sub_(p.grad, alpha=group["momentum"])',
    )

    assert () == check(source).notes
